"""A run on the screen: a bar at a terminal, a line now and then elsewhere, and one object per answer for machines."""

import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from daemon.ctl.bulk.outcomes import Outcome
from daemon.ctl.text import safe, to_json

EVERY_S = 10.0
"""How often a line says how far it is, where there is no terminal."""


class Show:
    """Hears of a run over `total` people for the length of a `with`."""

    def __init__(self, out: Console, total: int, what: str, *, for_machines: bool) -> None:
        self._out, self._total, self._for_machines = out, total, for_machines
        self.outcomes: list[Outcome] = []
        self.earlier = 0
        self._through: set[str] = set()
        self._refused: set[str] = set()
        self._begun_s = self._said_s = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[refused]}", style="red"),
            TextColumn("{task.fields[rate]}", style="dim"), TimeRemainingColumn(),
            console=out, disable=for_machines or not out.is_terminal, transient=True,
        )  # fmt: skip
        self._task: TaskID = self._bar.add_task(what, total=total, refused="", rate="")

    def __enter__(self) -> "Show":
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()

    @property
    def took_s(self) -> float:
        return time.monotonic() - self._begun_s

    @property
    def left(self) -> int:
        return self._total - len(self._through)

    def told(self, outcome: Outcome) -> None:
        """One gate's last word."""
        self.outcomes.append(outcome)
        if outcome.status != "done":
            self._refused.add(outcome.person)
        if self._for_machines:
            self._out.print(Text(to_json(outcome)))

    def over(self, person: str, *, earlier: bool = False) -> None:
        """All gates have answered about somebody."""
        if person in self._through:
            return
        self._through.add(person)
        self.earlier += earlier
        rate = (len(self._through) - self.earlier) / max(self.took_s, 0.1)
        refused = f"{len(self._refused):,} refused" if self._refused else ""
        self._bar.update(self._task, completed=len(self._through), refused=refused, rate=f"{rate:.1f}/s")
        if self._bar.disable and not self._for_machines and time.monotonic() - self._said_s > EVERY_S:
            self._said_s = time.monotonic()
            self._out.print(Text(f"{len(self._through):,} of {self._total:,}, {rate:.1f} a second{f', {refused}' if refused else ''}"))

    def say(self, text: str) -> None:
        """Why nothing happens, or that something does again."""
        if not self._for_machines:
            self._out.print(safe(f"… {text}", "yellow"))

    def all_told(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            self.told(outcome)
