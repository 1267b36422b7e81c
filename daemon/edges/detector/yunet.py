"""Finding faces with a YuNet file, run by ONNX Runtime on the CPU: boxes with five landmarks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime

from daemon.core.boxes import Box
from daemon.core.faults import first_line
from daemon.core.values import Face, Image
from daemon.edges.detector.errors import DetectorError
from daemon.edges.detector.finder import Finder

SCORE = 0.7
OVERLAP = 0.3
"""Of two boxes that share more of their union than this, only the better one is kept."""
STRIDES = (8, 16, 32)
GRID_PX = 32
"""The network takes pictures whose sides are multiples of this."""
WANTED_PX = 20.0
"""99 % of faces of this size are found, 95 % at 16 px, 71 % at 12 px (bench/recall.py)."""
LONGEST_PX = 960
"""Faces of more than about 700 px are missed, so a large photo is scaled down to this. In a picture of 1920×1080 it leaves 40 px 20 px."""
OUTPUTS = [f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in STRIDES]
WIDTHS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
HINT = "detector.kind is `haar`, or the path of a YuNet ONNX file"

Floats = npt.NDArray[np.float32]


def open_yunet(path: Path) -> Finder:
    """A finder of faces with their landmarks, whatever their size. Raises DetectorError."""
    if not path.is_file():
        raise DetectorError(f"{path}: no such detector file", "detector.kind is `haar` or the path of a YuNet ONNX file")
    try:
        session = _session(path)
        takes = session.get_inputs()[0].name
        found = _find(session, takes, np.zeros((64, 96, 3), np.uint8))
    except Exception as error:  # neither the runtime's errors nor those of damaged files have a public base
        raise DetectorError(f"{path}: not a YuNet file ({first_line(error)})", HINT) from error
    if found:
        raise DetectorError(f"{path}: finds faces in a black picture", "the file is damaged or not a YuNet file; fetch it again")

    def find(image: Image, smallest_px: float) -> list[Face]:
        try:
            return _find(session, takes, image)
        except Exception as error:  # as above
            raise DetectorError(f"the detector fails: {first_line(error)}", "restart the process") from error

    return Finder(find, WANTED_PX, LONGEST_PX, grid_px=GRID_PX)


def _session(path: Path) -> Any:
    import onnx  # takes a tenth of a second, and only this detector needs it

    model = onnx.load(path, load_external_data=False)
    names = {output.name for output in model.graph.output}
    if len(model.graph.input) != 1 or not names.issuperset(OUTPUTS):
        raise ValueError("it has other inputs or outputs")
    # The file says one size for its picture. The network itself takes any, and as fast.
    sides = model.graph.input[0].type.tensor_type.shape.dim
    if len(sides) != 4:
        raise ValueError("its input is no picture")
    sides[2].dim_param, sides[3].dim_param = "height", "width"
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _find(session: Any, takes: str, image: Image) -> list[Face]:
    height, width = (-(-side // GRID_PX) * GRID_PX for side in image.shape[:2])
    if (height, width) != image.shape[:2]:
        image = np.asarray(cv2.copyMakeBorder(image, 0, height - image.shape[0], 0, width - image.shape[1], cv2.BORDER_CONSTANT), np.uint8)
    picture = cv2.dnn.blobFromImage(image)  # float32 [1, 3, height, width], BGR, 0 to 255
    answers = dict(zip(OUTPUTS, session.run(OUTPUTS, {takes: picture}), strict=True))
    rows = np.concatenate([_rows(answers, stride, height // stride, width // stride) for stride in STRIDES])
    if not len(rows):
        return []
    kept = cv2.dnn.NMSBoxes(rows[:, :4].tolist(), rows[:, 14].tolist(), SCORE, OVERLAP)
    return [_face(rows[index]) for index in np.asarray(kept, np.int64).reshape(-1)]


def _rows(answers: dict[str, Any], stride: int, down: int, across: int) -> Floats:
    """The faces that the cells of one stride see: x, y, width, height, ten numbers of landmarks, score; float32 [F, 15]."""
    parts = {kind: np.asarray(answers[f"{kind}_{stride}"], np.float32).reshape(-1, width) for kind, width in WIDTHS.items()}
    if any(len(part) != down * across for part in parts.values()):
        raise ValueError(f"it answers {len(parts['cls'])} cells instead of {down * across}")
    scores = np.sqrt(np.clip(parts["cls"][:, 0], 0, 1) * np.clip(parts["obj"][:, 0], 0, 1))
    seen = np.flatnonzero(scores > SCORE)
    cell = np.stack([seen % across, seen // across], axis=1).astype(np.float32)
    box = parts["bbox"][seen]
    centre, size = (cell + box[:, :2]) * stride, np.exp(box[:, 2:]) * stride
    points = (parts["kps"][seen].reshape(-1, 5, 2) + cell[:, None]) * stride
    return np.concatenate([centre - size / 2, size, points.reshape(-1, 10), scores[seen, None]], axis=1).astype(np.float32)


def _face(row: Sequence[float] | Floats) -> Face:
    # YuNet names its points from the person's view (right eye, left eye, nose, right and left corner of the mouth). The person's right eye
    # is on the picture's left, so this is already the order of `Face.landmarks`.
    return Face(Box(*map(float, row[:4])), float(row[14]), np.array(row[4:14], np.float32).reshape(5, 2))
