"""A replay drawn onto its frames: a box around each face, its state and person, and its similarity."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from daemon.core.passages.rules import Rules
from daemon.core.passages.traces import Moment, State
from daemon.core.values import Image, Quality, Reason
from daemon.drawing.words import clock

SMALLEST_PX, LARGEST_PX = 640, 1280
"""Narrower frames are enlarged to make room for the text; wider ones are shrunk, because encoding them is slow."""

# BGR. Colour-blind readers can tell them apart too (after Okabe and Ito), and every state is also written in words.
COLOURS = {
    State.POOR: (168, 168, 168),
    State.GATHERING: (233, 180, 86),
    State.ACCEPT: (128, 200, 20),
    State.REJECT: (46, 67, 232),
    State.UNKNOWN: (30, 166, 245),
}
BLACK, WHITE, STRIP = (0, 0, 0), (255, 255, 255), (36, 32, 30)
FONT = cv2.FONT_HERSHEY_SIMPLEX
BOLD = frozenset({State.ACCEPT, State.REJECT, State.UNKNOWN})


@dataclass(frozen=True, slots=True)
class Easel:
    """Draws frames of `width` × `height` pixels, with a strip for the time below."""

    width: int
    height: int

    @property
    def scale(self) -> float:
        """The size of the picture divided by that of the frame: a whole number when enlarged, any number when shrunk."""
        if self.width < SMALLEST_PX:
            return float(-(-SMALLEST_PX // self.width))
        return min(1.0, LARGEST_PX / self.width)

    @property
    def picture(self) -> tuple[int, int]:
        """(width, height) of the frame's picture; codecs need even numbers."""
        return _even(self.width * self.scale), _even(self.height * self.scale)

    @property
    def unit(self) -> float:
        """The size of the text: 1 for a small picture, 1.3 for the largest."""
        return max(1.0, self.picture[0] / 960)

    @property
    def strip_px(self) -> int:
        return _even(26 * self.unit)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of what is drawn."""
        return self.picture[0], self.picture[1] + self.strip_px

    def draw(self, image: Image, at_s: float, number: int, moments: Sequence[Moment], rules: Rules) -> Image:
        """One frame, BGR uint8 [height, width, 3], with the moments of its faces. Another size is fitted in. `at_s` is from the start."""
        width, height = self.picture
        canvas = np.zeros((height + self.strip_px, width, 3), np.uint8)
        factor = min(width / image.shape[1], height / image.shape[0])
        fitted = cv2.resize(
            image,
            (min(width, round(image.shape[1] * factor)), min(height, round(image.shape[0] * factor))),
            interpolation=cv2.INTER_CUBIC if factor > 1 else cv2.INTER_AREA,
        )
        canvas[: fitted.shape[0], : fitted.shape[1]] = fitted
        picture = canvas[:height]
        taken: list[tuple[int, int, int, int]] = []
        shown = [moment for moment in moments if np.isfinite([moment.box.x, moment.box.y, moment.box.width, moment.box.height]).all()]
        for moment in shown:
            _outline(picture, moment, factor, self.unit)
        for moment in sorted(shown, key=lambda m: m.state is not State.POOR):  # an answer covers the reason of a poor face
            _label(picture, moment, rules, factor, self.unit, taken)
        _strip(canvas[height:], at_s, number, rules, self.unit)
        return canvas


def words(moment: Moment, rules: Rules) -> str:
    """The state of a face in a few words of ASCII: OpenCV's Hershey fonts have no other letters."""
    start = f"#{moment.passage} "
    ruling = moment.ruling
    if ruling is None:
        # From `min_frames` on an answer can come with every frame; at `patience` it comes.
        needed = rules.min_frames if moment.good < rules.min_frames else rules.patience
        return f"{start}looking {min(moment.good, needed)}/{needed}"
    parts = [ruling.verdict.value.upper()]
    if ruling.reason not in (Reason.MATCHED, Reason.NO_MATCH):
        parts.append(ruling.reason.value.replace("_", " "))
    return start + " ".join(parts + ([ascii_of(ruling.person)] if ruling.person is not None else []))


def ascii_of(text: str) -> str:
    """The nearest ASCII text: accents are dropped, other letters become question marks."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return plain.encode("ascii", "replace").decode()


def _even(pixels: float) -> int:
    return max(2, 2 * round(pixels / 2))


def _outline(picture: Image, moment: Moment, factor: float, unit: float) -> None:
    """The box: thick once there is an answer, thin while the face is too poor, and only its corners while evidence gathers."""
    x0, y0 = round(moment.box.x * factor), round(moment.box.y * factor)
    x1, y1 = round((moment.box.x + moment.box.width) * factor), round((moment.box.y + moment.box.height) * factor)
    state, colour = moment.state, COLOURS[moment.state]
    thick = round((3 if state in BOLD else 2) * unit)
    if state is State.GATHERING:
        arm_x, arm_y = (x1 - x0) // 4, (y1 - y0) // 4
        strokes = [((x, y), (x + a, y)) for x, a in ((x0, arm_x), (x1, -arm_x)) for y in (y0, y1)]
        strokes += [((x, y), (x, y + a)) for y, a in ((y0, arm_y), (y1, -arm_y)) for x in (x0, x1)]
        for stroke_colour, width in ((BLACK, thick + 2), (colour, thick)):
            for a, b in strokes:
                cv2.line(picture, a, b, stroke_colour, width, cv2.LINE_AA)
        return
    cv2.rectangle(picture, (x0, y0), (x1, y1), BLACK, thick + 2, cv2.LINE_AA)
    cv2.rectangle(picture, (x0, y0), (x1, y1), colour, thick, cv2.LINE_AA)


def _label(picture: Image, moment: Moment, rules: Rules, factor: float, unit: float, taken: list[tuple[int, int, int, int]]) -> None:
    """The state of the face, and below it the similarity as a bar with a mark at the threshold, or why the frame is too poor."""
    size, pad = 0.46 * unit, round(4 * unit)
    first, poor = words(moment, rules), moment.quality is not Quality.OK
    row = round(17 * unit)
    fused = moment.fused
    second = moment.quality.value.replace("_", " ") if poor else ("another face?" if moment.aside else "")
    number = f"{fused.similarity:.2f}" if fused is not None and not second else ""
    wide = max(_width(first, size, unit), _width(second, size, unit), round(112 * unit) if number else 0) + 2 * pad
    rows = 2 if second or number else 1
    x, y = _free(picture, moment, factor, wide, rows * row, taken)
    # The answer keeps its colour through a poor frame; the second row says what is wrong with the frame.
    colour = COLOURS[moment.standing if moment.ruling is not None or not poor else State.POOR]
    cv2.rectangle(picture, (x, y), (x + wide, y + row), colour, cv2.FILLED)
    ink = WHITE if moment.standing is State.REJECT else BLACK
    _write(picture, first, (x + pad, y + row - round(5 * unit)), size, ink, unit)
    if rows == 1:
        return
    cv2.rectangle(picture, (x, y + row), (x + wide, y + 2 * row), BLACK, cv2.FILLED)
    base = y + 2 * row - round(5 * unit)
    if second:
        _write(picture, second, (x + pad, base), size, COLOURS[State.POOR] if poor else WHITE, unit)
    elif fused is not None and rules.threshold is not None:
        _write(picture, number, (x + pad, base), size, WHITE, unit)
        _bar(
            picture,
            (x + pad + _width("-0.00 ", size, unit), y + row),
            (x + wide - pad, y + 2 * row),
            fused.similarity,
            rules.threshold,
            colour,
        )


def _bar(picture: Image, top: tuple[int, int], end: tuple[int, int], similarity: float, threshold: float, colour: tuple[int, ...]) -> None:
    """Similarities from 0 to 1 from left to right, and the threshold as an upright white mark."""
    (left, y0), (right, y1) = top, end
    high = y1 - y0
    inset = high // 3
    cv2.rectangle(picture, (left, y0 + inset), (right, y1 - inset), (110, 110, 110), cv2.FILLED)
    share = min(1.0, max(0.0, similarity)) if np.isfinite(similarity) else 0.0
    cv2.rectangle(picture, (left, y0 + inset), (left + round(share * (right - left)), y1 - inset), colour, cv2.FILLED)
    mark = left + round(min(1.0, max(0.0, threshold)) * (right - left))
    cv2.line(picture, (mark, y0 + high // 8), (mark, y1 - high // 8), WHITE, max(1, high // 8))


def _free(picture: Image, moment: Moment, factor: float, wide: int, high: int, taken: list[tuple[int, int, int, int]]) -> tuple[int, int]:
    """The top left corner of a label: above its box, else below, else in it, and if possible clear of all other labels."""
    height, width = picture.shape[:2]
    x = min(max(0, round(moment.box.x * factor)), max(0, width - wide - 1))
    top, bottom = round(moment.box.y * factor), round((moment.box.y + moment.box.height) * factor)
    places = [(x, y) for y in (top - high - 3, bottom + 3, top + 3, top - 2 * high - 6, bottom + high + 6) if 0 <= y <= height - high - 1]
    places = places or [(x, min(max(0, top), max(0, height - high - 1)))]
    place = next((p for p in places if not any(_meet((*p, wide, high), other) for other in taken)), places[0])
    taken.append((*place, wide, high))
    return place


def _meet(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> bool:
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]


def _strip(strip: Image, at_s: float, number: int, rules: Rules, unit: float) -> None:
    strip[:] = STRIP
    size, base = 0.46 * unit, round(18 * unit)
    _write(strip, f"{clock(at_s)}  frame {number}", (round(8 * unit), base), size, WHITE, unit)
    if rules.threshold is not None:
        said = f"bar: similarity; white mark: threshold {rules.threshold:.3f}"
        _write(strip, said, (strip.shape[1] - _width(said, size, unit) - round(8 * unit), base), size, COLOURS[State.POOR], unit)


def _width(text: str, size: float, unit: float) -> int:
    return cv2.getTextSize(text, FONT, size, max(1, int(unit)))[0][0]


def _write(picture: Image, text: str, at: tuple[int, int], size: float, colour: tuple[int, ...], unit: float) -> None:
    cv2.putText(picture, text, at, FONT, size, colour, max(1, int(unit)), cv2.LINE_AA)
