"""The flight recorder: what each gate saw in the last minutes. It answers why somebody stood before a closed gate."""

from collections.abc import Callable

from daemon.core.messages import utc
from daemon.core.passages.gatekeeper import Decision, Gatekeeper
from daemon.core.tapes.lines import CameraLine, FrameLine, Line, Quiet, decision_line, frame_line
from daemon.core.values import View
from daemon.edges.recorder import Recorder
from daemon.edges.store import StoreError

LINE_BYTES = 512
"""Roughly the size of a line with one face while it waits. Each further face adds as much."""


class Flight:
    """Makes lines of what the engine shows it, and gives them to a recorder, if there is one. Belongs to the engine's thread."""

    def __init__(self, recorder: Recorder[Line] | None, pseudonym: Callable[[str], str | None]) -> None:
        self._recorder, self._pseudonym = recorder, pseudonym
        self._names: dict[str, str | None] = {}
        self._quiet: dict[str, Quiet] = {}

    def saw(self, view: View, keeper: Gatekeeper) -> None:
        """The keeper has observed a view."""
        if self._recorder is None:
            return
        quiet = self._quiet.setdefault(view.gate, Quiet())
        if not view.probes:
            self._put(view.gate, quiet.add(view))
            return
        self._put(view.gate, quiet.end())
        self._put(view.gate, frame_line(view, keeper, self._name))

    def decided(self, decision: Decision) -> None:
        """A decision has been stored."""
        self._put(decision.gate, decision_line(decision, self._name))

    def camera(self, gate: str, at: float, state: str, detail: str | None) -> None:
        """A camera's state has changed, at `at` (UTC seconds)."""
        self._still(gate)
        self._put(gate, CameraLine(utc(at), state, detail))

    def renew(self) -> None:
        """The gallery has changed, and pseudonyms may have."""
        self._names.clear()

    def finish(self) -> None:
        """Nothing more comes."""
        for gate in self._quiet:
            self._still(gate)

    def _still(self, gate: str) -> None:
        quiet = self._quiet.get(gate)
        if quiet is not None:
            self._put(gate, quiet.end())

    def _put(self, gate: str, line: Line | None) -> None:
        if line is not None and self._recorder is not None:
            faces = len(line.faces) if isinstance(line, FrameLine) else 1
            self._recorder.offer(gate, line, LINE_BYTES * max(1, faces))

    def _name(self, person: str) -> str | None:
        if person not in self._names:
            try:
                self._names[person] = self._pseudonym(person)
            except StoreError:  # the disk fails, and the gate says so; the next change of the gallery asks again
                self._names[person] = None
        return self._names[person]
