"""`ostiaryd calibrate` and the file it writes, and what the file does to a gate."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from daemon.__main__ import main
from daemon.cli.calibrate import alone, gate_named, text_of, walked
from daemon.config import Config, ConfigError, GateConfig, parse, read_site_calibration
from daemon.core.boxes import Box
from daemon.core.passages import defaults
from daemon.core.passages.rules import Adapting
from daemon.core.site import Passing, judge
from daemon.core.values import Face, Probe, Quality, Spread, Vector, View
from daemon.edges.gallery import Gallery
from daemon.pipeline.steps import Raised
from tests.fixtures.desk import NoThreshold
from tests.fixtures.walks import PEOPLE, TEMPLATES, unit, walks


class Card(NoThreshold):
    def threshold(self, gallery_size: int, target_fpir: float) -> float | None:
        return 0.5 if gallery_size <= 10 else None


def test_it_only_ever_raises_and_where_either_does_not_know_the_gate_closes() -> None:
    assert [Raised(Card(), floor).threshold(5, 0.01) for floor in (0.4, 0.5, 0.6, None)] == [0.5, 0.5, 0.6, None]
    assert Raised(Card(), 0.6).threshold(11, 0.01) is None


def test_the_file_reads_back_and_names_who_was_left_out(tmp_path: Path) -> None:
    passings = [walks("A", "B", 0.55), *map(walks, "BCDE"), Passing("A-2", PEOPLE["A"][None])]
    site = judge(passings, {**TEMPLATES, "A-2": TEMPLATES["A"]}, 0.01)
    file = tmp_path / "site.toml"
    at = datetime(2027, 3, 1, 8, 0, tzinfo=UTC)
    file.write_text(text_of(site, "faces-0123", "north", at=at))
    assert read_site_calibration(str(file)).measured_at == at
    assert read_site_calibration(str(file)).gates == ("north",)
    assert read_site_calibration(str(file)).thresholds == {"faces-0123": pytest.approx(site.threshold, abs=1e-4)}
    assert "A and A-2: 1.000" in file.read_text() and "Are they?" in file.read_text()
    nobody = text_of(replace(site, ignored=(), passages=1), "faces-0123", "north")
    assert "left out" not in nobody and "# 1 passage of " in nobody


@pytest.mark.parametrize("text", ["", "[thresholds]\nm = 1.5\n", '[thresholds]\nm = "high"\n', "threshold = 0.5\n", "[thresholds\n"])
def test_a_file_that_says_nothing_usable_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "site.toml").write_text(text)
    with pytest.raises(ConfigError):
        read_site_calibration(str(tmp_path / "site.toml"))


def test_recordings_that_show_nobody_are_named_and_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from daemon.edges.store import open_store

    open_store(tmp_path / "state").close()
    (tmp_path / "empty").mkdir()
    cv2.imwrite(str(tmp_path / "empty" / "0.png"), np.zeros((120, 160, 3), np.uint8))
    config = tmp_path / "config.toml"
    config.write_text(f'site = "t"\nstate_dir = "{tmp_path / "state"}"\n[gates.north]\nsource = "x.mkv"\n')
    out = tmp_path / "site.toml"
    refusals = {f"E1={tmp_path / 'empty'}": "no face is seen well", "E1": "not of the form", f"E1={tmp_path}/no.mkv": "no.mkv"}
    for recording, says in refusals.items():
        assert main(["calibrate", "--config", str(config), "--out", str(out), recording]) == 78
        assert says in " ".join(capsys.readouterr().err.split()) and not out.exists()


def frames(*people: npt.NDArray[np.float32]) -> Iterator[tuple[View, list[Vector | None]]]:
    """Each of them stands there for a second, at 20 frames a second, and then nobody for two."""
    number = 0
    for person in people:
        for frame in range(60):
            probes = (Probe(Face(Box(50, 50, 80, 80), 1.0), np.zeros((1, 1, 3), np.uint8), Quality.OK),) if frame < 20 else ()
            yield View("site", number, number / 20, number / 20, probes), [person] if probes else []
            number += 1


def test_a_day_without_labels_is_told_apart_by_the_adapting_gate() -> None:
    gallery = Gallery(8)
    for number, (person, vector) in enumerate(PEOPLE.items()):
        if person != "E":
            gallery.add(number, person, vector)
    rules = replace(defaults.rules(0.6, 0.4), adapts=Adapting(Spread(0.0, 0.1), 0.3, 0.3))
    day = frames(PEOPLE["A"], PEOPLE["E"], PEOPLE["B"], PEOPLE["E"], unit(1, 1), PEOPLE["A"])
    found = walked(day, rules, 1.0, gallery, before=3)
    assert [passing.person for passing in found] == ["A", "B", "A", "unknown 5", "unknown 5"], "the ambiguous one is left out"
    assert all(len(passing.looks) >= 1 for passing in found)


def test_several_gates_ask_for_the_name_of_one() -> None:
    one = Config(site="hq", gates={"north": GateConfig(source="a")})
    both = Config(site="hq", gates={"north": GateConfig(source="a"), "south": GateConfig(source="b")})
    assert [gate_named(None, one), gate_named("south", both)] == ["north", "south"]
    for gate, config, says in ((None, both, "several gates are configured"), ("east", both, "there is no gate east")):
        with pytest.raises(ConfigError, match=says):
            gate_named(gate, config)


def test_a_gate_is_measured_by_its_own_rules_and_no_file_of_a_gate_needs_to_be_there() -> None:
    table = {
        "site": "hq",
        "decision": {"site_calibration": "of-the-site.toml", "target_fpir": 0.02},
        "gates": {
            "north": {"source": "a", "decision": {"site_calibration": "north.toml", "target_fpir": 0.1}, "detector": {"min_face_px": 60}},
            "south": {"source": "b", "decision": {"site_calibration": "south.toml"}},
        },
    }
    here = alone(parse(table), "north")
    assert (here.decision.target_fpir, here.detector.min_face_px, here.decision.site_calibration) == (0.1, 60, "")
    assert list(here.gates) == ["north"] and here.at("north").decision == here.decision
