"""Faust's app, set up: the batch transport, our table manager, no web server, nothing from generic variables."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import cast

import faust
from faust.exceptions import AlreadyConfiguredWarning

from config.settings import Settings
from streams import connections, lenient
from streams.batches import BatchTransport
from streams.recovery import OrderedTables


def faust_app(settings: Settings, bootstrap: str, data: Path) -> faust.App:
    """Faust's app, set up: every setting explicit, nothing from the environment under generic names."""
    lenient.install()
    kafka = settings.kafka
    app = faust.App(
        kafka.group,
        env_prefix="LIFESTAGE_FAUST_",
        broker=[f"kafka://{server.strip()}" for server in bootstrap.split(",")],
        broker_credentials=connections.faust_credentials(settings),
        broker_client_id=f"{kafka.group}-worker",
        broker_commit_interval=0.2,
        broker_commit_every=1_000_000_000,
        broker_session_timeout=kafka.session_timeout_s,
        broker_heartbeat_interval=kafka.session_timeout_s / 4,
        broker_request_timeout=max(kafka.request_timeout_s, kafka.session_timeout_s),
        broker_max_poll_records=4_000,
        # With 1 MB a partition a recovery waits between fetches: 215,000 instead of 240,000 profiles a second.
        consumer_max_fetch_size=2 << 20,
        # The watchdogs see to a worker that reads nothing; upstream would leave the group in the middle of an outage.
        broker_max_poll_interval=604_800.0,
        # Twice what a drain may take: a member that is still draining must not be taken for gone.
        broker_rebalance_timeout=max(60.0, 2 * kafka.request_timeout_s),
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=kafka.instance_id or None,
        producer_request_timeout=kafka.request_timeout_s,
        stream_buffer_maxsize=16,
        stream_wait_empty=True,
        store="memory://",
        datadir=str(data),
        table_standby_replicas=0,
        topic_allow_declare=False,
        topic_disable_leader=True,
        topic_replication_factor=settings.topics.replication,
        web_enabled=False,
        web_in_thread=False,
        cython_optimizations=True,
        worker_redirect_stdouts=False,
        TableManager=OrderedTables,
        autodiscover=False,
    )
    app.transport = BatchTransport(app.conf.broker_consumer, app)
    return app


def announce(app: faust.App, host: str, port: int) -> None:
    """Let the group know where this worker's metrics are: behind an @ in its client id, before it joins.

    Not as Faust's `canonical_url`: a worker that takes a static member's place is given that one's assignment, and refuses
    one that names another address than its own.
    """
    with warnings.catch_warnings():
        # the app reads it for each client that it makes, of which there is none yet
        warnings.simplefilter("ignore", AlreadyConfiguredWarning)
        app.conf.broker_client_id += f"@[{host}]:{port}" if ":" in host else f"@{host}:{port}"


async def crashed(app: faust.App) -> BaseException | None:
    """Return, with the reason, when one of Faust's services has crashed."""
    await app._crashed.wait()
    return cast("BaseException | None", app.crash_reason)
