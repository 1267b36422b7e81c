"""What a box says of the roster: in its status, in the metrics, and as reasons for not serving."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from daemon.core import sealed_box
from daemon.core.counts import counted, persons
from daemon.core.messages import RosterStatus, utc
from daemon.core.status import Word
from daemon.serving.roster.roster import Roster

START_S = 15.0
"""So long after a start nobody is told that the box does not hold everything yet. It rejects people of other boxes meanwhile."""
COUNT_EVERY_S = 1.0
_WORDS: Mapping[str, Word] = {
    "no_key": Word.ROSTER_NO_KEY, "no_head": Word.ROSTER_NO_HEAD, "stale": Word.ROSTER_STALE, "incomplete": Word.ROSTER_INCOMPLETE,
}  # fmt: skip


@dataclass(slots=True)
class Report:
    """Owned by the engine. `begun_s` is when the daemon started, on a clock that never steps."""

    roster: Roster
    begun_s: float
    shared: int = 0
    waiting: int = 0
    disputed: Sequence[str] = ()
    figures: object = None
    """What has changed if they have: what is held, and what waits."""
    _counted_s: float = float("-inf")

    def tend(self, now_s: float, now: float) -> None:
        """Count, now and then, and set the metrics. Raises StoreError."""
        if now_s - self._counted_s < COUNT_EVERY_S:
            return
        roster, coverage, self._counted_s = self.roster, self.roster.book.coverage, now_s
        table, total = roster.book.store.roster, coverage.sum
        self.waiting = table.dues() + table.unwritten_total()
        if (figures := (total, self.waiting)) != self.figures:
            self.figures = figures
            people = roster.changes.current.people.values()
            self.shared = sum(one.shared for one in people)
            self.disputed = sorted(one.person for one in people if one.disputed)
        age_s = now - coverage.head.made_at if coverage.head is not None else None
        roster.inbox.metrics.roster(
            roster.book.name, complete=roster.standing(now) == "complete", head_age_s=age_s, records=total.records, waiting=self.waiting
        )  # fmt: skip

    def status(self, now: float) -> RosterStatus:
        """For the status, at `now` (UTC seconds). Raises StoreError."""
        roster, coverage = self.roster, self.roster.book.coverage
        total, head = coverage.sum, coverage.head
        newest = roster.state.edition.keys.newest if roster.state.edition is not None else 0
        return RosterStatus(
            name=roster.book.name,
            standing=roster.standing(now),
            records=total.records,
            sum=total.text,
            people=self.shared,
            disputed=len(self.disputed),
            head=head.number if head is not None else None,
            head_age_s=round(now - head.made_at, 1) if head is not None else None,
            waiting=self.waiting,
            old_key=roster.book.store.roster.sealed_before(newest),
            exchange_key=sealed_box.public_text(roster.inbox.exchange),
            keeper=roster.keeper is not None,
        )

    def troubles(self, now_s: float, now: float) -> dict[Word, str]:
        """What is wrong, each with what is known of it."""
        roster, head, found = self.roster, self.roster.book.coverage.head, dict[Word, str]()
        standing = roster.standing(now)
        if standing != "complete" and now_s - self.begun_s >= START_S:
            found[_WORDS[standing]] = self._more(standing)
        if standing == "complete" and head is not None and now > (head.made_at + head.expires_at) / 2:
            found[Word.ROSTER_AGEING] = f"; people of other boxes are rejected from {utc(head.expires_at)}"
        if roster.post.refused is not None:
            found[Word.ROSTER_REFUSED] = f"the broker refuses a record of the roster: {roster.post.refused}"
        return found

    def _more(self, standing: str) -> str:
        if standing == "no_key":
            return f"; {counted(self.waiting, 'change')} made here wait" if self.waiting else ""
        more = f": {persons(self.shared)}" if self.shared else ""
        lacking = self.roster.book.coverage.lacking() if standing == "incomplete" else ()
        return more + (f" (of {', '.join(lacking[:3])})" if lacking else "")
