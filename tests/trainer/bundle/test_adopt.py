"""Adopting models of other people: made-up graphs of every kind that is met, and a public one."""

import hashlib
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from daemon.core import bundle
from daemon.core.faults import Fault
from daemon.edges import embedder
from tests.trainer import faces
from trainer.bundle import adopt, onnx_graph, raw_file, raw_model, settle
from trainer.bundle.raw_model import Way
from trainer.models.opened import onnx_embedder
from trainer.people import data
from trainer.people.augment import Cut

# TensorFlow and what is built on it use things that their own dependencies have deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

TRUE = Way("bgr", 127.5, 128.0)
DIMENSION = 24
GRID = 7


def made_up(
    path: Path,
    *,
    side: int = 112,
    planes: bool = True,
    batch: int | str = 1,
    end: str = "reshape",
    opset: int = 13,
    inputs: int = 1,
    seed: int = 1,
) -> Path:
    """A face model that is none: mean colours over a grid, a random projection, one bend. Blue hardly counts, so that the order does.

    `end` is how it becomes a row: `reshape` to a constant [1, D], `infer` to [1, -1], `flatten`, `pooled` [N, D, 1, 1], `heads` (a
    reshape that forgets the batch), `nan` and `map` (no embedding). Files of opset 7 are as old ones are: every weight is an input too.
    """
    rng = np.random.default_rng(seed)
    shape = [batch, 3, side, side] if planes else [batch, side, side, 3]
    cell = side // GRID
    # The last plane, red in BGR, carries nearly all.
    mix = rng.standard_normal((DIMENSION, 3, GRID, GRID)).astype(np.float32) * np.array([0.05, 0.3, 1], np.float32)[:, None, None]
    weights = {"mix": mix, "slope": np.full((DIMENSION, 1, 1), 0.3, np.float32)}
    nodes = [] if planes else [helper.make_node("Transpose", ["x"], ["turned"], perm=[0, 3, 1, 2])]
    nodes += [
        helper.make_node("AveragePool", ["x" if planes else "turned"], ["grid"], kernel_shape=[cell, cell], strides=[cell, cell]),
        helper.make_node("Conv", ["grid", "mix"], ["mixed"]),
        helper.make_node("PRelu", ["mixed", "slope"], ["bent"]),
    ]
    tail: dict[str, list[Any]] = {
        "reshape": [helper.make_node("Reshape", ["bent", "shape"], ["out"])],
        "infer": [helper.make_node("Reshape", ["bent", "shape"], ["row"]), helper.make_node("MatMul", ["row", "last"], ["out"])],
        "flatten": [helper.make_node("Flatten", ["bent"], ["out"], axis=0)],
        "pooled": [helper.make_node("Identity", ["bent"], ["out"])],
        "heads": [
            helper.make_node("Reshape", ["bent", "shape"], ["heads"]),
            helper.make_node("Softmax", ["heads"], ["soft"], axis=0),
            helper.make_node("Reshape", ["soft", "row_shape"], ["out"]),
        ],
        "nan": [helper.make_node("Log", ["bent"], ["log"]), helper.make_node("Reshape", ["log", "shape"], ["out"])],
        "map": [helper.make_node("Identity", ["grid"], ["out"])],
    }
    nodes += tail[end]
    shapes = {"infer": [1, -1], "heads": [4, 6], "nan": [1, DIMENSION], "reshape": [1, DIMENSION]}
    if end in shapes:
        weights["shape"] = np.array(shapes[end], np.int64)
    if end == "infer":
        weights["last"] = rng.standard_normal((DIMENSION, DIMENSION)).astype(np.float32)
    if end == "heads":
        weights["row_shape"] = np.array([1, DIMENSION], np.int64)
    more = [helper.make_tensor_value_info(f"x{index}", TensorProto.FLOAT, shape) for index in range(1, inputs)]
    nodes += [helper.make_node("Identity", [port.name], [f"unused_{port.name}"]) for port in more]
    old = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(w.dtype), w.shape) for n, w in weights.items() if opset == 7]
    graph = helper.make_graph(
        nodes,
        "made up",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape), *more, *old],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=3 if old else 8), path)
    return path


def crops_of(people: range, images: int) -> data.Crops:
    numbers = [(person, number) for person in people for number in range(images)]
    pixels = np.stack([_coloured(*number) for number in numbers])
    names = tuple(f"p{person}" for person in people)
    person = np.array([person - people.start for person, _ in numbers])
    return data.Crops(pixels, names, person, tuple(f"p{person}/{number}" for person, number in numbers), "0" * 64)


def _coloured(person: int, number: int) -> np.ndarray:
    """A made-up face whose red says who it is and whose blue is another day's."""
    crop = faces.picture(person, number)
    crop[..., 2] = faces.picture(500 + 31 * person + number, number)[..., 2]
    return crop


@pytest.fixture(scope="module")
def val() -> data.Crops:
    return crops_of(range(12), 4)


@pytest.fixture(scope="module")
def calibration() -> data.Crops:
    return crops_of(range(100, 140), 1)


Run = Callable[..., adopt.Adopted]


@pytest.fixture
def run(val: data.Crops, calibration: data.Crops, tmp_path: Path) -> Run:
    def run(path: Path, **given: Any) -> adopt.Adopted:
        settings = {"name": "made-up", "licence": "none: made up", "order": "bgr", "mean": 127.5, "scale": 128.0, **given}
        return adopt.adopt(path, tmp_path / "bundle.onnx", val, calibration, **settings)

    return run


KINDS: list[tuple[dict[str, Any], str]] = [
    ({}, "mended"),
    ({"planes": False}, "mended"),
    ({"side": 56}, "mended"),
    ({"side": 140, "planes": False}, "mended"),
    ({"end": "infer"}, "mended"),
    ({"end": "flatten"}, "mended"),
    ({"end": "pooled", "batch": "N"}, "as it is"),
    ({"end": "infer", "batch": "N", "planes": False}, "mended"),
    ({"end": "heads", "opset": 18}, "one by one"),
    ({"opset": 7}, "mended"),
    ({"opset": 21}, "mended"),
]


@pytest.mark.parametrize(("kind", "batch"), KINDS, ids=[" ".join(map(str, kind.values())) for kind, _ in KINDS])
def test_a_bundle_answers_a_batch_as_the_model_answers_crop_by_crop(
    kind: dict[str, Any], batch: str, run: Run, val: data.Crops, tmp_path: Path
) -> None:
    path = made_up(tmp_path / "raw.onnx", **kind)
    done = run(path)
    assert done.batch == batch and done.worst_parity <= 1e-5 and done.way == TRUE
    served = embedder.open_embedder(tmp_path / "bundle.onnx", "cpu", 1)
    graph = onnx.load(tmp_path / "bundle.onnx").graph
    # A constant left over makes the runtime warn whenever the bundle is opened.
    assert batch == "one by one" or {tensor.name for tensor in graph.initializer} <= {name for node in graph.node for name in node.input}
    assert bundle.check_golden(bundle.read_card(served.session), served.embed) > 0.99999
    raw = raw_file.open_raw(path, "bgr", 127.5, 128.0)
    for count in (1, 3, 8, 20):
        vectors = served.embed(val.pixels[:count])
        assert vectors.shape == (count, DIMENSION) and np.allclose(vectors, raw(val.pixels[:count]), atol=1e-5)
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("kind", [{}, {"side": 56, "planes": False}], ids=str)
def test_a_model_that_sees_a_part_of_the_crop(run: Run, tmp_path: Path, kind: dict[str, Any]) -> None:
    cut = Cut(28.0, 20.0, 24.0)
    path = made_up(tmp_path / "m.onnx", **kind)
    done = run(path, cut=cut)
    assert done.way.cut == cut and done.worst_parity <= 1e-5 and "cut = [28.0, 20.0, 24.0]" in done.card.recipe
    crops = np.stack([faces.picture(3, number) for number in range(4)])
    raw = raw_file.read(path)
    seen, whole = (onnx_embedder(tmp_path / "bundle.onnx")[0](crops), raw_model.embedder(raw, TRUE)(crops))
    assert np.abs(seen - raw_model.embedder(raw, done.way)(crops)).max() < 1e-5 < np.abs(seen - whole).max()


@pytest.mark.parametrize("cut", [Cut(1, 1, 0), Cut(1, 1, -3), Cut(float("nan"), 1, 5), Cut(1, float("inf"), 5)])
def test_a_cut_that_is_none(run: Run, tmp_path: Path, cut: Cut) -> None:
    with pytest.raises(raw_model.OnnxError, match="cut"):
        run(made_up(tmp_path / "m.onnx"), cut=cut)


def test_the_card_says_where_the_model_came_from(run: Run, tmp_path: Path) -> None:
    path = made_up(tmp_path / "raw.onnx")
    figure = bundle.Figure("auc", 0.9, None, None, "made-up people")
    run(path, notes="a note", source="made-up crops", evaluation=[figure])
    _, card = onnx_embedder(tmp_path / "bundle.onnx")
    recipe = tomllib.loads(card.recipe)
    assert recipe == {
        "adopted_from": "raw.onnx",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "order": "bgr",
        "mean": 127.5,
        "scale": 128.0,
        "side": 112,
        "measured": False,
    }
    assert (card.licence, card.notes, card.evaluation) == ("none: made up", "a note", (figure,))
    assert card.calibration.identities == 40 and card.calibration.source == "40 calibration people of made-up crops"
    assert len(card.golden) == 4 and card.calibration.fmr[0].threshold is not None


def test_the_order_is_measured(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = run(made_up(tmp_path / "raw.onnx"), order="auto")
    assert done.way == TRUE and [candidate.way.order for candidate in done.table] == ["rgb", "bgr"]
    rgb, bgr = done.table
    assert rgb.auc < 0.7 < bgr.auc and rgb.high < bgr.low and rgb.tar < bgr.tar and rgb.rarity < bgr.rarity
    printed = capsys.readouterr().out
    assert "48 crops of 12 val people" in printed and "taken" in printed and "bundle.onnx" in printed


def test_scaling_is_measured_where_none_is_given(val: data.Crops, tmp_path: Path) -> None:
    way, table = settle.settle(raw_file.read(made_up(tmp_path / "raw.onnx")), val, "auto")
    assert len(table) == 2 * len(settle.SCALINGS) and way.order == "bgr"
    best, taken = max(table, key=lambda one: one.separation), next(one for one in table if one.way == way)
    assert best.way.order == way.order and taken.high >= best.low  # the best, or a more usual one that is not told from it


def test_a_forced_order_is_taken_even_if_the_other_is_better(run: Run, tmp_path: Path) -> None:
    done = run(made_up(tmp_path / "raw.onnx"), order="rgb")
    assert done.way.order == "rgb" and len(done.table) == 2
    assert done.card.recipe.count('order = "rgb"') == 1


def test_an_order_that_makes_no_difference_is_asked_for(run: Run, val: data.Crops, tmp_path: Path) -> None:
    path = made_up(tmp_path / "raw.onnx")
    grey = onnx.load(path)
    mix = next(tensor for tensor in grey.graph.initializer if tensor.name == "mix")
    value = numpy_helper.to_array(mix)
    mix.CopyFrom(numpy_helper.from_array(np.repeat(value[:, 2:], 3, axis=1), "mix"))
    onnx.save(grey, path)
    with pytest.raises(Fault, match="cannot tell") as told:
        run(path, order="auto")
    assert "--order" in told.value.hint and not (tmp_path / "bundle.onnx").exists()
    with pytest.raises(Fault, match="too few"):
        settle.settle(raw_file.read(path), val.of(val.people[:5]), "auto", 127.5, 128.0)
    way, table = settle.settle(raw_file.read(path), val.of(val.people[:5]), "bgr", 127.5, 128.0)
    assert way == TRUE and table == ()


NO_GO: list[tuple[dict[str, Any], str]] = [
    ({"inputs": 2}, "2 inputs"),
    ({"side": 28}, "takes pictures of shape"),
    ({"end": "map"}, "which is not an embedding"),
]


@pytest.mark.parametrize(("kind", "says"), NO_GO, ids=[says for _, says in NO_GO])
def test_models_that_are_none(kind: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(Fault, match=says) as told:
        raw_file.read(made_up(tmp_path / "raw.onnx", **kind))
    assert "\n" not in told.value.message + told.value.hint


def test_files_that_are_no_models(tmp_path: Path) -> None:
    for content in (b"", b"no model at all", bytes(200)):
        (tmp_path / "no.onnx").write_bytes(content)
        with pytest.raises(Fault, match=r"no\.onnx"):
            raw_file.read(tmp_path / "no.onnx")
    for path in (tmp_path, tmp_path / "none.onnx"):
        with pytest.raises(Fault, match="cannot be read"):
            raw_file.read(path)


def test_answers_that_are_no_numbers(run: Run, tmp_path: Path) -> None:
    path = made_up(tmp_path / "raw.onnx", end="nan")
    for order in ("auto", "bgr"):
        with pytest.raises(Fault, match="not finite"):
            run(path, order=order)
    assert not (tmp_path / "bundle.onnx").exists()


def test_what_has_to_be_given(run: Run, val: data.Crops, calibration: data.Crops, tmp_path: Path) -> None:
    path = made_up(tmp_path / "raw.onnx")
    nobody = val.of(())
    wrong: list[dict[str, Any]] = [{"licence": " "}, {"order": "grb"}, {"scale": None}, {"scale": 0.0}, {"mean": float("nan")}]
    for given in wrong:
        with pytest.raises(Fault):
            run(path, **given)
    for settle_by, threshold_by in ((nobody, calibration), (val, nobody)):
        with pytest.raises(Fault, match="people"):
            adopt.adopt(path, tmp_path / "bundle.onnx", settle_by, threshold_by, name="made-up", licence="none")
    assert not (tmp_path / "bundle.onnx").exists()


def test_a_graph_that_mixes_its_crops_is_refused(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_graph, "SCAN_OPSET", 99)
    with pytest.raises(Fault, match=r"no graph of this model takes a batch \(mended: .*; as it is: .*the model gives \[1, 24\]"):
        run(made_up(tmp_path / "raw.onnx", end="heads"))
    assert not (tmp_path / "bundle.onnx").exists()


def test_a_teacher_is_a_raw_model_or_a_bundle(run: Run, val: data.Crops, tmp_path: Path) -> None:
    path = made_up(tmp_path / "raw.onnx")
    run(path)
    taught = raw_file.teacher(path, "bgr", 127.5, 128.0)(val.pixels[:5])
    assert taught.shape == (5, DIMENSION) and np.allclose(taught, raw_file.teacher(tmp_path / "bundle.onnx")(val.pixels[:5]), atol=1e-5)
    assert raw_file.teacher(path, "bgr", 127.5, 128.0)(val.pixels[:0]).shape == (0, DIMENSION)
    with pytest.raises(Fault, match="RGB or BGR"):
        raw_file.teacher(path)
    with pytest.raises(Fault, match="already a bundle"):
        raw_file.read(tmp_path / "bundle.onnx")


def some(data_dir: Path, where: Path, part: str, people: int, most: int) -> data.Crops:
    """A few real crops of the first people of a part."""
    with zipfile.ZipFile(data_dir / "faces" / "train.zip") as archive:
        files = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        names = sorted({Path(name).parent.as_posix() for name in files})
        for person in data.split(names, data_dir / "faces" / "split.csv")[part][:people]:
            archive.extractall(where, [name for name in files if name.startswith(f"{person}/")][:most])
    return data.load(where)


@pytest.mark.data
def test_a_public_model(data_dir: Path, tmp_path: Path) -> None:
    public = data_dir / "models" / "mobilefacenet.onnx"
    val = some(data_dir, tmp_path / "val", "val", people=40, most=8)
    calibration = some(data_dir, tmp_path / "calibration", "calibration", people=60, most=1)
    done = adopt.adopt(
        public, tmp_path / "public.onnx", val, calibration, name="public", licence="unknown: never pass on", mean=127.5, scale=128.0
    )
    assert done.way == Way("rgb", 127.5, 128.0) and done.batch == "mended" and done.worst_parity <= 1e-5
    served = embedder.open_embedder(tmp_path / "public.onnx", "cpu", 1)
    raw = raw_file.open_raw(public, "rgb", 127.5, 128.0)
    assert np.allclose(served.embed(val.pixels[:8]), raw(val.pixels[:8]), atol=1e-5)
