"""A liveness model in the layout of MiniFASNetV2, run by ONNX Runtime on the CPU."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from daemon.core.faults import Fault, first_line
from daemon.core.passages.liveness import SURROUNDINGS_PX

CLASSES, LIVING = 3, 1
"""Class 1 is a living face; 0 and 2 are attacks."""
SUM_WITHIN = 1e-3
TRIALS = 4
HINT = "liveness.model must have the layout of MiniFASNetV2: float [N, 3, 80, 80] BGR from 0 to 255, three classes, 1 is a living face"


class LivenessError(Fault):
    """The liveness model cannot be used. `hint` says what to do about it."""


@dataclass(slots=True)
class LivenessModel:
    """One ONNX Runtime session. `softmax` is True where it gives logits. `fault` is why the last faces could not be judged, else None."""

    session: Any
    id: str
    softmax: bool = True
    fault: str | None = None

    def lives(self, faces: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        """The probability that each of uint8 [N, 80, 80, 3] BGR is a living face, [N]; NaN, and a `fault`, where the model fails.

        It raises nothing, because the gate can decide without an answer: where one is required, nobody is accepted.
        """
        try:
            answers = self.run(faces)
            if answers.shape != (len(faces), CLASSES) or not np.isfinite(answers).all():
                raise ValueError("its answer is not three numbers for each face")
        except Exception as error:  # noqa: BLE001  the runtime's error classes have no public base
            self.fault = first_line(error)
            return np.full(len(faces), np.nan)
        self.fault = None
        return _probabilities(answers, self.softmax)[:, LIVING]

    def run(self, faces: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        """The model's own output, [N, CLASSES]."""
        name = self.session.get_inputs()[0].name
        batch = np.ascontiguousarray(faces.transpose(0, 3, 1, 2), np.float32)
        # A file may have been exported for one picture at a time.
        return np.concatenate([np.asarray(self.session.run(None, {name: one[None]})[0], np.float64) for one in batch])


def open_liveness(path: Path, threads: int = 1) -> LivenessModel:
    """Load a model and check its layout. Raises LivenessError."""
    if not path.is_file():
        raise LivenessError(f"{path}: no such liveness model", "set liveness.model to the path of an ONNX file, or leave it empty for none")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        data = path.read_bytes()
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # as above
        raise LivenessError(f"{path}: not a model that can be loaded: {first_line(error)}", HINT) from error
    model = LivenessModel(session, hashlib.sha256(data).hexdigest()[:12])
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or len(outputs) != 1 or inputs[0].type != "tensor(float)":
        raise LivenessError(f"{path}: does not have one input of floats and one output", HINT)
    shape = inputs[0].shape
    free = [length for length in shape[1:] if not isinstance(length, int)]
    if len(shape) != 4 or free or shape[1:] != [3, SURROUNDINGS_PX, SURROUNDINGS_PX]:
        raise LivenessError(f"{path}: takes {_shown(shape)} instead of N×3×80×80", HINT)
    try:
        answers = model.run(_trials())
    except Exception as error:  # as above
        raise LivenessError(f"{path}: does not run: {first_line(error)}", HINT) from error
    if answers.shape != (TRIALS, CLASSES):
        raise LivenessError(f"{path}: answers {_shown(answers.shape)} to {TRIALS} pictures instead of {TRIALS}×{CLASSES}", HINT)
    if not np.isfinite(answers).all():
        raise LivenessError(f"{path}: answers with values that are not finite numbers", "the file is damaged; fetch it again")
    if float(np.ptp(answers, axis=0).max()) < SUM_WITHIN:
        raise LivenessError(f"{path}: gives the same answer to every picture", "the file is damaged, or made for pictures from 0 to 1")
    sums = answers.sum(axis=1)
    model.softmax = not bool((np.abs(sums - 1) < SUM_WITHIN).all() and (answers >= 0).all())
    return model


def _trials() -> npt.NDArray[np.uint8]:
    """Pictures from a fixed formula that differ much from each other: uint8 [TRIALS, 80, 80, 3]."""
    y, x = np.mgrid[:SURROUNDINGS_PX, :SURROUNDINGS_PX]
    pictures = [(x * (3 + 5 * n) + y * (7 - n) + x * y * n) % 256 for n in range(TRIALS)]
    return np.stack([np.stack([picture, picture * 3 % 256, 255 - picture], axis=-1) for picture in pictures]).astype(np.uint8)


def _probabilities(answers: npt.NDArray[np.float64], softmax: bool) -> npt.NDArray[np.float64]:
    if not softmax:
        return answers
    powers = np.exp(answers - answers.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float64)


def _shown(shape: object) -> str:
    return "×".join("N" if not isinstance(length, int) else str(length) for length in shape)  # type: ignore[attr-defined]
