"""Whether the faces of a camera come turned, as from a camera that hangs on its side."""

from dataclasses import dataclass

from daemon.core.values import Quality, View

MEMORY = 0.98
"""The weight of a face relative to the next one: about fifty faces count."""


@dataclass(slots=True)
class Turns:
    """Counts the faces that are too turned to be scored against those that can be scored; older ones fade."""

    upright: float = 0.0
    turned: float = 0.0

    def see(self, view: View) -> None:
        """Take one view of the camera."""
        for probe in view.probes:
            if probe.quality in (Quality.OK, Quality.NOT_UPRIGHT):
                self.upright = MEMORY * self.upright + (probe.quality is Quality.OK)
                self.turned = MEMORY * self.turned + (probe.quality is Quality.NOT_UPRIGHT)

    @property
    def most(self) -> bool:
        """Whether most faces are turned, and they are more than a passer-by with a tilted head shows."""
        return self.turned > max(self.upright, 10.0)
