"""Where a face goes in its crop: a small network takes a glimpse of each roughly placed face, run by ONNX Runtime on the CPU."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime

from daemon.core.faces.align import placing
from daemon.core.faces.glimpse import (
    CARD_KEY,
    GLIMPSE_PX,
    AlignerCard,
    AlignerError,
    Glimpse,
    check,
    glimpse,
    golden_glimpse,
    in_frame,
    read_card,
)
from daemon.core.faults import first_line
from daemon.core.values import Face, Image
from daemon.edges.detector.errors import DetectorError

ALIGNER = Path(__file__).parents[2] / "models" / "aligner.onnx"
ROUNDS = 2
"""How many glimpses it takes: the second glimpse is cut out by what the first one found."""
HINT = "install the daemon again, or make the file with `ostiary-train aligner`"


@dataclass(frozen=True, slots=True)
class Aligner:
    """One ONNX Runtime session: glimpses, uint8 [N, 56, 56], to landmarks, float32 [N, 5, 2] in pixels of the crop."""

    session: Any
    card: AlignerCard

    def place(self, image: Image, faces: Sequence[Face]) -> list[Face]:
        """The same faces of a BGR frame, with anchors; a face that cannot be cut out at all has none. Raises DetectorError when the runtime
        fails."""
        placed = list(faces)
        for _ in range(ROUNDS):
            seen = [(index, *rough) for index, face in enumerate(placed) if (rough := _glimpse(image, face)) is not None]
            if not seen:
                break
            landmarks = self.landmarks(np.stack([picture for _, _, picture in seen]))
            for (index, matrix, _), points in zip(seen, landmarks, strict=True):
                placed[index] = dataclasses.replace(placed[index], anchors=in_frame(points, matrix))
        return placed

    def landmarks(self, glimpses: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """The answer of the network. Raises DetectorError when the runtime fails, or if the answer is not finite."""
        try:
            (landmarks,) = self.session.run(["landmarks"], {"glimpse": glimpses})
        except Exception as error:  # the runtime's error classes have no public base
            raise DetectorError(f"the aligner fails: {first_line(error)}", HINT) from error
        if not np.isfinite(landmarks).all():
            raise DetectorError("the aligner answers with values that are not finite numbers", HINT)
        return np.asarray(landmarks, np.float32)


def _glimpse(image: Image, face: Face) -> tuple[npt.NDArray[np.float64], Glimpse] | None:
    """The transform of a face into its crop and its glimpse; None for what cannot be a face, as landmarks in one point."""
    try:
        matrix = placing(face)
        return matrix, glimpse(image, matrix)
    except (ValueError, cv2.error):
        return None


def open_aligner(path: Path = ALIGNER) -> Aligner:
    """Load an aligner, and check it against its own card. Raises DetectorError."""
    if not path.is_file():
        raise DetectorError(f"{path}: no such aligner", HINT)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # as above
        raise DetectorError(f"{path}: not an aligner that can be loaded: {first_line(error)}", HINT) from error
    ports = [(port.name, port.type, list(port.shape[1:])) for port in (*session.get_inputs(), *session.get_outputs())]
    if ports != [("glimpse", "tensor(uint8)", [GLIMPSE_PX, GLIMPSE_PX]), ("landmarks", "tensor(float)", [5, 2])]:
        raise DetectorError(f"{path}: not an aligner: it does not turn glimpses into landmarks", HINT)
    try:
        card = read_card(session.get_modelmeta().custom_metadata_map.get(CARD_KEY, ""))
        aligner = Aligner(session, card)
        check(card, aligner.landmarks(np.stack([golden_glimpse(golden.seed) for golden in card.golden])))
    except AlignerError as error:
        raise DetectorError(f"{path}: {first_line(error)}", HINT) from error
    return aligner
