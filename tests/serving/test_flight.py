"""The flight recorder: what its lines hold, what they do not, and that a quiet night costs nothing."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from daemon.__main__ import main
from daemon.config import ConfigError, FlightConfig, GateConfig, RecordingConfig
from daemon.core.attention import Attention
from daemon.core.boxes import Box
from daemon.core.messages import utc
from daemon.core.passages.gatekeeper import Gatekeeper
from daemon.core.passages.rules import Rules
from daemon.core.status import Word
from daemon.core.tapes.frames import Lost, note_bytes
from daemon.core.tapes.lines import EMPTY_S, LineEncoder, Quiet
from daemon.core.tapes.tape import bounds
from daemon.core.values import Face, Frame, Person, Probe, Quality, View
from daemon.edges.camera import open_camera
from daemon.edges.metrics import Metrics
from daemon.edges.recorder import Shelf, tapes_in
from daemon.edges.store import Store, StoreError
from daemon.serving.flight import Flight
from daemon.serving.gate_worker import GateWorker
from daemon.serving.mailbox import CameraState
from daemon.serving.recorders import open_recorders, recording_room
from tests.fixtures.desk import JUDGE, NOW, PaintedDetector, command, painted
from tests.fixtures.engine_site import ALICE, CONFIG, STRANGER, Site
from tests.fixtures.frames import frames


class Kept:
    """A recorder that keeps the lines."""

    trouble: str | None = None

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def offer(self, gate: str, line: Any, size: int) -> bool:
        body = json.loads(LineEncoder().encode(line)[1:])
        assert gate == "north" and len(json.dumps(body)) < size
        self.lines.append(body)
        return True


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def site(store: Store, kept: Kept) -> Site:
    return Site(store, flight=Flight(kept, store.pseudonym))  # type: ignore[arg-type]


def test_a_visit_line_by_line(site: Site, store: Store, kept: Kept) -> None:
    site.asks(command("enroll", "E1", [painted(ALICE)], issued=100))
    site.sees(None, times=30)
    site.sees(ALICE, times=7)
    site.sees(None, times=9)
    site.mailbox.tell(CameraState("north", "down", "nothing new", True))
    site.turn()
    kinds = [next(kind for kind in ("empty", "faces", "decision", "camera") if kind in line) for line in kept.lines]
    assert kinds == ["camera", "empty", *["faces"] * 5, "decision", "faces", "faces", "empty", "camera"]
    assert [line["empty"] for line in kept.lines if "empty" in line] == [30, 9]
    faces = [line["faces"][0] for line in kept.lines if "faces" in line]
    assert [face["good"] for face in faces] == [1, 2, 3, 4, 5, 6, 7]
    assert faces[0] == {"passage": 1, "box": [100, 100, 80, 80], "score": 1.0, "quality": "ok", "good": 1}
    pseudonym = store.pseudonym("E1")
    settled = {"similarity": 1.0, "rival": -1.0, "person": pseudonym, "answer": "accept matched"}
    assert faces[4] == {**faces[0], "good": 5, **settled} and faces[6] == {**faces[0], "good": 7, **settled}
    (decision,) = [line for line in kept.lines if "decision" in line]
    assert (decision["person"], decision["similarity"], decision["changes"]) == (pseudonym, 1.0, False)
    assert kept.lines[-1] == {"at": utc(NOW + site.now_s), "camera": "down", "detail": "nothing new"}


def test_no_line_names_anybody_and_after_a_revocation_the_new_name_is_another(site: Site, store: Store, kept: Kept) -> None:
    site.asks(command("enroll", "E1", [painted(ALICE)], issued=100))
    site.sees(ALICE, times=6)
    first = store.pseudonym("E1")
    site.asks(command("revoke", "E1", issued=101))
    site.asks(command("enroll", "E1", [painted(ALICE)], issued=102))
    site.sees(ALICE, times=15)
    second = store.pseudonym("E1")
    assert "E1" not in json.dumps(kept.lines) and first != second
    people = [line["faces"][0].get("person") for line in kept.lines if "faces" in line]
    assert people[5] == first and people[-1] == second and first not in people[6:]


def test_a_closed_gate_and_a_stranger_have_lines_too(site: Site, kept: Kept) -> None:
    site.sees(STRANGER, times=8)
    (decision,) = [line for line in kept.lines if "decision" in line]
    assert (decision["decision"], decision["person"], decision["similarity"]) == ("unknown", None, -1.0), "nobody is enrolled"
    site.sees(None, times=10)
    site.gate.keeper.rules = replace(site.gate.keeper.rules, threshold=None)
    site.sees(ALICE, times=2)
    assert "faces" in kept.lines[-1] and "similarity" not in kept.lines[-1]["faces"][0]


def test_a_crowd_counts_by_its_faces_while_it_waits_to_be_written(kept: Kept) -> None:
    crop = np.zeros((112, 112, 3), np.uint8)
    crowd = tuple(Probe(Face(Box(100.0 * place, 100, 80, 80), 0.987654), crop, Quality.BLURRED) for place in range(200))
    keeper = Gatekeeper("north", Rules(0.5, 0.1, 3, 0.1, 8, 1.0, 4, 0.9, 0.4), 1.0)
    seen = View("north", 1, 1.0, NOW, crowd)
    keeper.observe(seen, [None] * 200, lambda vectors: [], lambda person, now: None)
    Flight(kept, lambda person: None).saw(seen, keeper)  # type: ignore[arg-type]
    assert len(kept.lines[-1]["faces"]) == 200, "and its size is what the recorder was told, or less"


def test_a_disk_that_fails_costs_the_name_and_not_the_line(kept: Kept) -> None:
    def failing(person: str) -> str:
        raise StoreError("no", "no")

    assert Flight(kept, failing)._name("E1") is None  # type: ignore[arg-type]


def view(number: int, at: float) -> View:
    return View("north", number, at, at, ())


def test_a_quiet_night_is_a_line_a_minute_and_no_frame_is_missing() -> None:
    quiet, lines = Quiet(), []
    for number in range(25 * 600):
        line = quiet.add(view(number, number / 25))
        lines += [line] if line is not None else []
    end = quiet.end()
    assert end is not None and quiet.end() is None
    assert len(lines) == 600 / EMPTY_S - 1 and sum(line.empty for line in (*lines, end)) == 25 * 600
    assert (lines[0].since, lines[0].at, lines[0].frame) == (utc(0), utc(EMPTY_S - 0.04), 25 * 60 - 1)


def test_a_clock_that_steps_back_begins_a_new_line() -> None:
    quiet = Quiet()
    assert quiet.add(view(0, 100.0)) is None
    line = quiet.add(view(1, 50.0))
    assert line is not None and (line.at, line.empty) == (utc(100.0), 1)
    rest = quiet.end()
    assert rest is not None and (rest.since, rest.empty) == (utc(50.0), 1)


# ---- who keeps what, and what the status says


def test_trouble_of_a_recorder_degrades_the_gate_and_does_not_close_it(store: Store) -> None:
    site = Site(store, unrecorded=lambda: {Word.RECORDING_STOPPED: "No space left on device"})
    site.sees(None)
    status = site.status()
    assert status["state"] == "degraded" and any(r.startswith("recording_stopped: No space") for r in status["reasons"])


@pytest.mark.parametrize(
    ("recording", "minutes", "folders"), [(False, 0, []), (False, 60, ["flight"]), (True, 60, ["flight", "recordings"])]
)
def test_only_what_is_wanted_is_kept(store: Store, tmp_path: Path, recording: bool, minutes: float, folders: list[str]) -> None:
    config = replace(
        CONFIG, state_dir=str(tmp_path), recording=RecordingConfig(enabled=recording), flight=FlightConfig(minutes=minutes)
    )  # fmt: skip
    recorders = open_recorders(config, store, Metrics())
    flight = Flight(recorders.flight, store.pseudonym)
    for frame in frames(3):
        recorders.record(frame)
        flight.saw(View("north", frame.number, frame.at_s, frame.captured_at, ()), Site(store).gate.keeper)
    flight.finish()
    recorders.close()
    assert not recorders.trouble()
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == folders


def test_a_worker_hands_over_every_frame_before_it_looks_at_it(tmp_path: Path) -> None:
    for number in range(5):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((60, 80, 3), 70 + 20 * number, np.uint8))
    happened: list[tuple[str, int]] = []

    class Watched(PaintedDetector):
        def detect(self, image: Any) -> Any:
            happened.append(("look", int(image[0, 0, 0])))
            return []

    def record(frame: Frame) -> None:
        happened.append(("record", int(frame.image[0, 0, 0])))

    camera = open_camera("north", GateConfig(source=str(tmp_path)))
    worker = GateWorker("north", camera, Attention(40), Watched(), JUDGE, lambda view, stop: True, lambda event: None, Metrics(), record)
    worker.start()
    worker.join(10)
    assert happened == [(what, 70 + 20 * number) for number in range(5) for what in ("record", "look")]


def test_check_says_how_much_room_recordings_may_take(tmp_path: Path) -> None:
    config = replace(CONFIG, state_dir=str(tmp_path / "not there yet"))
    assert recording_room(config) == "off"
    assert recording_room(replace(config, recording=RecordingConfig(enabled=True, most_mb=100))).startswith("up to 100 MB, none older")
    with pytest.raises(ConfigError, match="free on the disk"):
        recording_room(replace(config, recording=RecordingConfig(enabled=True, most_mb=10**9)))


def test_what_is_kept_is_printed_oldest_first_by_gate_and_time(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.transaction():
        store.put_person(Person("E1"))
    key, pseudonym = store.purpose_key("flight"), store.pseudonym("E1")
    shelf = Shelf(tmp_path / "flight", key, bounds(10**6, 1e9, 1, 1e9), "flight", 0)
    for gate, start in (("north", 1e9), ("south", 1e9 + 30)):
        tape = shelf.begin(gate, start, start)
        for minute in range(3):
            at = utc(start + 60 * minute)
            face = {"passage": 1, "person": pseudonym}
            tape.append(b"L" + json.dumps({"at": at, "frame": minute, "faces": [face, {"passage": 2, "person": "f" * 32}]}).encode())
        tape.append(note_bytes(Lost(4)))
        tape.abandon()
    config = tmp_path / "config.toml"
    gates = "".join(f'[gates.{gate}]\nsource = "x.mkv"\n' for gate in ("north", "south"))
    config.write_text(f'site = "t"\nstate_dir = "{tmp_path}"\n{gates}')

    def shown(*more: str) -> list[dict[str, Any]]:
        assert main(["flight", "--config", str(config), *more]) == 0
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    lines = shown()
    assert [line["gate"] for line in lines] == ["north", "south", "north", "south", "north", "north", "south", "south"]
    assert [face["person"] for face in lines[0]["faces"]] == ["E1", "f" * 32], "who is not enrolled any more has no name"
    assert [line["lost"] for line in lines if "lost" in line] == [4, 4]
    assert {line["gate"] for line in shown("--gate", "south")} == {"south"}
    monkeypatch.setattr("daemon.cli.flight.time.time", lambda: 1e9 + 150)
    assert [line.get("frame") for line in shown("--minutes", "1")] == [1, 2, None, 2, None]
    (north, south) = tapes_in(tmp_path / "flight")
    whole = north.read_bytes()
    north.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    south.write_bytes(south.read_bytes()[:90] + bytes(3))
    assert [line.get("frame", "damaged" in line.get("unreadable", "")) for line in shown("--gate", "north")] == [0, 1, 2, True]
    assert shown("--gate", "south") == []
