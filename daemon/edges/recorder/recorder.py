"""A recorder: it takes items without ever making the caller wait, and writes them to tapes in a thread of its own."""

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from daemon.core.faults import Fault
from daemon.core.tapes.frames import Encoder, Ended, Lost, note_bytes
from daemon.edges.recorder.shelf import Shelf, beginning_bytes
from daemon.edges.recorder.tapes import SEALED_BYTES, TapeWriter

T = TypeVar("T")

HELD_BYTES = 64 << 20
"""How much may wait to be written. Items beyond that are not recorded; they are counted."""
RETRY_S = 5.0
TEND_S = 15.0
CLOSE_S = 1.5
NICE = 5


@dataclass(slots=True)
class _Open(Generic[T]):
    tape: TapeWriter
    encoder: Encoder[T]
    began_at: float
    count: int = 0
    lost: int = 0
    newest_at: float = 0.0


@dataclass(slots=True)
class _Account:
    """The counts of one gate. The thread that offers items writes the first two (bytes, items), the recorder's thread the others.

    So no lock is needed, and nobody waits for a thread of low priority that holds one.
    """

    offered: int = 0
    refused: int = 0
    taken: int = 0
    failed: int = 0
    noted: int = 0


def _nothing(*_: object) -> None:
    """For callers that do not count."""


class Recorder(Generic[T]):
    """Writes items of any gate to the tapes of one shelf. One thread offers all items of a gate. `wall` gives UTC seconds;
    tapes are erased when they are too old by `ages`, which does not jump ahead with it.

    When the disk takes nothing, recording stops and `trouble` says why; the disk is tried again every few seconds. `lost` is called for
    every item that is not recorded, `size` with the bytes of all tapes together.
    """

    def __init__(
        self,
        shelf: Shelf,
        encoder: Callable[[], Encoder[T]],
        at: Callable[[T], float],
        wall: Callable[[], float] = time.time,
        lost: Callable[[str, int], None] = _nothing,
        size: Callable[[int], None] = _nothing,
        held_bytes: int = HELD_BYTES,
        clock: Callable[[], float] = time.monotonic,
        ages: Callable[[], float] | None = None,
    ) -> None:
        self._shelf, self._encoder, self._at, self._wall, self._clock = shelf, encoder, at, wall, clock
        self._ages = ages if ages is not None else wall
        self._tell_lost, self._tell_size, self._held_bytes = lost, size, held_bytes
        self._waiting: SimpleQueue[tuple[str, T, int] | None] = SimpleQueue()  # None asks to end
        self._accounts: dict[str, _Account] = {}
        self._closing = False
        self._deadline_s = 0.0
        self._trouble: str | None = None
        self._untidy: str | None = None  # why what has to go is still there
        self._again_s = 0.0
        self._tended_s = 0.0
        self._open: dict[str, _Open[T]] = {}
        self._thread = threading.Thread(target=self._run, name=f"recorder-{shelf.folder.name}", daemon=True)

    @property
    def trouble(self) -> str | None:
        """Why nothing is recorded, in one line; None while everything works."""
        return self._trouble or self._untidy

    def start(self) -> None:
        self._thread.start()

    def offer(self, gate: str, item: T, size: int) -> bool:
        """Take an item of about `size` bytes, which the caller must not change; False where there is no room for it. Never waits."""
        account = self._accounts.setdefault(gate, _Account())
        held = sum(each.offered - each.taken for each in list(self._accounts.values()))
        if self._closing or held + size > self._held_bytes:
            account.refused += 1
            self._tell_lost(gate, 1)
            return False
        account.offered += size
        self._waiting.put((gate, item, size))
        return True

    def close(self) -> None:
        """Write what waits, for a second or so at most, and end every tape."""
        self.ask_to_end()
        self.join()

    def ask_to_end(self) -> None:
        """Take no more items."""
        self._closing, self._deadline_s = True, self._clock() + CLOSE_S
        self._waiting.put(None)

    def join(self) -> None:
        """Wait for the end of the thread, but not long: a disk may hang, and the process ends anyway."""
        if self._thread.is_alive():
            self._thread.join(CLOSE_S + 0.5)

    # ---- the thread

    def _run(self) -> None:
        try:
            with suppress(OSError):  # the gate's frames come first. Where a sandbox forbids this, run at full priority
                os.nice(NICE)
            while self._turn():
                pass
            for gate in list(self._open):
                self._finish(gate)
        except Exception as error:  # noqa: BLE001  a thread's outermost frame: the gate goes on without it, and its status says so
            self._trouble = f"the recorder has ended: {error!r}"
            self._held_bytes = -1

    def _turn(self) -> bool:
        """Write the next item, or wait a while for one; False when it is time to end."""
        try:
            found = self._waiting.get(timeout=TEND_S)
        except Empty:
            self._tend()
            return True
        if found is None:
            return False
        gate, item, size = found
        self._accounts[gate].taken += size
        if self._closing and self._clock() > self._deadline_s:
            self._lose(gate)
        else:
            self._take(gate, item)
        if self._clock() - self._tended_s >= TEND_S:
            self._tend()
        return True

    def _take(self, gate: str, item: T) -> None:
        """Write one item to its tape; while the disk takes nothing, count it as lost."""
        if self._trouble is not None and self._clock() < self._again_s:
            self._lose(gate)
            return
        try:
            self._write(gate, item)
            self._trouble = None
        except Fault as error:  # this one item cannot be recorded
            self._lose(gate)
            self._trouble, self._again_s = error.message, 0.0
        except OSError as error:
            self._lose(gate)
            self._stop_all(error)

    def _write(self, gate: str, item: T) -> None:
        now, bounds = self._wall(), self._shelf.bounds
        opened = self._open.get(gate)
        if opened is not None and (opened.tape.erased or not 0 <= now - opened.began_at < bounds.tape_s):
            self._finish(gate)
            opened = None
        data = (opened if opened is not None else self._begin(gate, now, item)).encoder.encode(item)
        opened = self._open[gate]
        if opened.count and opened.tape.bytes + len(data) + 2 * SEALED_BYTES + beginning_bytes(gate) > bounds.tape_bytes:
            self._finish(gate)
            opened = self._begin(gate, now, item)
            data = opened.encoder.encode(item)
        if opened.tape.bytes + len(data) + 2 * SEALED_BYTES + beginning_bytes(gate) > bounds.tape_bytes:
            self._finish(gate)
            raise TooLarge(len(data), bounds.tape_bytes)
        account = self._accounts[gate]
        lost = account.refused + account.failed - account.noted
        note = note_bytes(Lost(lost)) if lost else b""
        self._shelf.make_room(self._being_written(), len(data) + len(note) + 2 * SEALED_BYTES, self._ages())
        if note:
            opened.tape.append(note)
            opened.lost += lost
            account.noted += lost
        opened.tape.append(data)
        opened.count, opened.newest_at = opened.count + 1, self._at(item)
        self._tell_size(self._shelf.bytes + self._being_written())

    def _begin(self, gate: str, now: float, item: T) -> _Open[T]:
        self._shelf.look({each.tape.path for each in self._open.values()})
        self._shelf.make_room(self._being_written(), beginning_bytes(gate), self._ages())
        self._open[gate] = _Open(self._shelf.begin(gate, now, self._at(item)), self._encoder(), now)
        return self._open[gate]

    def _being_written(self) -> int:
        """The bytes of the tapes that are being written, including their ends."""
        return sum(each.tape.bytes + beginning_bytes(gate) for gate, each in self._open.items())

    def _finish(self, gate: str) -> None:
        """End a gate's tape, if it is still open: when another tape could not be ended, all of them were closed."""
        opened = self._open.pop(gate, None)
        if opened is None:
            return
        try:
            opened.tape.end(note_bytes(Ended(opened.count, opened.lost, opened.newest_at)))
            self._shelf.look({each.tape.path for each in self._open.values()})
        except OSError as error:
            self._stop_all(error)

    def _stop_all(self, error: OSError) -> None:
        """The disk takes nothing: close every tape, and begin new ones when it is time to try again."""
        self._trouble, self._again_s = error.strerror or str(error), self._clock() + RETRY_S
        while self._open:
            _, opened = self._open.popitem()
            opened.tape.abandon()

    def _lose(self, gate: str) -> None:
        self._accounts[gate].failed += 1
        self._tell_lost(gate, 1)

    def _tend(self) -> None:
        """Erase what is too old and end tapes that are long enough, also while no items come."""
        self._tended_s, now = self._clock(), self._wall()
        for gate in [gate for gate, each in self._open.items() if not 0 <= now - each.began_at < self._shelf.bounds.tape_s]:
            self._finish(gate)
        try:
            self._shelf.look({each.tape.path for each in self._open.values()})
            self._shelf.make_room(self._being_written(), 0, self._ages())
            self._untidy = None
        except OSError as error:
            self._untidy = f"old recordings cannot be erased: {error.strerror}"
        self._tell_size(self._shelf.bytes + self._being_written())


class TooLarge(Fault):
    """An item that no tape has room for."""

    def __init__(self, size: int, tape_bytes: int) -> None:
        super().__init__(f"a picture has {size} bytes, and a tape holds only {tape_bytes}", "raise recording.most_mb")
