# The service runs from /app, first on PYTHONPATH, and not from a wheel: the names agents, config and streams would
# overwrite other packages in site-packages.

# The full image, for its compiler: faust-streaming has no wheel for arm64 and is built there. Nothing of it is shipped.
FROM python:3.11.14-bookworm AS packages
COPY requirements-runtime.lock /tmp/
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check \
       --require-hashes --requirement /tmp/requirements-runtime.lock

FROM python:3.11.14-slim-bookworm
# 10001: above the ids that hosts give to people, so that a file left in a mounted folder belongs to nobody there.
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/lifestage lifestage
COPY --from=packages /opt/venv /opt/venv
COPY lifestage /app/lifestage
COPY config /app/config
COPY streams /app/streams
COPY agents /app/agents
COPY commands /app/commands
COPY data /app/data
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    LIFESTAGE_HOME=/var/lib/lifestage
# The one folder that it may write to. -P keeps it out of the import path.
USER lifestage
WORKDIR /var/lib/lifestage
EXPOSE 9464
ENTRYPOINT ["python", "-P", "-m", "commands"]
CMD ["worker"]
