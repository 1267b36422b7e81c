"""What gates have answered so far, in a file beside the CSV or folder, so that a run that was cut off goes on where it was.

It holds employee numbers, answers and digests, and neither names nor pictures. Each command's id follows from the file's own random number,
the command's content and the number of the attempt. So a run that was killed asks again with the same ids, and a gate carries nothing out
twice, whatever of the file was lost.
"""

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Literal
from uuid import UUID, uuid4

import msgspec

from daemon.client.failures import USAGE, ClientError
from daemon.client.pictures import read_file

SYNC_S = 2.0
"""How often the file is made to stay through a power cut. What is lost is asked again."""
_MAX_BYTES = 1 << 30
_KIND = "ostiaryctl progress"
_NOT_ONE = "it is no progress file of ostiaryctl, or it is damaged"


class Noted(msgspec.Struct, frozen=True, omit_defaults=True):
    """One gate's last word about one command. `left_out` has number, reason and detail of pictures that were not enrolled."""

    key: str
    person: str
    gate: str
    attempt: int
    status: Literal["done", "refused", "failed"]
    reason: str | None = None
    detail: str | None = None
    left_out: tuple[tuple[int, str, str], ...] = ()


class _Begin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kind: str
    version: int
    namespace: UUID


class _End(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    finished: bool


def beside(source: Path) -> Path:
    """Where the journal of a CSV file or folder is, unless somebody says otherwise."""
    real = source.resolve()
    return real.with_name(f"{real.name}.progress")


class Journal:
    """Open for the length of a `with`, and then nobody else may use the file. Every method raises ClientError for a disk that fails.

    `answers` has the last word of each gate, by the command's key. `over` has the keys that an earlier run ended with: what was refused
    there is asked anew.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.namespace = uuid4()
        self.answers: dict[str, dict[str, Noted]] = {}
        self.over: set[str] = set()
        self._file = -1
        self._synced_s = 0.0

    def __enter__(self) -> "Journal":
        """Raises ClientError for a file that is none of ours, or in use."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            self._file = os.open(self.path, flags, 0o600)
        except OSError as error:
            raise ClientError(USAGE, f"{self.path}: {error.strerror}", "give --journal a file in a folder that you may write to") from None
        try:
            self._open()
        except BaseException:
            os.close(self._file)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            os.fsync(self._file)
        except OSError:
            pass  # what is lost of it is asked again
        finally:
            os.close(self._file)

    def note(self, noted: Noted) -> None:
        """A gate has answered, and will not be asked this again."""
        self._write(noted)
        self.answers.setdefault(noted.key, {})[noted.gate] = noted

    def finish(self) -> None:
        """The run has come to its end."""
        self._write(_End(True))

    def _open(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = f"another ostiaryctl is at work with {self.path}"
            raise ClientError(USAGE, message, "wait until it has ended, or stop it with Ctrl-C") from None
        content = read_file(self.path, _MAX_BYTES, "give --journal the path of a file")
        whole = content.rfind(b"\n") + 1
        if not whole and not content.startswith(b'{"kind"'[: len(content)]):
            raise self._strange()
        if not whole:
            os.ftruncate(self._file, 0)
            self._write(_Begin(_KIND, 1, self.namespace))
            return
        self._read(content[:whole])
        os.ftruncate(self._file, whole)  # a line that was cut off
        os.lseek(self._file, whole, os.SEEK_SET)

    def _read(self, content: bytes) -> None:
        lines = content.splitlines()
        try:
            begin = msgspec.json.decode(lines[0], type=_Begin)
            if begin.kind != _KIND or begin.version != 1:
                raise self._strange()
            self.namespace = begin.namespace
            for line in lines[1:]:
                if line.startswith(b'{"finished"'):
                    msgspec.json.decode(line, type=_End)
                    self.over = set(self.answers)
                else:
                    noted = msgspec.json.decode(line, type=Noted)
                    self.answers.setdefault(noted.key, {})[noted.gate] = noted
                    self.over.discard(noted.key)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise self._strange() from None

    def _write(self, line: msgspec.Struct) -> None:
        left = msgspec.json.encode(line) + b"\n"
        try:
            while left:
                left = left[os.write(self._file, left) :]
            if time.monotonic() - self._synced_s > SYNC_S:
                os.fdatasync(self._file)
                self._synced_s = time.monotonic()
        except OSError as error:
            hint = "make room on the disk, and run the same command again: it goes on, and gates carry nothing out twice"
            raise ClientError(USAGE, f"{self.path}: {error.strerror}", hint) from None

    def _strange(self) -> ClientError:
        return ClientError(USAGE, f"{self.path}: {_NOT_ONE}", "give --journal another file; if it is damaged, remove it to begin anew")
