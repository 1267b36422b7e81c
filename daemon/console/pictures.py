"""Uploaded pictures to JPEG files that fit into a command, each decoded by a process of its own (`picture_worker.py`)."""

import asyncio
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from daemon.client.pictures import BUDGET_BYTES, SIZES_PX
from daemon.console.multipart import File
from daemon.core.faces.photo import PhotoError, jpeg_header

DEADLINE_S = 20.0
WORKER = "daemon.console.picture_worker"
HARMLESS = "it takes too long or too much memory to decode; save it again as a usual photo"


@dataclass(frozen=True, slots=True)
class Made:
    """What became of one file: a JPEG file, or in words why there is none."""

    file: str
    jpeg: bytes | None
    words: str


async def made(files: Sequence[File], places: asyncio.Semaphore) -> list[Made]:
    """The pictures in the same order, small enough to be sent together. As many are decoded at once as there are `places`."""
    room = BUDGET_BYTES // max(1, len(files))

    async def one(file: File) -> Made:
        async with places:
            return await _one(file.name, bytes(file.data), room)

    return await asyncio.gather(*map(one, files))


async def _one(name: str, data: bytes, room: int) -> Made:
    if not data:
        return Made(name, None, "it is empty; was it copied to its end?")
    if data.startswith(b"\xff\xd8\xff"):
        try:
            await asyncio.to_thread(jpeg_header, data)  # a file with thousands of scans would only use up its time
        except PhotoError as error:
            return Made(name, None, str(error))
    answer = await _asked(data, room)
    if answer[:1] == b"J" and len(answer) > 1:
        return Made(name, answer[1:], "taken")
    return Made(name, None, answer[1:].decode("utf-8", "replace") if answer[:1] == b"E" else HARMLESS)


async def _asked(data: bytes, room: int) -> bytes:
    """What the worker says; empty if it ended without a word or had to be ended."""
    sizes = [f"{side},{quality}" for side, quality in SIZES_PX]
    environment = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH") if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-B", "-m", WORKER, str(room), *sizes,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, env=environment,
    )  # fmt: skip
    try:
        answer, _ = await asyncio.wait_for(process.communicate(data), DEADLINE_S)
    except TimeoutError:
        return b""
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return answer if process.returncode == 0 else b""
