"""Enrolment from the live camera: the good views of one person over a few seconds. It reads no clock; the views carry the time."""

from collections import Counter
from dataclasses import dataclass, field

from daemon.core.counts import counted
from daemon.core.faces.quality import sharpness
from daemon.core.people.enrol import EnrolError, need_quality, the_face
from daemon.core.values import Image, Quality, View

SLOTS = 10
"""The sharpest picture of each tenth of the time is taken. Neighbouring frames show the same, and embedding them takes time."""

LEAST = 3
"""Fewer good pictures than this say too little about a person, and cannot show whether it was one person."""

CROWDED = 0.2
"""At most this share of the frames with a face may show several faces. So a single false alarm of the detector does not end a capture."""


@dataclass(slots=True)
class Capture:
    """What a camera has shown since `begun_s` (on a clock that never steps), for `seconds`; faces of at least `min_face_px`."""

    begun_s: float
    seconds: float
    min_face_px: float
    _best: dict[int, tuple[float, Image]] = field(default_factory=dict)
    _poor: Counter[str] = field(default_factory=Counter)
    _with_face: int = 0
    _crowded: int = 0

    def over(self, now_s: float) -> bool:
        """Whether the time is up at `now_s` on the same clock."""
        return not 0 <= now_s - self.begun_s < self.seconds

    def observe(self, view: View) -> None:
        """Take one view of the gate's camera. Views from before the beginning or after the end are ignored."""
        if not 0 <= view.at_s - self.begun_s < self.seconds or not view.probes:
            return
        self._with_face += 1
        try:
            face = the_face([probe.face for probe in view.probes], 1)
        except EnrolError:
            self._crowded += 1
            return
        probe = next(probe for probe in view.probes if probe.face is face)
        quality = probe.quality if probe.face.box.side >= self.min_face_px else Quality.TOO_SMALL
        if quality is not Quality.OK:
            self._poor[quality.value] += 1
            return
        slot, sharp = int((view.at_s - self.begun_s) / self.seconds * SLOTS), sharpness(probe.crop)
        if slot not in self._best or sharp > self._best[slot][0]:
            self._best[slot] = sharp, probe.crop

    def crops(self) -> list[Image]:
        """The chosen crops, uint8 [112, 112, 3] RGB, oldest first; LEAST to SLOTS of them. Raises EnrolError when there are too few.

        Whether all of them show one person is judged later, by their vectors.
        """
        if not self._with_face:
            raise EnrolError("no_face", f"nobody was in view for {self.seconds:g} s; stand in front of the camera and look at it")
        if self._crowded > CROWDED * self._with_face:
            raise EnrolError("several_faces", "more than one face was in view; only the person to be enrolled may stand there")
        if len(self._best) >= LEAST:
            return [self._best[slot][1] for slot in sorted(self._best)]
        if not self._best and self._poor:
            need_quality(Quality(self._poor.most_common(1)[0][0]), None)
        raise EnrolError(
            "timeout",
            f"{counted(len(self._best), 'good picture')} in {self.seconds:g} s, and {LEAST} are needed; stay a little longer",
        )
