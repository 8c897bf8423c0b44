#!/bin/sh
# The engine's command line in a clone; `make dev` puts it into .venv/bin as `sits`. Works from any folder.
bin=$(cd "$(dirname "$0")" && pwd)
engine=$(cd "$bin/../../engine" && pwd) || exit
PYTHONPATH="$engine${PYTHONPATH:+:$PYTHONPATH}" exec "$bin/python" -m sits_engine.cli "$@"
