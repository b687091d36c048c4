"""A real server whose workers have no model: ``python modelless_server.py RENDERER OVERRIDES``, the latter as JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from mive.console.ending import say_failure
from mive.errors import MiveError
from mive.server.app import serve
from mive.server.config_loading import load_config
from mive.server.logs import set_up_logging
from mive.server.options import WorkerOptions
from mive.server.store import JobStore
from mive.server.supervisor import Supervisor, Workers

PROGRAM = (sys.executable, str(Path(__file__).with_name("modelless.py")), sys.argv[1])


def workers(store: JobStore, options: list[WorkerOptions]) -> Workers:
    return Supervisor(store.leases, options, PROGRAM)


if __name__ == "__main__":
    config = load_config(None, json.loads(sys.argv[2]))
    set_up_logging(config.log)
    try:
        asyncio.run(serve(config, lambda address: print(address, flush=True), workers))
    except MiveError as error:
        say_failure(error, as_json=False)
        sys.exit(error.exit_code)
