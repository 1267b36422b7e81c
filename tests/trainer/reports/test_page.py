"""The report: its numbers against the metrics they come from, its page as a browser reads it, and what little data does to both."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from daemon.core.bundle import Calibration, Card, Cell, Figure, Golden
from tests.fixtures.html_reader import Reader
from tests.trainer import faces
from trainer.measure import evaluate, metrics
from trainer.people.data import Crops, DataError
from trainer.reports import bands, curves, measure, page, plots, searches, words
from trainer.reports.verification import Gate

HISTORY = [
    {"stage": "identify", "step": 10, "epoch": 1.0, "rate": 1e-3, "loss": 5.0, "auc": 0.9, "eer": 0.2, "tar": float("nan"), "tar_1e2": 0.5},
    {"stage": "identify", "step": 20, "epoch": 2.0, "rate": 1e-4, "loss": 4.0, "auc": 0.9, "eer": 0.2, "tar": 0.3, "tar_1e2": 0.5},
    {"stage": "identify", "kept": True, "before": {"auc": 0.1}, "after": {"auc": 0.9}},
    {"stage": "triplet", "step": 5, "epoch": 1.0, "loss": 0.7, "eer": 0.1, "easy": 0.8, "semi_hard": 0.1, "hard": 0.1},
    {"stage": "triplet", "step": 5, "warning": "everybody <alike>"},
]
CARD = Card(
    schema=1, name="made up", created="2026-01-01T00:00:00+00:00", recipe_digest="ab", recipe='name = "<b>"', data_digest="cd",
    alignment="arcface-112-v1", dimension=16, licence="none & any", notes="", evaluation=(Figure("eer", 0.1, None, None, "others"),),
    calibration=Calibration((Cell(100, 0.01, 0.6, 900, 1000), Cell(100, 0.001, None, 900, 1000)), (), 1000, 499500, "made-up people"),
    golden=(Golden(1, (0.0,) * 16),),
)  # fmt: skip
VILLAINS = (
    "</script><script>alert(1)</script>\"'&<b>",
    "{{ 7 * 7 }}{% raw %}{# #}",
    "two\nlines",
    "' onmouseover='alert(1)",
    '"><img src=x onerror=alert(1)>',
    "$x^2$ \\",
)


def crops_of(images: list[int], pixels: bool = False, name: str = "p") -> Crops:
    person = np.repeat(np.arange(len(images)), images)
    shown = [faces.picture(int(who), index) for index, who in enumerate(person)] if pixels else np.zeros((len(person), 1, 1, 3))
    people = tuple(f"{name}{who}" for who in range(len(images)))
    return Crops(np.asarray(shown, np.uint8), people, person, tuple(f"{people[who]}/{n}.jpg" for n, who in enumerate(person)), "")


def vectors_of(crops: Crops, noise: float = 0.9, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    raw = rng.standard_normal((len(crops.people), 16))[crops.person] + noise * rng.standard_normal((len(crops), 16))
    return np.asarray(raw / np.linalg.norm(raw, axis=1, keepdims=True), np.float32)


def test_numbers_are_those_of_the_metrics() -> None:
    crops = crops_of([4] * 40)
    vectors = vectors_of(crops)
    found = json.loads(measure.to_json(measure.measure(vectors, crops, model="m", on="x")))["verification"]
    genuine, impostor = metrics.all_pairs(vectors, crops.person)
    figures = {figure["name"]: figure for figure in found["figures"]}
    assert figures["auc"]["value"] == metrics.auc(genuine, impostor)
    assert figures["eer"]["value"] == metrics.eer(genuine, impostor)
    assert figures["auc"]["low"] < figures["auc"]["value"] < figures["auc"]["high"]
    for point in found["operating"]:
        same = metrics.at_fmr(genuine, impostor, point["target"])
        assert point["threshold"] == same.threshold
        if same.threshold is not None:
            assert (point["fmr"], point["tar"]) == (same.fmr, same.tar)
            assert point["errors"] == round(same.fmr * len(impostor)) and 0 < point["people_pairs"] <= point["errors"]
    assert [point["target"] for point in found["operating"] if point["threshold"] is None] == [1e-5, 1e-6]
    exact = {(fmr, tar) for fmr, tar in zip(*metrics.roc(genuine, impostor)[:2], strict=True)}
    for fmr, tar, low, high in zip(*(found["roc"][name] for name in ("fmr", "tar", "low", "high")), strict=True):
        assert low <= tar <= high and min(abs(fmr - f) + abs(tar - t) for f, t in exact) < 1e-9
    assert sum(found["histogram"]["genuine"]) == len(genuine) and sum(found["histogram"]["impostor"]) == len(impostor)


def test_the_bootstrap_is_that_of_counting_by_hand() -> None:
    # Some steps of the threshold hold few pairs and some hold many, which are counted in two ways.
    crops = crops_of([3, 2, 4, 1, 2, 3, 1, 2])
    vectors = vectors_of(crops)
    pairs = bands.all_pairs(vectors @ vectors.T, crops.person)
    found = bands.curve(pairs, seed=3, resamples=20)
    drawn = np.random.default_rng(3).multinomial(8, np.full(8, 1 / 8), size=20)
    row = 0
    for weight in drawn:
        genuine = weight[pairs.owner]
        impostor = weight[pairs.first] * weight[pairs.second]
        if not genuine.sum() or not impostor.sum():
            continue
        for place, threshold in enumerate(found.threshold):
            assert found.drawn_tar[row, place] == pytest.approx(genuine[pairs.genuine >= threshold].sum() / genuine.sum())
            assert found.drawn_fmr[row, place] == pytest.approx(impostor[pairs.impostor >= threshold].sum() / impostor.sum())
        row += 1
    assert row == len(found.drawn_tar) > 5


def test_few_people_make_wide_bands() -> None:
    def width(people: int) -> float:
        crops = crops_of([4] * people)
        vectors = vectors_of(crops)
        low, high = bands.tar_at(bands.curve(bands.all_pairs(vectors @ vectors.T, crops.person)), 1e-1)
        return high - low

    assert width(10) > 1.5 * width(80)


def test_open_set_is_that_of_evaluate() -> None:
    crops = crops_of([3] * 60)
    vectors = vectors_of(crops)
    curve = searches.open_set(vectors @ vectors.T, crops.person, 10)
    assert curve is not None and curve.fpir[0] == pytest.approx(1 / 50) and curve.fpir[-1] == 1
    figures = {figure.name: figure for figure in evaluate.open_set_figures(vectors, crops.person, "x")}
    assert curve.fnir[curve.fpir.index(0.1)] == pytest.approx(figures["fnir@fpir=1e-01,n=10"].value, abs=0.03)
    assert all(np.diff(curve.fnir) <= 0)
    assert searches.open_set(vectors @ vectors.T, crops.person, 60) is None


def test_cmc_counts_ties_against_us() -> None:
    crops = crops_of([2] * 5)
    blind = searches.cmc(np.ones((10, 10)), crops.person)
    assert blind is not None and blind.share == (0, 0, 0, 0, 1)
    perfect = searches.cmc((crops.person[:, None] == crops.person).astype(float), crops.person)
    assert perfect is not None and perfect.share[0] == 1


def test_gate_takes_the_cards_threshold() -> None:
    crops = crops_of([4] * 30)
    vectors = vectors_of(crops)
    genuine, impostor = metrics.all_pairs(vectors, crops.person)
    gate = measure.measure(vectors, crops, card=CARD, model="m", on="x", gate=80, fpir=0.01).gate
    assert (gate.basis, gate.threshold, gate.tar) == ("card", 0.6, float(np.mean(genuine >= 0.6)))
    assert gate.fmr == float(np.mean(impostor >= 0.6))
    assert gate.low is not None and gate.tar is not None and gate.high is not None and gate.low < gate.tar < gate.high
    assert measure.measure(vectors, crops, card=CARD, model="m", on="x", gate=100, fpir=0.001).gate.basis == "unknown"
    plain = measure.measure(vectors, crops, model="m", on="x", gate=10, fpir=0.1).gate
    assert plain.basis == "people" and plain.threshold == metrics.at_fmr(genuine, impostor, 1 - 0.9**0.1).threshold


def test_hardest_pairs_do_not_repeat_a_person() -> None:
    crops = crops_of([4] * 12)
    vectors = vectors_of(crops)
    found = measure.measure(vectors, crops, model="m", on="x")
    genuine, impostor = metrics.all_pairs(vectors, crops.person)
    assert found.hardest_genuine[0].similarity == genuine.min() and found.hardest_impostor[0].similarity == impostor.max()
    owners = [pair.a.split("/")[0] for pair in found.hardest_genuine]
    assert len(set(owners)) == len(owners) == measure.HARDEST
    similar = [pair.similarity for pair in found.hardest_impostor]
    assert similar == sorted(similar, reverse=True)


def test_map_keeps_the_variance_it_says() -> None:
    crops = crops_of([5] * 15)
    vectors = vectors_of(crops)
    found = measure.embedding_map(vectors, crops)
    assert found is not None and len(found.people) == measure.MAP_PEOPLE
    chosen = vectors[: 5 * measure.MAP_PEOPLE]
    total = float(np.var(chosen.astype(np.float64), axis=0).sum())
    x = np.concatenate([cloud.x for cloud in found.people])
    assert float(np.var(x)) / total == pytest.approx(found.explained[0], rel=1e-3)


def test_page_is_whole_and_asks_nobody(tmp_path: Path) -> None:
    crops = crops_of([4] * 15, pixels=True, name="<script>alert(1)</script> & ")
    names, same = crops.names, np.arange(40) < 20
    pairs = ([names[4 * i] for i in range(15)] * 2 + list(names[:10]), [*names[1::4], *names[1:60:4], *names[20:30]], same)
    pairs[2][:] = [a.split("/")[-2] == b.split("/")[-2] for a, b in zip(pairs[0], pairs[1], strict=True)]
    earlier = measure.Earlier(vectors_of(crops, 3.0), metrics.cosine, "<i>nothing</i>")
    told: dict[str, Any] = {"history": HISTORY, "card": CARD, "model": "<i>m</i>", "on": "a & b", "made": "2026-01-02", "earlier": earlier}
    found = measure.measure(vectors_of(crops), crops, pairs, **told)
    text = page.write(tmp_path / "new", found, crops).read_text(encoding="utf-8")
    read = Reader(text)
    assert not read.open
    assert "script" not in read.tags and "i" not in read.tags and "<script>alert(1)</script> & 0" in read.text
    assert all(value.startswith(("#", "data:image/jpeg;base64,")) for value in read.fetched)
    assert read.tags.count("img") == 2 * (len(found.hardest_genuine) + len(found.hardest_impostor))
    assert "url(" not in re.sub(r"url\(#", "", text) and "@import" not in text and "xmlns" not in text
    assert read.headings == [
        "One picture against one", "Before and after the training", "How alike pairs are", "Mean distances",
        "Searching a gallery", "Thresholds of the card", "Pair list", "Hardest pairs",
        "Map of the embeddings", "Training", "Card",
    ]  # fmt: skip
    assert "everybody <alike>" in read.text and "from here: triplet" in read.text and "semi-hard" in read.text
    assert len(set(read.ids)) == len(read.ids) and {value[1:] for value in read.fetched if value[0] == "#"} <= set(read.ids)
    assert not re.search(r"\bnan\b|\bNone\b|\binf\b", read.text + (tmp_path / "new" / "report.json").read_text())
    assert msgspec.json.decode((tmp_path / "new" / "report.json").read_bytes(), type=measure.Report) == found
    assert page.render(found, page.pictures(found, crops)) == text


@pytest.mark.parametrize("villain", VILLAINS)
def test_names_are_text_and_nothing_else(villain: str) -> None:
    def made(name: str) -> str:
        crops = crops_of([3] * 4, name=f"{name}/")
        history = [{"stage": "one", "epoch": 1.0, "loss": 1.0}, {"stage": name, "epoch": 1.0, "loss": 1.0, "warning": name}]
        card = msgspec.structs.replace(
            CARD, name=name, licence=name, notes=name, recipe=name, evaluation=(Figure(name, 0.1, None, None, name),)
        )
        found = measure.measure(vectors_of(crops), crops, history=history, card=card, model=name, on=name, made=name)
        return page.render(found, dict.fromkeys(crops.names, b"jpeg"))

    found, plain = Reader(made(villain)), Reader(made("m"))
    # A label of two lines is two texts.
    tags, others = ([tag for tag in one.tags if tag != "text"] for one in (found, plain))
    assert not found.open and tags == others and [*map(len, found.fetched)] == [*map(len, plain.fetched)]
    text, shown = " ".join(found.text.split()), " ".join(villain.split())
    for place in (
        f"Report: {shown}",
        f"4 people ({shown})",
        f"{shown}/0/0.jpg",
        f"{shown}/0 (3)",
        f"from here: {shown}",
        f"licence{shown}",
    ):
        assert place in text


def test_curves_begin_at_step_0_and_leave_out_what_is_no_number() -> None:
    nan = float("nan")
    history: list[dict[str, Any]] = [
        {"step": 0, "same": 0.3, "auc": 0.5},
        {"stage": "a", "step": 5, "epoch": 1.0, "same": 0.2},
        {"stage": "a", "step": 9, "epoch": 2.0, "same": nan, "auc": None},
        {"stage": "a", "step": 9, "warning": "x"},
        {"stage": "b", "step": 0, "epoch": 0.0, "same": 0.2},
        {"stage": "b", "step": 5, "epoch": 1.0, "same": 0.1, "auc": float("inf")},
    ]
    assert curves.pieces(history, "same", 1) == [("a", [0.0, 1.0], [0.3, 0.2]), ("b", [2.0, 3.0], [0.2, 0.1])]
    assert curves.pieces(history, "auc", 100) == [("a", [0.0], [50.0])] and curves.pieces(history, "eer", 1) == []
    titles = [title for title, _ in curves.training(history)]
    assert titles == ["Area under the ROC on val people", "Mean distance of two pictures"]


def test_before_and_after_are_the_same_pairs() -> None:
    crops = crops_of([3] * 8)
    now, then = vectors_of(crops), vectors_of(crops, 4.0)
    found = measure.measure(now, crops, model="m", on="x", earlier=measure.Earlier(then, metrics.cosine, "noise")).before
    genuine, impostor = metrics.all_pairs(then, crops.person)
    assert found is not None and found.distances is not None and found.distances_after is not None
    figures = {figure.name: figure.value for figure in found.figures}
    assert (figures["auc"], figures["eer"]) == (metrics.auc(genuine, impostor), metrics.eer(genuine, impostor))
    assert found.distances == pytest.approx([float(metrics.distance(kind).mean()) for kind in (genuine, impostor)])
    assert found.distances_after[0] < found.distances[0] and list(found.fmr) == sorted(found.fmr)
    broken = measure.Earlier(then * np.nan, metrics.cosine, "NaN")
    assert measure.measure(now, crops, model="m", on="x", earlier=broken).before is None


def test_classes_few_and_many() -> None:
    few, many = crops_of([3, 3, 1]), crops_of([2] * 13)
    found = measure.measure(vectors_of(few), few, model="m", on="x").classes
    assert found is not None and found.people == ("p0", "p1", "p2") and found.table[2][2] is None and found.table[0][1] == found.table[1][0]
    closest = measure.measure(vectors_of(many), many, model="m", on="x").classes
    assert closest is not None and not closest.table and len(closest.closest) == 10
    distances = [couple.distance for couple in closest.closest]
    assert distances == sorted(distances)


@pytest.mark.parametrize("images", [[2, 1], [1, 1, 1], [3], [2, 2], [1, 5]])
def test_little_data_gives_sentences(images: list[int]) -> None:
    crops = crops_of(images)
    found = measure.measure(vectors_of(crops), crops, model="m", on="few")
    read = Reader(page.render(found, {}))
    assert not read.open and "Not in this report" in read.headings
    assert "no threshold is known" in read.text and "no history was given" in read.text and "the model has none" in read.text
    assert not re.search(r"\bnan\b|\bNone\b|\binf\b", read.text)
    assert msgspec.json.decode(measure.to_json(found), type=measure.Report) == found


def test_nobody_alike_and_everybody_alike() -> None:
    crops = crops_of([3, 3, 3])
    for vectors in (np.eye(3, dtype=np.float32)[crops.person], np.full((9, 4), 0.5, np.float32)):
        found = measure.measure(vectors, crops, model="m", on="x", gate=1, fpir=0.1)
        assert found.verification is not None and len(plots.roc(found.verification)) > 1000
        assert not Reader(page.render(found, {})).open


def test_the_sentence_about_a_gate() -> None:
    said = words._gate(Gate(100, 0.01, "card", 0.648, 0.21, 0.17, 0.24, 5.2e-5))
    plain = said[0].replace("\N{NO-BREAK SPACE}", " ").replace("\N{WORD JOINER}", "")
    assert "21.0 % (17.0–24.0) of rightful tries: about 79 of 100 fail" in plain and "about 0.52 % of strangers' tries" in plain
    assert [words.rate(share).split("\N{NO-BREAK SPACE}")[0] for share in (0, 1, 0.5, 0.00012, 0.9999)] == [
        "0.0",
        "100.0",
        "50.0",
        "0.012",
        "99.99",
    ]


def test_what_cannot_be_reported() -> None:
    crops = crops_of([2, 2])
    vectors = vectors_of(crops)
    with pytest.raises(measure.ReportError, match="3 vectors for 4 crops"):
        measure.measure(vectors[:3], crops, model="m", on="x")
    with pytest.raises(measure.ReportError, match="not numbers"):
        measure.measure(vectors * np.nan, crops, model="m", on="x")
    with pytest.raises(DataError, match="nobody/0"):
        measure.measure(vectors, crops, (["nobody/0"], [crops.names[0]], np.array([True])), model="m", on="x")


def test_unwritable_folder(tmp_path: Path) -> None:
    crops = crops_of([2, 2])
    (tmp_path / "file").touch()
    with pytest.raises(measure.ReportError, match="cannot write"):
        page.write(tmp_path / "file", measure.measure(vectors_of(crops), crops, model="m", on="x"))
