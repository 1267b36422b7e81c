"""Models as other people export them: half precision, bytes, fixed batches, oblong pictures, several outputs, branches, and files that
are not to be had; each is adopted, or refused in one true line."""

import argparse
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from daemon.core.faults import Fault
from tests.trainer import faces
from trainer.__main__ import main
from trainer.bundle import adopt, onnx_graph, raw_file, raw_model, settle
from trainer.bundle.raw_model import Way
from trainer.commands import adopt as adopt_command
from trainer.models.opened import onnx_embedder
from trainer.people import data
from trainer.people.augment import Cut
from trainer.people.data import Crops

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

DIMENSION = 24
ELEMENT = {np.float32: TensorProto.FLOAT, np.float16: TensorProto.FLOAT16, np.float64: TensorProto.DOUBLE, np.uint8: TensorProto.UINT8}


def model(
    *,
    size: tuple[int, int] = (112, 112),
    kind: Any = np.float32,
    batch: int | str = 1,
    planes: bool = True,
    more: tuple[str, ...] = (),
    branch: bool = False,
    flat: bool = False,
    opset: int = 18,
    ir: int = 8,
) -> Any:
    """A made-up model: mean colours over a grid of 4x4, projected and bent. It computes in `kind`, or in float32 from bytes. `flat`: all
    pixels, projected by one product, which ONNX Runtime has in float64 too."""
    float_kind = np.float32 if kind is np.uint8 else kind
    rng, cells = np.random.default_rng(1), (size[0] // 4, size[1] // 4)
    scale = np.array([0.05, 0.3, 1.0])[:, None, None]
    weights = {
        "mix": (rng.standard_normal((DIMENSION, 3, 4, 4)) * scale).astype(float_kind),
        "bias": rng.standard_normal(DIMENSION).astype(float_kind),
        "slope": np.full((DIMENSION, 1, 1), 0.3, float_kind),
        "shape": np.array([batch if isinstance(batch, int) else -1, DIMENSION], np.int64),
    }
    nodes, last = [], "x"
    if kind is np.uint8:
        nodes.append(helper.make_node("Cast", [last], ["floats"], to=TensorProto.FLOAT))
        last = "floats"
    if not planes:
        nodes.append(helper.make_node("Transpose", [last], ["planes"], perm=[0, 3, 1, 2]))
        last = "planes"
    if flat:
        weights["mix"] = rng.standard_normal((3 * size[0] * size[1], DIMENSION)).astype(float_kind)
        weights["row"] = np.array([weights["shape"][0], 3 * size[0] * size[1]], np.int64)
        nodes += [helper.make_node("Reshape", [last, "row"], ["grid"]), helper.make_node("MatMul", ["grid", "mix"], ["bent"])]
    else:
        nodes += [
            helper.make_node("AveragePool", [last], ["grid"], kernel_shape=list(cells), strides=list(cells)),
            helper.make_node("Conv", ["grid", "mix", "bias"], ["mixed"]),
        ]
    if flat:
        pass
    elif branch:  # each branch reads a weight of the graph around it
        weights["yes"] = np.array(True)
        either = [
            helper.make_graph([helper.make_node(op, ["mixed", "slope"], [f"{op}/out"])], op, [], [_port(f"{op}/out", float_kind)])
            for op in ("PRelu", "Add")
        ]
        nodes.append(helper.make_node("If", ["yes"], ["bent"], then_branch=either[0], else_branch=either[1]))
    else:
        nodes.append(helper.make_node("PRelu", ["mixed", "slope"], ["bent"]))
    nodes.append(helper.make_node("Reshape", ["bent", "shape"], ["embedding"]))
    nodes += [helper.make_node("Softmax", ["embedding"], [name]) for name in more]
    graph = helper.make_graph(
        nodes,
        "made up",
        [_port("x", kind, [batch, 3, *size] if planes else [batch, *size, 3])],
        [_port(name, float_kind, [batch, DIMENSION]) for name in ("embedding", *more)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)


def _port(name: str, kind: Any, shape: list[Any] | None = None) -> Any:
    return helper.make_tensor_value_info(name, ELEMENT[kind], shape)


def people(count: range, images: int) -> Crops:
    numbers = [(person, number) for person in count for number in range(images)]
    pixels = np.stack([faces.picture(*number) for number in numbers])
    names = tuple(f"p{person}" for person in count)
    return Crops(pixels, names, np.array([person - count.start for person, _ in numbers]), tuple(f"p{p}/{n}" for p, n in numbers), "0" * 64)


@pytest.fixture(scope="module")
def val() -> Crops:
    return people(range(12), 3)


Run = Callable[..., adopt.Adopted]


@pytest.fixture
def run(val: Crops, tmp_path: Path) -> Run:
    few = people(range(100, 103), 1)

    def run(made: Any, **given: Any) -> adopt.Adopted:
        onnx.save(made, tmp_path / "raw.onnx")
        settings = {"name": "made-up", "licence": "none", "order": "bgr", "mean": 127.5, "scale": 128.0, **given}
        return adopt.adopt(tmp_path / "raw.onnx", tmp_path / "bundle.onnx", val, few, **settings)

    return run


KINDS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"kind": np.float16, "batch": 4}, {}, "mended"),
    ({"kind": np.uint8, "planes": False}, {"mean": None, "scale": None}, "mended"),
    ({"kind": np.float64, "flat": True, "size": (32, 32), "batch": "N"}, {}, "as it is"),
    ({"batch": 2, "branch": True, "planes": False}, {}, "mended"),
    ({"size": (112, 96)}, {}, "mended"),
    ({"size": (160, 128), "planes": False}, {"mean": (123.7, 116.3, 103.5), "scale": (58.4, 57.1, 57.4)}, "mended"),
    ({"size": (64, 96)}, {"cut": Cut(48.0, 30.0, 30.0), "order": "rgb"}, "mended"),
    ({"more": ("logits", "quality"), "batch": "N"}, {"output": "embedding"}, "as it is"),
]


@pytest.mark.parametrize(("kind", "given", "batch"), KINDS, ids=[f"{kind} {given}" for kind, given, _ in KINDS])
def test_it_is_adopted(kind: dict[str, Any], given: dict[str, Any], batch: str, run: Run, val: Crops, tmp_path: Path) -> None:
    made = model(**kind)
    done = run(made, **given)
    raw = raw_file.read(tmp_path / "raw.onnx", given.get("output"))
    assert done.batch == batch and done.worst_parity <= adopt.allowed(raw)
    wanted = raw_model.embedder(raw, done.way)(val.pixels[:6])
    for count in (1, 5, 6):
        found = onnx_embedder(tmp_path / "bundle.onnx")[0](val.pixels[:count])
        assert found.shape == (count, DIMENSION) and np.abs(found - wanted[:count]).max() <= adopt.allowed(raw)
    recipe = tomllib.loads(done.card.recipe)
    assert recipe["mean"] == (list(done.way.mean) if isinstance(done.way.mean, tuple) else done.way.mean)
    assert recipe.get("output") == given.get("output") and ("height" in recipe) == (raw.height != raw.width)


def test_a_fixed_batch_that_cannot_be_mended_runs_crop_by_crop(run: Run, val: Crops, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_graph, "_mend", lambda *_: False)
    done = run(model(batch=4, kind=np.float16))
    assert done.batch == "one by one"


def test_what_the_model_gets_is_what_was_meant(tmp_path: Path) -> None:
    """Red, green and blue have their own numbers, also where the model takes blue first; an oblong model sees the middle."""
    onnx.save(model(size=(112, 96)), tmp_path / "raw.onnx")
    crop = faces.picture(1, 1)[None]
    raw, mean, scale = raw_file.read(tmp_path / "raw.onnx"), (120.0, 110.0, 100.0), (60.0, 50.0, 40.0)
    found = raw.pixels(crop, Way("bgr", mean, scale))[0]
    assert found.shape == (3, 112, 96)
    middle = crop[0, :, 8:104].astype(np.float32)
    for plane, colour in enumerate((2, 1, 0)):
        assert np.allclose(found[plane], (middle[..., colour] - mean[colour]) / scale[colour], atol=1e-4)
    onnx.save(model(size=(56, 56), kind=np.uint8), tmp_path / "raw.onnx")
    small = raw_file.read(tmp_path / "raw.onnx").pixels(crop, Way("rgb", 0.0, 1.0))
    assert small.dtype == np.uint8 and small.shape == (1, 3, 56, 56)


def saved(made: Any, path: Path, **how: Any) -> Path:
    onnx.save(made, path, **how)
    return path


def test_weights_beside_the_file(run: Run, tmp_path: Path) -> None:
    beside = {"save_as_external_data": True, "location": "weights.bin", "size_threshold": 0}
    path = saved(model(), tmp_path / "m.onnx", **beside)
    first = raw_file.read(path)
    other = model()
    other.graph.initializer[0].CopyFrom(numpy_helper.from_array(2 * numpy_helper.to_array(other.graph.initializer[0]), "mix"))
    (tmp_path / "weights.bin").unlink()
    assert raw_file.read(saved(other, path, **beside)).sha256 != first.sha256
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(Fault, match=r"weights\.bin cannot be read: No such file"):
        raw_file.read(path)


def _grey() -> Any:
    made = model()
    made.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 1
    return made


def _typed(which: str, kind: int) -> Any:
    made = model()
    (made.graph.input if which == "input" else made.graph.output)[0].type.tensor_type.elem_type = kind
    return made


def _small() -> Any:
    made = model()
    made.graph.node[-1].input[0] = "three"
    made.graph.initializer.append(numpy_helper.from_array(np.array([0, 1, 2], np.int64), "first"))
    made.graph.node.insert(len(made.graph.node) - 1, helper.make_node("Gather", ["bent", "first"], ["three"], axis=1))
    (shape,) = [tensor for tensor in made.graph.initializer if tensor.name == "shape"]
    shape.CopyFrom(numpy_helper.from_array(np.array([1, 3], np.int64), "shape"))
    made.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 3
    return made


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: model(more=("logits",)), r"2 outputs: embedding \(1x24\), logits \(1x24\)"),
    (lambda: model(opset=99), r"cannot run .*raw\.onnx: ONNX Runtime only .guarantees."),
    (lambda: model(ir=99), r"cannot run .*raw\.onnx: Unsupported model IR version: 99"),
    (lambda: model(opset=6), "opset 6"),
    (lambda: model(kind=np.float64), r"cannot run .*raw\.onnx: Could not find an implementation for AveragePool"),
    (lambda: model(size=(640, 640)), "shape 1x3x640x640"),
    (_grey, "shape 1x1x112x112"),
    (lambda: _typed("input", TensorProto.INT64), "pixels of type int64"),
    (lambda: _typed("output", TensorProto.UINT8), "numbers of type uint8"),
    (_small, r"shape \[1, 3\], which is not an embedding"),
]


@pytest.mark.parametrize(("made", "says"), REFUSED, ids=[says for _, says in REFUSED])
def test_one_true_line(made: Callable[[], Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(Fault, match=says) as told:
        raw_file.read(saved(made(), tmp_path / "raw.onnx"))
    assert "\n" not in told.value.message + told.value.hint and told.value.hint


def test_an_operator_that_nobody_knows_and_an_output_that_is_not_there(tmp_path: Path) -> None:
    made = model()
    made.graph.node[1].op_type = "Konv"
    with pytest.raises(Fault, match="Konv"):
        raw_file.read(saved(made, tmp_path / "raw.onnx"))
    with pytest.raises(Fault, match="no output 'vector'") as told:
        raw_file.read(saved(model(), tmp_path / "raw.onnx"), "vector")
    assert "embedding (1x24)" in told.value.hint


def test_more_than_two_gigabytes(tmp_path: Path) -> None:
    """Sparse files: nothing is read, and no disk is filled."""
    with (tmp_path / "large.onnx").open("wb") as file:
        file.truncate(3 * 2**30)
    with pytest.raises(Fault, match=r"are 3\.2 GB"):
        raw_file.read(tmp_path / "large.onnx")
    path = saved(model(), tmp_path / "m.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    with (tmp_path / "weights.bin").open("r+b") as file:
        file.truncate(3 * 2**30)
    with pytest.raises(Fault, match=r"are 3\.2 GB"):
        raw_file.read(path)


def test_a_graph_that_cannot_take_a_batch_says_why(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runtime's own reason is shown, not advice about something else."""
    proposal = onnx_graph.proposal

    def broken(*given: Any) -> Any:
        made = proposal(*given)
        if made is not None:
            made.graph.node[-1].op_type = "Diw"
        return made

    monkeypatch.setattr(onnx_graph, "proposal", broken)
    with pytest.raises(Fault, match=r"no graph of this model takes a batch \(mended: .*Diw") as told:
        run(model())
    assert "\n" not in told.value.message and not (tmp_path / "bundle.onnx").exists()


def test_bytes_are_not_scaled(run: Run) -> None:
    with pytest.raises(Fault, match="takes bytes"):
        run(model(kind=np.uint8), mean=127.5, scale=128.0)


def test_scalings_that_make_no_difference_are_said(
    val: Crops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(settle, "SCALINGS", settle.SCALINGS[:2])
    raw = raw_file.read(saved(model(), tmp_path / "raw.onnx"))
    way, _ = settle.settle(raw, val, "bgr")
    said = " ".join(capsys.readouterr().out.split())
    assert way.mean == 127.5 and way.scale == 127.5
    assert (
        "these people do not tell (x - 127.5) / 127.5, (x - 127.5) / 128" in said
        and "the most usual, (x - 127.5) / 127.5, is taken" in said
    )


def test_people_who_settle_and_calibrate_are_left_out_in_turn(val: Crops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = raw_file.read(saved(model(), tmp_path / "raw.onnx"))
    monkeypatch.setattr(settle, "SCALINGS", settle.SCALINGS[:2])
    assert settle.settle(raw, val, "bgr", shared=True)[0] == settle.settle(raw, val, "bgr")[0]
    best, calls = settle._best, []

    def fickle(measured: Any, allowed: Any) -> list[Way]:
        calls.append(len(measured))
        return best(measured, allowed) if len(calls) == 1 else list(reversed(allowed))

    monkeypatch.setattr(settle, "_best", fickle)
    with pytest.raises(Fault, match="without a fifth of the people another way is chosen"):
        settle.settle(raw, val, "bgr", shared=True)


def test_a_model_that_tells_nobody_apart_is_none(val: Crops, tmp_path: Path) -> None:
    mixed = Crops(val.pixels, val.people, np.random.default_rng(1).permutation(val.person), val.names, val.digest)
    with pytest.raises(Fault, match="does not tell these people apart"):
        settle.settle(raw_file.read(saved(model(), tmp_path / "raw.onnx")), mixed, "bgr")


def test_without_a_split_everybody_settles_and_calibrates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    crops = faces.folder(tmp_path / "crops", people=10, images=2)
    path, out = saved(model(), tmp_path / "raw.onnx"), tmp_path / "bundle.onnx"
    given = ["adopt", str(path), str(out), "--data", str(crops), "--licence", "none"]
    assert main([*given, "--order", "rgb", "--mean", "123.675,116.28,103.53", "--scale", "58.395,57.12,57.375"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert said.index("10 calibration people: no threshold for searches") < said.index("20 crops of 10 people") < said.index("bundle.onnx")
    card = onnx_embedder(out)[1]
    assert card.calibration.identities == 10 and tomllib.loads(card.recipe)["mean"] == [123.675, 116.28, 103.53]
    with pytest.raises(SystemExit):
        main([*given, "--mean", "1,2", "--scale", "1"])
    assert "one number, or three" in capsys.readouterr().err


def test_with_a_split_fit_people_help_few_val_people_to_settle(tmp_path: Path) -> None:
    crops = faces.folder(tmp_path / "crops", people=12, images=2)
    split = faces.split_of(tmp_path, sorted(path.name for path in crops.iterdir()))
    parts = data.split(tuple(sorted(path.name for path in crops.iterdir())), split)
    settle_by, calibrate_by = adopt_command._people(argparse.Namespace(data=crops, split=split, decisions=None))
    assert sorted(settle_by.people) == sorted([*parts["val"], *parts["fit"]]) and list(calibrate_by.people) == parts["calibration"]
    assert all(name.startswith(settle_by.people[person] + "/") for name, person in zip(settle_by.names, settle_by.person, strict=True))
