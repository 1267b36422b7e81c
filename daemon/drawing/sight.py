"""A test frame drawn for people: a box round each face, with its size and whether it is good."""

from collections.abc import Sequence

import cv2
import numpy as np

from daemon.core.passages.traces import State
from daemon.core.values import Image, Probe, Quality
from daemon.drawing.annotate import BLACK, COLOURS, FONT, Easel
from daemon.drawing.words import quality


def drawn(image: Image, probes: Sequence[Probe]) -> Image:
    """A copy of the BGR picture, as large as a screen shows it, with its faces marked: green if good, else grey with the reason."""
    easel = Easel(image.shape[1], image.shape[0])
    picture = np.ascontiguousarray(cv2.resize(image, easel.picture, interpolation=cv2.INTER_AREA), np.uint8)
    unit = easel.unit
    for number, probe in enumerate(probes, 1):
        colour = COLOURS[State.ACCEPT if probe.quality is Quality.OK else State.POOR]
        box = probe.face.box
        x0, y0 = round(box.x * easel.scale), round(box.y * easel.scale)
        x1, y1 = round((box.x + box.width) * easel.scale), round((box.y + box.height) * easel.scale)
        for stroke, thick in ((BLACK, round(4 * unit)), (colour, round(2 * unit))):
            cv2.rectangle(picture, (x0, y0), (x1, y1), stroke, thick, cv2.LINE_AA)
        text = f"{number}: {box.side:.0f} px, {'good' if probe.quality is Quality.OK else quality(probe.quality)}"
        size = 0.5 * unit
        (wide, high), _ = cv2.getTextSize(text, FONT, size, max(1, int(unit)))
        pad = round(4 * unit)
        left = min(max(0, x0), max(0, picture.shape[1] - wide - 2 * pad))
        top = y0 - high - 2 * pad if y0 - high - 2 * pad >= 0 else min(y1, picture.shape[0] - high - 2 * pad)
        cv2.rectangle(picture, (left, top), (left + wide + 2 * pad, top + high + 2 * pad), colour, cv2.FILLED)
        cv2.putText(picture, text, (left + pad, top + high + pad), FONT, size, BLACK, max(1, int(unit)), cv2.LINE_AA)
    return picture
