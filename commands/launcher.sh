#!/bin/sh
# Installed as .venv/bin/lifestage. The checkout stands first on the path, here and in the processes started from here,
# because the names agents, config and streams belong to whoever comes first. -P keeps the current folder out of it.
here=$(dirname -- "$(dirname -- "$(dirname -- "$(readlink -f -- "$0")")")")
PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}" exec "$here/.venv/bin/python" -P -m commands "$@"
