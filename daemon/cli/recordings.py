"""`ostiaryd record` and `ostiaryd recordings`: frames of a gate for later, and what is kept of them."""

import argparse
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from daemon.cli.say import console
from daemon.config import Config, ConfigError, GateConfig, load
from daemon.core.counts import counted
from daemon.core.messages import utc
from daemon.core.tapes.tape import TapeError
from daemon.core.values import Frame
from daemon.edges.camera import Camera, CameraError, frames_of, open_camera
from daemon.edges.recorder import FrameSink, Listed, PlainSink, RecordedFrames, SealedSink, began, catalogue, erase, looks_sealed, tapes_in
from daemon.edges.store import StoreError, VaultError
from daemon.pipeline import opening
from daemon.serving.recorders import RECORDINGS

log = logging.getLogger("ostiary")

NO_PICTURE_S = 10.0
PLAIN = "not sealed: these pictures show people in the clear; keep them from others, and delete them when they have served"


def open_source(gate: str, source: str, fps: float, config: Config) -> Camera:
    """Frames of a file or folder, for a replay: a sealed recording (a tape, or a folder of one gate's tapes), or what `open_camera` takes.

    Raises CameraError, TapeError.
    """
    tapes = _tapes(source)
    if not tapes:
        return open_camera(gate, GateConfig(source=source, fps=fps))
    return RecordedFrames(tapes, _key(config, source), log.warning)


def gate_of(source: str, config: Config) -> str | None:
    """The gate whose sealed recording this is, if it is one, and the configuration knows the gate. Raises TapeError."""
    tapes = _tapes(source)
    if not tapes:
        return None
    key = _key(config, source)
    gate = next((note.gate for note in (began(path, key) for path in tapes) if note is not None), None)
    return gate if gate in config.gates else None


def _tapes(source: str) -> list[Path]:
    path = Path(source)
    if "://" in source or not path.exists():
        return []
    if path.is_dir():
        return sorted(each for each in path.iterdir() if looks_sealed(each))
    return [path] if path.is_file() and looks_sealed(path) else []


def _key(config: Config, source: str) -> bytes:
    """What recordings of this configuration are sealed with. Raises TapeError."""
    try:
        store = opening.open_gallery(config, read_only=True)
    except (StoreError, VaultError) as error:
        raise TapeError(f"{source}: sealed, and there is no key ({error.message})", "give --config of the box it belongs to") from None
    try:
        return store.purpose_key(RECORDINGS)
    finally:
        store.close()


# ---- commands


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Both commands, as `ostiaryd` knows them."""
    make = commands.add_parser(
        "record",
        help="frames of a gate's camera to a file",
        description="Write every frame that a gate's camera gives to a new file, until Ctrl-C: sealed with the box's key, for"
        " `ostiaryd replay` and `ostiaryd calibrate`. Nothing is decided."
        " A camera that serves one program at a time needs the daemon to be stopped.",
    )
    make.add_argument("--gate", required=True, metavar="NAME")
    make.add_argument("--out", type=Path, required=True, metavar="FILE", help="a new file, or with --plain a new folder")
    make.add_argument("--seconds", type=above_zero, default=None, metavar="N", help="stop after so long")
    make.set_defaults(command=_record)

    show = commands.add_parser(
        "recordings",
        help="what the gates have recorded",
        description="List what is recorded; or export a gate's frames between two times; or erase recordings. A daemon may go on serving.",
    )
    show.add_argument("--gate", metavar="NAME", help="one gate's")
    show.add_argument(
        "--from", dest="since", type=_moment, default=None, metavar="TIME", help="from this day or instant on (UTC, unless it says +01:00)"
    )
    show.add_argument("--to", type=_moment, default=None, metavar="TIME", help="before this day or instant")
    what = show.add_mutually_exclusive_group()
    what.add_argument("--export", type=Path, metavar="FILE", help="write the frames between to a new file (with --plain a folder)")
    what.add_argument("--erase", action="store_true", help="erase every recording that reaches into the time between, whole")
    show.set_defaults(command=_recordings)
    for command in (make, show):
        command.add_argument("--config", type=Path, required=True, metavar="FILE")
        command.add_argument("--plain", action="store_true", help="a folder of PNG pictures that other programs read, not sealed")


def above_zero(text: str) -> float:
    """A number of an option that must be above nothing. Raises ValueError, of which argparse makes a complaint."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError
    return value


above_zero.__name__ = "number above 0"  # argparse says: invalid <name> value


def _moment(text: str) -> float:
    parsed = datetime.fromisoformat(text)
    return (parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)).timestamp()


_moment.__name__ = "time (2027-03-01 or 2027-03-01T08:00+01:00)"  # argparse says: invalid <name> value


def _record(arguments: argparse.Namespace) -> int:
    config = load(arguments.config)
    _need_gate(config, arguments.gate, arguments.config)
    camera = open_camera(arguments.gate, config.gates[arguments.gate], start_s=time.monotonic(), start_wall=time.time())
    try:
        with _sink(config, arguments.gate, arguments.out, time.time(), arguments.plain) as sink:
            count, seconds = record(camera, sink, arguments.seconds)
    finally:
        camera.close()
    _say(f"{arguments.out}: {counted(count, 'frame')} in {seconds:.1f} s{'' if arguments.plain else ', sealed with the key of this box'}")
    return 0


def record(camera: Camera, sink: FrameSink, longest_s: float | None) -> tuple[int, float]:
    """Every frame until `longest_s` after the first, the recording's end or Ctrl-C: how many, and over how long.

    Raises CameraError for a camera that shows nothing for ten seconds, OSError for a disk that fails.
    """
    count, first_s, last_s, seen_s = 0, 0.0, 0.0, time.monotonic()
    try:
        while True:
            frame = camera.read(0.25)
            if frame is None:
                if camera.state == "ended":
                    break
                if time.monotonic() - seen_s > NO_PICTURE_S:
                    raise CameraError(
                        f"no picture for {NO_PICTURE_S:.0f} s, after {counted(count, 'frame')} ({camera.detail or 'no reason given'})",
                        "is the address right, the camera on, the network there, and no other program using it?",
                    )
                continue
            first_s = frame.at_s if count == 0 else first_s
            if longest_s is not None and frame.at_s - first_s > longest_s:
                break
            sink.append(frame)
            count, last_s, seen_s = count + 1, frame.at_s, time.monotonic()
    except KeyboardInterrupt:
        pass
    if count == 0:
        raise CameraError("nothing was recorded", "the camera gave no frame")
    return count, last_s - first_s


def _recordings(arguments: argparse.Namespace) -> int:
    config = load(arguments.config)
    if arguments.gate is not None:
        _need_gate(config, arguments.gate, arguments.config)
    if arguments.plain and arguments.export is None:
        raise ConfigError("--plain is about --export", "give both, or leave --plain out")
    if arguments.since is not None and arguments.to is not None and arguments.since >= arguments.to:
        raise ConfigError("--to is not after --from: no time is between them", "both are in UTC unless they say otherwise (08:00+01:00)")
    folder = Path(config.state_dir) / RECORDINGS
    if not tapes_in(folder):
        _say(f"nothing is recorded in {folder}")
        return 0
    since, to = arguments.since if arguments.since is not None else 0.0, arguments.to if arguments.to is not None else float("inf")
    key = _key(config, str(folder))
    found = [each for each in catalogue(folder, key) if arguments.gate in (None, each.gate) and each.ends >= since and each.begins < to]
    if arguments.export is not None:
        return _export(config, found, key, since, to, arguments)
    if arguments.erase:
        try:
            for each in found:
                erase(each.path)
        except OSError as error:
            hint = "run this as the daemon's user; is the disk read-only?"
            raise StoreError(f"{folder}: cannot be erased ({error.strerror})", hint) from None
        _say(f"{counted(len(found), 'recording')} erased, {sum(each.bytes for each in found) / 1e6:.1f} MB")
        return 0
    if not found:
        _say(f"nothing of that gate and time is recorded in {folder}")
        return 0
    width = max(4, *(len(each.gate) for each in found))
    _say(f"{'gate':<{width}}  {'from':<24}  {'to':<24}   frames        MB  file, and how it ends")
    for each in found:
        ending = each.ending + (f" ({counted(each.lost, 'frame')} lost)" if each.lost else "") + (f": {each.why}" if each.why else "")
        times = f"{utc(each.begins)}  {utc(each.ends)}"
        _say(f"{each.gate:<{width}}  {times}  {each.frames:>7}  {each.bytes / 1e6:>8.1f}  {each.path.relative_to(folder)}: {ending}")
    return 0


def _export(config: Config, found: list[Listed], key: bytes, since: float, to: float, arguments: argparse.Namespace) -> int:
    gates = sorted({each.gate for each in found if each.why is None})
    if len(gates) != 1:
        what = f"several gates ({', '.join(gates)})" if gates else "nothing"
        raise ConfigError(
            f"--export: {what} recorded then", "the list without --export shows what there is; --gate, --from and --to choose"
        )
    for each in found:
        if each.why is not None:
            log.warning("left out: %s", each.why)
    readable, count = [each.path for each in found if each.why is None], 0
    with _sink(config, gates[0], arguments.export, found[0].begins, arguments.plain) as sink:
        for frame in _between(RecordedFrames(readable, key, log.warning), since, to):
            sink.append(frame)
            count += 1
    sealed = "" if arguments.plain else ", sealed with the key of this box"
    _say(f"{arguments.export}: {counted(count, 'frame')} of gate {gates[0]}{sealed}")
    return 0


def _between(recorded: RecordedFrames, since: float, to: float) -> Iterator[Frame]:
    try:
        for frame in frames_of(recorded):
            if since <= frame.captured_at < to:
                yield frame
            elif frame.captured_at >= to:
                return
    finally:
        recorded.close()


@contextmanager
def _sink(config: Config, gate: str, out: Path, at: float, plain: bool) -> Iterator[FrameSink]:
    """A new file or folder to put frames into, ended in any case. Raises StoreError for a disk that does not take it."""
    key = b"" if plain else _key(config, str(out))
    try:
        sink: FrameSink = PlainSink(out) if plain else SealedSink(out, key, gate, at)
        if plain:
            sys.stderr.write(f"ostiaryd: {out}: {PLAIN}\n")
        try:
            yield sink
        finally:
            sink.close()
    except FileExistsError:
        raise StoreError(f"{out}: there is one already", "it is not written over: give another name") from None
    except OSError as error:
        hint = "is its folder there, writable, and the disk not full?"
        raise StoreError(f"{out}: cannot be written ({error.strerror or error})", hint) from None


def _need_gate(config: Config, gate: str, path: Path) -> None:
    if gate not in config.gates:
        raise ConfigError(f"--gate: no gate {gate!r} in {path}", f"its gates are {', '.join(config.gates)}")


def _say(line: str) -> None:
    console().print(line)
