"""The model that tells whether a face is upright and open, run by ONNX Runtime on the CPU: it comes with the daemon."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from daemon.core.faces.visibility import CARD_KEY, REGIONS, TURNS, Answers, VisibilityError, check_golden, read_card
from daemon.core.faults import first_line

DEFAULT = Path(__file__).parents[1] / "models" / "visibility.onnx"
AGAIN = "install Ostiary again: without this model nobody can be looked at"


@dataclass(frozen=True, slots=True)
class Visibility:
    """One ONNX Runtime session, which several threads may use. `id` is the first 12 hex digits of the file's sha256."""

    session: Any
    id: str

    def __call__(self, crops: npt.NDArray[np.uint8]) -> Answers:
        """The answers to uint8 [N, 112, 112, 3] RGB, N >= 1: float32 [N, TURNS + REGIONS]. Raises VisibilityError if the runtime fails."""
        try:
            turn, covered = self.session.run(["turn", "covered"], {"image": np.ascontiguousarray(crops)})
        except Exception as error:  # the runtime's error classes have no public base
            raise VisibilityError(f"the model of visibility failed: {first_line(error)}", AGAIN) from error
        answers = np.concatenate([turn, covered], axis=1)
        if answers.shape != (len(crops), TURNS + REGIONS):
            raise VisibilityError(f"the model of visibility answers {answers.shape} to {len(crops)} crops", AGAIN)
        return answers


def open_visibility(path: Path = DEFAULT, threads: int = 1) -> Visibility:
    """Load the model, and check it against its own golden answers. Raises VisibilityError."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise VisibilityError(f"cannot read the model {path}: {error.strerror}", AGAIN) from error
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # as above
        raise VisibilityError(f"{path}: not a model that can be loaded: {first_line(error)}", AGAIN) from error
    model = Visibility(session, hashlib.sha256(data).hexdigest()[:12])
    try:
        check_golden(read_card(session.get_modelmeta().custom_metadata_map.get(CARD_KEY)), model)
    except VisibilityError as error:
        raise VisibilityError(f"{path}: {error.message}", error.hint) from None
    return model
