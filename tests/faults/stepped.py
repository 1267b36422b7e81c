"""The daemon with a wall clock that a test can move: `python -m tests.faults.stepped FILE run ...` adds the seconds in FILE to the time."""

import mmap
import struct
import sys
import time
from pathlib import Path

real = time.time
with Path(sys.argv[1]).open("r+b") as file:
    moved = mmap.mmap(file.fileno(), 8)
time.time = lambda: real() + struct.unpack("<d", moved[:])[0]

if __name__ == "__main__":
    from daemon.__main__ import main

    sys.exit(main(sys.argv[2:]))
