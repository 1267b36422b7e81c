"""Runs side by side: what counts as a difference, as a cost, and as better."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from daemon.core.bundle import Figure
from tests.fixtures.html_reader import Reader
from trainer.measure import evaluate
from trainer.reports import side_by_side
from trainer.reports.side_by_side import CompareError, better

OLD = 'name = "faces"\nseed = 1\n[network]\nwidths = [8, 16]\n[identify]\nepochs = 2\n'
NEW = 'name = "[red]<i>"\nseed = 1\n[network]\nwidths = [8, 16]\n[[stages]]\nkind = "identify"\nepochs = 3\n[[stages]]\nkind = "triplets"\n'


def line(stage: str, step: int, epoch: float, **more: object) -> str:
    shown = {
        "stage": stage,
        "step": step,
        "epoch": epoch,
        "crops": step * 32,
        "elapsed_s": step / 2,
        "crops_per_s": 64.0,
        "auc": 0.9,
        "eer": 0.1,
        "tar": None,
    }
    return json.dumps(shown | more) + "\n"


def run(where: Path, recipe: str, history: str = "", figures: list[Figure] | None = None, kept: str = '{"auc": 0.9, "tar": null}') -> Path:
    where.mkdir(parents=True)
    (where / "recipe.toml").write_text(recipe)
    (where / "run.json").write_text(json.dumps({"data_digest": "ab" * 32}))
    (where / "history.jsonl").write_text(history)
    (where / "kept.json").write_text(kept)
    if figures is not None:
        (where / "evaluation.json").write_bytes(evaluate.to_json(figures))
    return where


def printed(runs: tuple[side_by_side.Summary, ...]) -> str:
    out = io.StringIO()
    Console(file=out, width=200).print(side_by_side.table(runs))
    return out.getvalue()


def test_recipes_old_and_new_by_their_differing_keys(tmp_path: Path) -> None:
    runs = side_by_side.compare([run(tmp_path / "a", OLD), run(tmp_path / "b", NEW)])
    cells = {row.name: row.cells for row in side_by_side.rows(runs) if row.section == "recipe"}
    assert cells == {
        "name": ("faces", "[red]<i>"),
        "identify.epochs": ("2", "–"),
        "stages.0.kind": ("–", "identify"),
        "stages.0.epochs": ("–", "3"),
        "stages.1.kind": ("–", "triplets"),
    }
    assert "[red]<i>" in printed(runs)


def test_costs_over_stages(tmp_path: Path) -> None:
    # A warning and a verdict are no validations.
    history = line("identify", 10, 1.0, cpu_s=6.0) + line("identify", 20, 2.0, elapsed_s=60.0, cpu_s=30.0)
    history += json.dumps({"stage": "identify", "step": 20, "warning": "x"}) + "\n" + json.dumps({"stage": "t", "kept": True}) + "\n"
    history += line("triplets", 6, 0.5, elapsed_s=3.0, cpu_s=12.0) + '{"stage": "trip'
    (summary, _) = side_by_side.compare([run(tmp_path / "a", OLD, history), run(tmp_path / "b", OLD)])
    assert side_by_side.cost(summary.history) == {"epochs": "2.5", "crops seen": "832", "CPU minutes": "0.7", "minutes": "1.1"}
    assert set(side_by_side.cost(()).values()) == {"–"}


def figure(name: str, value: float | None, low: float | None, high: float | None) -> Figure:
    return Figure(name, value, low, high, "x")


@pytest.mark.parametrize(
    ("figures", "best"),
    [
        ([figure("tar@1e-02", 0.7, 0.65, 0.74), figure("tar@1e-02", 0.8, 0.75, 0.85)], 1),
        ([figure("tar@1e-02", 0.7, 0.65, 0.76), figure("tar@1e-02", 0.8, 0.75, 0.85)], None),
        ([figure("eer", 0.1, 0.09, 0.11), figure("eer", 0.2, 0.19, 0.21), figure("eer", 0.15, 0.14, 0.16)], 0),
        ([figure("fnir@fpir=1e-02,n=10", 0.3, 0.2, 0.4), figure("fnir@fpir=1e-02,n=10", 0.1, 0.05, 0.15)], 1),
        ([figure("tar@1e-02", 0.9, 0.85, 0.95), figure("tar@1e-02", 0.7, 0.6, 0.75), figure("tar@1e-02", 0.88, 0.8, 0.9)], None),
        ([figure("auc", 0.9, None, None), figure("auc", 0.99, None, None)], None),
        ([figure("auc", 0.9, 0.8, 0.91), None], None),
        ([figure("tar@1e-03", None, None, None), figure("tar@1e-03", 0.4, 0.3, 0.5)], None),
        ([figure("distance:same", 0.5, 0.4, 0.6), figure("distance:same", 0.9, 0.8, 1.0)], None),
    ],
)
def test_better_only_where_intervals_do_not_overlap(figures: list[Figure | None], best: int | None) -> None:
    assert better(figures) == best


def test_table_and_page(tmp_path: Path) -> None:
    good, bad = figure("accuracy", 0.9, 0.88, 0.92), figure("accuracy", 0.8, 0.78, 0.82)
    hard = [figure("fnir@fpir=1e-01,n=10", None, None, None)]
    history = line("identify", 10, 1.0) + line("triplets", 5, 1.0)
    runs = side_by_side.compare(
        [run(tmp_path / "<b>1" / "run", OLD, history, [good, *hard]), run(tmp_path / "2" / "run", NEW, history, [bad])]
    )
    assert [one.name for one in runs] == ["<b>1/run", "2/run"]
    text = printed(runs)
    assert "0.9000 (0.880–0.920) *" in text and text.count("0.9000 (") == 1 and "FNIR at FPIR 10\N{NO-BREAK SPACE}%, N = 10" in text
    page = side_by_side.page(runs)
    read = Reader(page)
    assert not read.open and "b" not in read.tags and "i" not in read.tags and "<b>1/run" in read.text
    assert read.tags.count("svg") == 2  # AUC and EER: TAR is null throughout
    assert all(value.startswith("#") for value in read.fetched) and "nan" not in read.text and "None" not in read.text


def test_damaged_and_missing(tmp_path: Path) -> None:
    fine = run(tmp_path / "fine", OLD)
    with pytest.raises(CompareError, match="needs two runs, not 1"):
        side_by_side.compare([fine])
    with pytest.raises(CompareError, match="is not a run folder"):
        side_by_side.compare([fine, tmp_path])
    with pytest.raises(CompareError, match=r"kept\.json"):
        side_by_side.compare([fine, run(tmp_path / "kept", OLD, kept="[")])
    with pytest.raises(CompareError, match=r"history\.jsonl"):
        side_by_side.compare([fine, run(tmp_path / "torn", OLD, "{\n" + line("identify", 1, 1.0))])
    (fine / "kept.json").unlink()
    (fine / "run.json").unlink()
    (fine / "history.jsonl").unlink()
    assert "–" in printed(side_by_side.compare([fine, run(tmp_path / "other", NEW)]))
