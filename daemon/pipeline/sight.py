"""What a camera's picture shows to somebody who sets a gate up: its faces, whether they are good, and whether the picture is turned."""

from dataclasses import dataclass, replace

import numpy as np

from daemon.core.faces.quality import Judge
from daemon.core.values import Frame, Image, Quality, View
from daemon.pipeline import steps


@dataclass(frozen=True, slots=True)
class Sight:
    """A picture, uint8 [height, width, 3] BGR, turned clockwise by `quarters` from how the camera gave it, and the faces in it."""

    image: Image
    view: View
    quarters: int = 0

    @property
    def good(self) -> int:
        """How many of the faces can be compared."""
        return sum(probe.quality is Quality.OK for probe in self.view.probes)

    @property
    def worth(self) -> tuple[int, int, float]:
        """Orders sights of one camera: by good faces, then by faces as the camera gives them, then by the largest."""
        sides = [probe.face.box.side for probe in self.view.probes]
        return self.good, len(sides) if not self.quarters else 0, max(sides, default=0.0)


def sight_of(frame: Frame, detector: steps.Detector, judge: Judge) -> Sight:
    """Look at the frame as it is and, if no face in it is good, turned by one to three quarters: what shows a good face first, else the
    frame as it is."""
    first = Sight(frame.image, steps.look(frame, detector, judge))
    if first.good:
        return first
    for quarters in (1, 2, 3):
        image = np.ascontiguousarray(np.rot90(frame.image, -quarters))
        turned = Sight(image, steps.look(replace(frame, image=image), detector, judge), quarters)
        if turned.good:
            return turned
    return first
