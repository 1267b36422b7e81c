"""The recorders that the configuration asks for: of frames (off by default), and of the lines of the flight recorder."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from daemon.config import Config, ConfigError
from daemon.core.status import Word
from daemon.core.tapes.frames import FrameEncoder
from daemon.core.tapes.lines import Line, LineEncoder
from daemon.core.tapes.tape import bounds
from daemon.core.values import Frame
from daemon.edges.metrics import Metrics
from daemon.edges.recorder import SPARE_BYTES, Recorder, Shelf, tapes_in
from daemon.edges.store import Store

RECORDINGS = "recordings"
FLIGHT = "flight"
"""The folders in state_dir, and the purposes of their keys."""
TAPE_S = 600.0
MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Recorders:
    """The running recorders. One that is switched off runs as long as it has old tapes to remove."""

    frames: Recorder[Frame] | None
    lines: Recorder[Line] | None
    recording: bool
    flying: bool

    @property
    def flight(self) -> Recorder[Line] | None:
        """The recorder of lines, if it is switched on."""
        return self.lines if self.flying else None

    def record(self, frame: Frame) -> None:
        """Record a frame that a gate is about to look at. Never waits."""
        if self.recording and self.frames is not None:
            self.frames.offer(frame.gate, frame, frame.image.nbytes)

    def trouble(self) -> dict[Word, str]:
        """The reasons why something is not recorded, for the status."""
        named = ((Word.RECORDING_STOPPED, self.frames), (Word.FLIGHT_STOPPED, self.lines))
        return {word: each.trouble for word, each in named if each is not None and each.trouble is not None}

    def close(self) -> None:
        """End both recorders, within 2 seconds."""
        running = [each for each in (self.frames, self.lines) if each is not None]
        for each in running:
            each.ask_to_end()
        for each in running:
            each.join()


def open_recorders(config: Config, store: Store, metrics: Metrics, ages: Callable[[], float] = time.time) -> Recorders:
    """Both recorders, started. `ages` is the time by which old tapes are erased."""
    folder, gates = Path(config.state_dir), len(config.gates)
    r, f = config.recording, config.flight
    frames: Recorder[Frame] | None = None
    lines: Recorder[Line] | None = None
    if r.enabled or tapes_in(folder / RECORDINGS):
        kept = bounds(r.most_mb * MB, r.keep_days * 86_400, gates, TAPE_S)
        shelf = Shelf(folder / RECORDINGS, store.purpose_key(RECORDINGS), kept, "frames")
        frames = Recorder(
            shelf, FrameEncoder, lambda frame: frame.captured_at, lost=metrics.recording_dropped, size=metrics.recording_bytes,
            ages=ages,
        )  # fmt: skip
        frames.start()
    if f.minutes or tapes_in(folder / FLIGHT):
        kept = bounds(f.most_mb * MB, f.minutes * 60, gates, TAPE_S)
        shelf = Shelf(folder / FLIGHT, store.purpose_key(FLIGHT), kept, "flight")
        lines = Recorder(shelf, LineEncoder, lambda line: time.time(), ages=ages)
        lines.start()
    return Recorders(frames, lines, r.enabled, f.minutes > 0)


def recording_room(config: Config) -> str:
    """How much room recordings may take, for `ostiaryd check`. Raises ConfigError if the disk does not have that much."""
    folder, r = Path(config.state_dir) / RECORDINGS, config.recording
    taken = sum(path.stat().st_size for path in tapes_in(folder))
    if not r.enabled:
        return "off" + (f"; {taken / MB:.0f} MB of earlier recordings will be removed within {r.keep_days:g} days" if taken else "")
    there = next(path for path in (folder, *folder.parents) if path.exists())
    disk = os.statvfs(there)
    free = disk.f_bavail * disk.f_frsize
    if free + taken < r.most_mb * MB + SPARE_BYTES:
        raise ConfigError(
            f"recordings may take {r.most_mb} MB; they take {taken / MB:.0f} MB now, and {free / MB:.0f} MB are free on the disk",
            f"lower recording.most_mb so that {SPARE_BYTES / MB:.0f} MB stay free: with less room, nothing is recorded",
        )
    return f"up to {r.most_mb} MB, none older than {r.keep_days:g} days; {taken / MB:.0f} MB so far, {free / MB:.0f} MB free on the disk"
