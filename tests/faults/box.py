"""A box of a fleet in a process of its own, so that it can be killed.

    python -m tests.faults.box FOLDER PORT NAME ADMIN WRITERS

ADMIN is the administrator's public key, WRITERS a JSON object of the other boxes.
"""

import json
import signal
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from daemon.config import WriterConfig
from tests.fixtures.boxes import Box


def main() -> None:
    folder, port, name, admin, writers = sys.argv[1:]
    others = {other: WriterConfig(**its) for other, its in json.loads(writers).items()}
    fleet: Any = SimpleNamespace(folder=Path(folder), port=int(port), admin_public=admin)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    box = Box(fleet, name, writers=others).start()
    stop.wait()
    box.stop()


if __name__ == "__main__":
    main()
