"""A page of what is refused and why, to be looked at: the demo's two portraits cut off, turned, blurred, in the dark and covered.

    python -m bench.refused refused.png

Pictures are enrolled as photos. Coverings are drawn on the aligned crop (trainer/people/coverings.py), which is then judged.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from daemon.config import Config, GateConfig
from daemon.core.faces.align import align
from daemon.core.faces.visibility import judge
from daemon.core.people.enrol import EnrolError
from daemon.core.values import Image, Quality
from daemon.demo.frames import portrait
from daemon.edges.detector import open_detector
from daemon.edges.visibility import open_visibility
from daemon.pipeline.opening import open_judge
from daemon.pipeline.photos import enrolment_crop
from trainer.people import coverings

TILE_PX, CAPTION_PX, COLUMNS = 168, 44, 8
GREEN, RED = (80, 150, 40), (50, 50, 190)
CONFIG = Config(site="bench", gates={"x": GateConfig(source="none")})


def main() -> None:
    parser = argparse.ArgumentParser("bench.refused")
    parser.add_argument("page", type=Path, help="PNG file to write")
    options = parser.parse_args()
    tiles = [tile(picture, what, answer) for name in ("collins", "hopper") for picture, what, answer in judged(name)]
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % COLUMNS)
    page = np.vstack([np.hstack(tiles[at : at + COLUMNS]) for at in range(0, len(tiles), COLUMNS)])
    cv2.imwrite(str(options.page), page)
    print(f"{options.page}: {len(tiles)} pictures")  # noqa: T201


def judged(name: str) -> Iterator[tuple[Image, str, str]]:
    """Pictures BGR, what was done to each, and the answer."""
    photo = shown(name)
    detector, faces, sees = open_detector("haar"), open_judge(CONFIG, CONFIG.enrolment.min_face_px), open_visibility()
    face = detector.detect(photo)[0]
    top, side = face.box.y, face.box.height
    eyes = int(top + 0.22 * side)
    photos = {
        "as it is": photo,
        "cut above the eyes": photo[eyes:],
        "cut at the brow": photo[int(top + 0.05 * side) :],
        "cut at the mouth": photo[: int(top + 0.72 * side)],
        "on its side": np.ascontiguousarray(np.rot90(photo)),
        "upside down": np.ascontiguousarray(np.rot90(photo, 2)),
        "small": cv2.resize(photo, None, fx=40 / side, fy=40 / side, interpolation=cv2.INTER_AREA),
        "blurred": cv2.GaussianBlur(photo, (0, 0), 0.05 * side),
        "dark": (photo * 0.12).astype(np.uint8),
    }
    for what, picture in photos.items():
        try:
            enrolment_crop(cv2.imencode(".jpg", picture)[1].tobytes(), 1, detector, faces)
            answer = "enrolled"
        except EnrolError as error:
            answer = error.reason
        yield np.asarray(picture, np.uint8), what, answer
    crop = align(photo, face)
    for family in (coverings.LEARNED, coverings.UNSEEN, coverings.HARMLESS):
        for what, kind in family.items():
            covered = kind(np.random.default_rng(7), crop).over(crop)
            (seen,) = sees(covered[None])
            quality = judge(seen)
            yield np.asarray(covered[:, :, ::-1], np.uint8), what.replace("_", " "), "enrolled" if quality is Quality.OK else quality.value


def shown(name: str) -> Image:
    """The head and shoulders of a portrait before a grey wall, BGR."""
    figure = portrait(name)
    (left, y), (right, _) = figure.eyes
    middle, apart = (left + right) / 2, right - left
    x0, y0 = max(0, int(middle - 2.2 * apart)), max(0, int(y - 2.2 * apart))
    part = slice(y0, int(y + 2.8 * apart)), slice(x0, int(middle + 2.2 * apart))
    colour, alpha = figure.picture[part], figure.alpha[part]
    return np.asarray(np.clip(colour + (1 - alpha) * 150, 0, 255), np.uint8)


def tile(picture: Image, what: str, answer: str) -> Image:
    """One picture with its caption, uint8 [TILE_PX + CAPTION_PX, TILE_PX, 3]."""
    scale = TILE_PX / max(picture.shape[:2])
    smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=smooth)[:TILE_PX, :TILE_PX]
    page = np.full((TILE_PX + CAPTION_PX, TILE_PX, 3), 255, np.uint8)
    page[: small.shape[0], : small.shape[1]] = small
    for text, line, colour in ((what, 16, (0, 0, 0)), (answer, 36, GREEN if answer == "enrolled" else RED)):
        cv2.putText(page, text, (4, TILE_PX + line), cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA)
    return page


if __name__ == "__main__":
    main()
