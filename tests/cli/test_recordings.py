"""Recordings of a serving daemon, and the commands about them: what is replayed is what the gate saw and decided."""

import contextlib
import csv
import io
import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from bench.gate_clips import enrolment_frame, heard
from daemon.__main__ import main
from daemon.cli.recordings import record
from daemon.config import GateConfig
from daemon.core.values import Frame
from daemon.edges.camera import CameraError, frames_of, open_camera
from daemon.edges.detector import open_detector
from daemon.edges.recorder import RecordedFrames, SealedSink, tapes_in
from daemon.edges.store import open_store
from tests.conftest import ROOT
from tests.fixtures.frames import frames, same
from tests.fixtures.running import configure, ctl, daemon_running, ostiaryd, result
from tests.fixtures.still import RULES, Still, state, still_gate

skimage_data = pytest.importorskip("skimage.data")

COMPARED = ("frame", "passage", "decision", "reason", "person", "similarity", "centred", "changes")
RECORDING = f"[recording]\nenabled = true\n{RULES}"


@pytest.fixture(scope="module")
def visit(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A portrait as a JPEG file, and a folder of frames: that person comes, goes, and comes back half in the dark."""
    folder = tmp_path_factory.mktemp("visit")
    portrait, noise = skimage_data.astronaut()[:, :, ::-1], np.random.default_rng(1)
    cv2.imwrite(str(folder / "portrait.jpg"), portrait)
    image = cv2.resize(portrait, (240, 240))
    scenes = [image] * 25 + [np.full_like(image, 90)] * 30 + [(image * 0.35).astype(np.uint8)] * 25
    (folder / "frames").mkdir()
    for number, scene in enumerate(scenes):
        noisy = np.clip(scene + noise.normal(0, 3, scene.shape), 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / "frames" / f"{number:03}.png"), noisy)
    return folder / "portrait.jpg", folder / "frames"


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


def here(*arguments: object) -> Done:
    """A command in this process, which spares it the start of another."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([str(argument) for argument in arguments])
    return Done(status, out.getvalue(), err.getvalue())


def flown(config: Path) -> list[dict[str, Any]]:
    shown = here("flight", "--config", config)
    assert shown.returncode == 0, shown.stderr
    return [json.loads(line) for line in shown.stdout.splitlines()]


def replayed(*arguments: object) -> list[dict[str, Any]]:
    again = here("replay", *arguments)
    assert again.returncode == 0, again.stderr
    return [json.loads(line) for line in again.stdout.splitlines()]


def need_same(config: Path, published: list[dict[str, Any]], gates: dict[str, int]) -> None:
    """The replay of each gate's tapes says what its daemon said: as published, and as the flight recorder has it, with similarities."""
    listed, flight = here("recordings", "--config", config).stdout, flown(config)
    assert listed.count(" whole") == len(gates) and "lost" not in listed, listed
    for gate, count in gates.items():
        own = [line for line in flight if line["gate"] == gate and "decision" in line]
        # A replay leaves `centred` out where nothing is centred.
        told = [{key: line[key] for key in COMPARED if key != "centred" or line[key] is not None} for line in own]
        assert replayed(config.parent / "state" / "recordings" / gate, "--config", config) == told and told
        said = [(m["decision"], m["reason"], m["person"]) for m in published if m["gate"] == gate]
        assert [(line["decision"], line["reason"], line["person"]) for line in told] == said
        seen = [line for line in flight if line["gate"] == gate and ("faces" in line or "empty" in line)]
        assert sum(line.get("empty", 1) for line in seen) == count, "every frame is in a line"


def frames_in(tape: Path, folder: Path) -> list[Frame]:
    store = open_store(folder / "state", read_only=True)
    source = RecordedFrames([tape], store.purpose_key("recordings"), print)
    store.close()
    return list(frames_of(source))


def played(config: Path, broker: int) -> list[dict[str, Any]]:
    """The decisions that a daemon publishes about its sources, seen to their end."""
    with heard(broker) as messages:
        run = ostiaryd("run", "--config", config, "--until-end")
        assert run.returncode == 0, run.stderr
        time.sleep(0.5)
    return [message for topic, message in messages if topic.endswith("/decision")]


@pytest.mark.broker
def test_what_a_daemon_recorded_replays_to_what_it_decided(tmp_path: Path, broker: int, visit: tuple[Path, Path]) -> None:
    portrait, source = visit
    state(tmp_path, {"E1": portrait}, broker)
    config = configure(tmp_path, broker, source, extra=RECORDING)
    published = played(config, broker)
    assert ("accept", "E1") in {(m["decision"], m["person"]) for m in published}
    need_same(config, published, {"north": 80})
    pseudonym = open_store(tmp_path / "state", read_only=True).pseudonym("E1")
    lines = flown(config)
    assert {"E1"} == {line["person"] for line in lines if line.get("person")}
    assert [line["camera"] for line in lines if "camera" in line][-2:] == ["up", "ended"]

    # Nobody without the key reads any of it, and nothing of it is in the clear.
    for path in (*tapes_in(tmp_path / "state" / "recordings"), *tapes_in(tmp_path / "state" / "flight")):
        content = path.read_bytes()
        assert not [w for w in (b"\x89PNG\r\n", b"\0\0\0\rIHDR", b'"person"', b"similarity", str(pseudonym).encode()) if w in content], path
    (tape,) = tapes_in(tmp_path / "state" / "recordings")
    keyless = here("replay", tape, "--enroll", f"E1={portrait}")
    assert keyless.returncode == 78 and "sealed" in keyless.stderr and "--config" in keyless.stderr, keyless.stderr
    calibrated = here("calibrate", "--config", config, "--out", tmp_path / "site.toml", f"E1={tape}")
    assert calibrated.returncode == 78 and "record more people" in calibrated.stderr, "read, and one person is too few"

    # A part of it that begins between two whole pictures has these very pictures.
    seen = frames_in(tape, tmp_path)
    since, to = (datetime.fromtimestamp(seen[number].captured_at - 0.01, UTC).isoformat() for number in (20, 70))
    cut = here("recordings", "--config", config, "--from", since, "--to", to, "--export", tmp_path / "cut.tape")
    assert "50 frames of gate north" in cut.stdout, cut
    assert all(same(a, b) for a, b in zip(frames_in(tmp_path / "cut.tape", tmp_path), seen[20:70], strict=True))

    # All of it, sealed and plain; what is exported says the same about the frames that are in it.
    middle = "2001-01-01", "2101-01-01"
    for number, plain in enumerate(([], ["--plain"])):
        out = tmp_path / f"part-{number}"
        done = here("recordings", "--config", config, "--from", middle[0], "--to", middle[1], "--export", out, *plain)
        assert done.returncode == 0 and "80 frames of gate north" in done.stdout, done.stderr
        assert ("not sealed" in done.stderr) == bool(plain)
        assert replayed(out, "--config", config) == replayed(source, "--config", config)
    again = here("recordings", "--config", config, "--export", tmp_path / "part-0")
    assert again.returncode == 1 and "not written over" in again.stderr

    # Somebody revoked is named no more, and their pictures are still there: until they are erased.
    with daemon_running(configure(tmp_path, broker, Path("/dev/video99"), extra=RECORDING)):
        assert result(ctl(config, "revoke", "E1"))["status"] == "done"
    named = {line["person"] for line in flown(config) if line.get("person")}
    assert named == {pseudonym}
    assert tape.exists()
    assert "0 recordings erased" in here("recordings", "--config", config, "--erase", "--to", "2001-01-01").stdout
    assert "1 recording erased" in here("recordings", "--config", config, "--erase", "--gate", "north").stdout
    assert not tape.exists() and "nothing is recorded" in here("recordings", "--config", config).stdout


@pytest.mark.data
@pytest.mark.broker
def test_two_gates_of_real_people_replay_to_what_was_decided(tmp_path: Path, broker: int, data_dir: Path) -> None:
    clips = data_dir / "clips/asl"
    with (clips / "identities.csv").open() as file:
        people = {row["clip"]: row["person"] for row in csv.DictReader(file)}
    of = {person: [clips / clip for clip, who in people.items() if who == person] for person in "ACE"}
    photos = {}
    for person in "AC":  # not B, who looks like A to the bundled model
        photos[person] = tmp_path / f"{person}.jpg"
        photos[person].write_bytes(enrolment_frame(of[person][0], open_detector("haar", 40)))
    south = f'[gates.south]\nsource = "{of["E"][0]}"\n'
    state(tmp_path, photos, broker)
    config = configure(tmp_path, broker, of["A"][1], extra=RECORDING + south)
    published = played(config, broker)
    assert {m["person"] for m in published if m["decision"] == "accept"} == {"A"}
    need_same(config, published, {"north": _frames(of["A"][1]), "south": _frames(of["E"][0])})


def _frames(clip: Path) -> int:
    return sum(1 for _ in frames_of(open_camera("g", GateConfig(source=str(clip)))))


# ---- ostiaryd record


def test_record_writes_what_the_camera_gives_sealed_or_plain(tmp_path: Path, visit: tuple[Path, Path]) -> None:
    portrait, source = visit
    config, enrolled = still_gate(tmp_path, source), f"E1={portrait}"
    sealed, plain = tmp_path / "e1.tape", tmp_path / "e1"
    done = here("record", "--config", config, "--gate", "north", "--out", sealed)
    assert done.returncode == 0 and "80 frames in 3.2 s, sealed" in done.stdout, done.stderr
    done = here("record", "--config", config, "--gate", "north", "--out", plain, "--seconds", "1", "--plain")
    assert done.returncode == 0 and "26 frames" in done.stdout and done.stderr.startswith(f"ostiaryd: {plain}: not sealed"), done.stderr
    assert replayed(sealed, "--config", config, "--enroll", enrolled) == replayed(source, "--config", config, "--enroll", enrolled)
    names = sorted(path.name for path in plain.iterdir())
    assert len(names) == 27 and all(path.stat().st_mode & 0o077 == 0 for path in (plain, *plain.iterdir()))
    for name, original in zip(names[:-1], sorted(source.iterdir()), strict=False):
        one, other = cv2.imread(str(plain / name)), cv2.imread(str(original))
        assert one is not None and other is not None and np.array_equal(one, other)
    with (plain / "frames.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["number"] for row in rows] == [str(n) for n in range(26)] and float(rows[25]["at_s"]) - float(rows[0]["at_s"]) == 1.0
    again = here("record", "--config", config, "--gate", "north", "--out", sealed)
    assert again.returncode == 1 and "not written over" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["record", "--gate", "west", "--out", "x"], 78, "no gate 'west'"),
        (["record", "--gate", "north", "--out", "absent/x"], 1, "cannot be written"),
        (["recordings", "--gate", "west"], 78, "no gate 'west'"),
        (["flight", "--gate", "west"], 78, "no gate 'west'"),
        (["recordings", "--plain"], 78, "--plain is about --export"),
        (["recordings", "--from", "2027-03-02", "--to", "2027-03-01"], 78, "--to is not after --from"),
        (["recordings", "--from", "yesterday"], 2, "--from"),
        (["flight", "--minutes", "-1"], 2, "above 0"),
        (["record", "--gate", "north", "--out", "x", "--seconds", "0"], 2, "above 0"),
        (["replay", "clip.mkv", "--expect", "config.toml"], 78, "line 1 is no decision"),
        (["replay", "clip.tape"], 78, "another key"),
        (["replay", "."], 78, "another key"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_a_hint(
    tmp_path: Path, visit: tuple[Path, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    arguments: list[str], status: int, says: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    config = still_gate(tmp_path, visit[1])
    sink = SealedSink(tmp_path / "clip.tape", b"another" * 4 + b"key!", "north", 0.0)
    sink.close()
    try:
        ended = main([*arguments, "--config", str(config)])
    except SystemExit as error:  # what argparse itself refuses
        ended = int(str(error.code))
    assert ended == status
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 2 and says in lines[0] and lines[1].startswith("  hint: ")


def test_without_a_store_there_is_no_key_and_plain_needs_none(tmp_path: Path, visit: tuple[Path, Path]) -> None:
    config = configure(tmp_path, 1, visit[1])
    done = here("record", "--config", config, "--gate", "north", "--out", tmp_path / "x")
    assert done.returncode == 78 and "sealed, and there is no key" in done.stderr
    assert here("record", "--config", config, "--gate", "north", "--out", tmp_path / "x", "--plain", "--seconds", "0.1").returncode == 0


def test_a_camera_that_goes_silent_is_an_error_and_what_it_gave_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.cli.recordings.NO_PICTURE_S", 0.05)
    given = frames(4)
    sink = SealedSink(tmp_path / "a", b"k" * 32, "north", 0.0)
    with pytest.raises(CameraError, match=r"after 4 frames \(unplugged\)"):
        record(Still(list(given)), sink, None)
    sink.close()
    source = RecordedFrames([tmp_path / "a"], b"k" * 32, print)
    assert all(same(frame, source.read(0.0) or frame) for frame in given) and source.gate == "north"


def test_ctrl_c_ends_a_recording_whole(tmp_path: Path) -> None:
    config = still_gate(tmp_path, tmp_path / "x")
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(3):
        cv2.imwrite(str(folder / f"{number}.png"), frames(1, number)[0].image)
    code = f"""
import signal, sys, itertools
from daemon.cli import recordings
from daemon.core.values import Frame
from tests.fixtures.frames import frames
from tests.fixtures.still import Still
class Endless(Still):
    def read(self, timeout_s):
        import time; time.sleep(0.01); print("frame", flush=True)
        return frames(1)[0]
recordings.open_camera = lambda *a, **k: Endless([])
from daemon.__main__ import main
sys.exit(main(["record", "--config", {str(config)!r}, "--gate", "north", "--out", {str(tmp_path / "out.tape")!r}]))
"""
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(5):
            process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 0 and "sealed with the key of this box" in out, err
    store = open_store(tmp_path / "state", read_only=True)
    warnings = list[str]()
    source = RecordedFrames([tmp_path / "out.tape"], store.purpose_key("recordings"), warnings.append)
    store.close()
    assert source.read(0.0) is not None
    while source.read(0.0) is not None:
        pass
    assert not warnings
