"""Asking a worker's port, as Prometheus and probes do."""

from __future__ import annotations

import http.client

from streams.endpoint import Endpoint


def ask(
    endpoint: Endpoint, path: str, method: str = "GET", accept: str = ""
) -> tuple[int, str, http.client.HTTPMessage]:
    """Status, body and headers."""
    connection = http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=5)
    try:
        connection.request(method, path, headers={"Accept": accept})
        response = connection.getresponse()
        return response.status, response.read().decode(), response.headers
    finally:
        connection.close()
