"""Only the named decoders read what somebody uploads, in a process of their own that starts no program."""

import io
import os
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT

WORKER = [sys.executable, "-B", "-m", "daemon.console.picture_worker", "1000000", "2400,92", "640,75"]


def asked(data: bytes, command: list[str] | None = None) -> tuple[str, int]:
    """The letter and the length of the worker's answer; it ends in time and without a fault."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command or WORKER, input=data, capture_output=True, cwd=ROOT, env=environment, timeout=60, check=True)
    return done.stdout[:1].decode(), len(done.stdout) - 1


def written(kind: str, **more: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (60, 90, 3), np.uint8)).save(file, kind, **more)
    return file.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def tiff(*entries: tuple[int, int, int, int], strip: bytes = b"\0" * 100) -> bytes:
    """A TIFF file with these entries (tag, type, count, value) and one strip at byte 8."""
    body = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return b"II*\0" + struct.pack("<I", 8 + len(strip)) + strip + struct.pack("<H", len(entries)) + body + b"\0" * 4


def grey(width: int, height: int, compression: int, strip: bytes, rows: int = 0) -> bytes:
    at, short, long = 8, 3, 4
    fields = ((256, long, width), (257, long, height), (258, short, 8), (259, short, compression), (262, short, 1), (273, long, at),
              (277, short, 1), (278, long, rows or height), (279, long, len(strip)))  # fmt: skip
    return tiff(*((tag, kind, 1, value) for tag, kind, value in fields), strip=strip)


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(/tmp/ostiary-was-here) (w) file closefile\nshowpage\n"
GIF, PNG = written("GIF"), written("PNG")
FRAME = b"\x2c\0\0\0\0\1\0\1\0\0\2\2\x44\1\0"
OTHERS = {
    "gif with 100,000 frames": GIF[:-1] + FRAME * 100_000 + b";",
    "eps": EPS,
    "eps in a dos file": struct.pack("<III", 0xC6D3D0C5, 30, len(EPS)) + b"\0" * 18 + EPS,
    "pdf": written("PDF"),
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "psd": b"8BPS\0\1" + b"\0" * 6 + struct.pack(">HIIHH", 3, 10, 10, 8, 3) + b"\0" * 500,
    "wmf": b"\xd7\xcd\xc6\x9a" + b"\0" * 100,
    "fli": b"\0" * 4 + b"\x11\xaf" + b"\0" * 200,
    **{kind: written(kind) for kind in ("ICNS", "DDS", "PPM", "TGA", "PCX", "SGI", "ICO")},
    "tiff whose directories are a ring": b"II*\0\x08\0\0\0" + struct.pack("<HHHII", 1, 254, 4, 1, 0) + struct.pack("<I", 8),
    "tiff with 65,535 tags": b"II*\0\x08\0\0\0" + struct.pack("<H", 65_535) + struct.pack("<HHII", 256, 4, 1, 10) * 65_535 + b"\0" * 4,
    "tiff with too many pixels": grey(60_000, 60_000, 1, b"\0" * 100),
    "tiff whose strip is too short": grey(5_000, 5_000, 5, b"\x80" * 50),
    "bmp of 2^31 columns": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 100, 0, 0, 54, 40, 2**31 - 1, 1, 1, 24, 0, 0, 0, 0, 0, 0),
    "png with 5 GB of text": PNG[:33] + chunk(b"zTXt", b"a\0\0" + zlib.compress(b"x" * 50_000_000)) * 100 + PNG[33:],
    "png with a profile of 200 MB": PNG[:33] + chunk(b"iCCP", b"a\0\0" + zlib.compress(b"x" * 200_000_000)) + PNG[33:],
}
OWN = {kind: written(kind) for kind in ("JPEG", "PNG", "WEBP", "BMP", "TIFF")}


def test_what_is_not_named_is_not_read_and_what_is_named_is() -> None:
    with ThreadPoolExecutor(2) as pool:
        told = dict(zip([*OTHERS, *OWN], pool.map(asked, [*OTHERS.values(), *OWN.values()]), strict=True))
    assert {name: answer[0] for name, answer in told.items()} == dict.fromkeys(OTHERS, "E") | dict.fromkeys(OWN, "J")
    assert not Path("/tmp/ostiary-was-here").exists()


@pytest.mark.parametrize("name", ["eps", "pdf", "tiff whose strip is too short"])
def test_no_other_program_is_started(name: str) -> None:
    code = (
        "import sys\n"
        "def watch(event, args):\n"
        "    if event.startswith(('subprocess.', 'os.exec', 'os.fork', 'os.posix_spawn', 'os.system', 'socket.connect')):\n"
        "        sys.stdout.write('!' + event); sys.stdout.flush()\n"
        "sys.addaudithook(watch)\n"
        "from daemon.console.picture_worker import main\n"
        "main(['1000000', '2400,92'])\n"
    )
    assert asked(OTHERS[name], [sys.executable, "-c", code])[0] == "E"


def test_pixels_of_two_gigabytes_end_within_the_limits() -> None:
    """60 million pixels of 16 bits and four colours, from half a megabyte."""
    side = 7_700
    head = struct.pack(">IIBBBBB", side, side, 16, 6, 0, 0, 0)
    rows = zlib.compress(b"\0" * ((side * 8 + 1) * side), 9)
    assert asked(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))[0] in "JE"
