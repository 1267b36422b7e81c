"""verify: every record at the broker, read and checked as a box does it."""

import argparse
import time
from collections import Counter

from rich.console import Console
from rich.text import Text

from daemon.client.broker import Broker
from daemon.client.failures import DONE, REFUSED
from daemon.core import messages as m
from daemon.core.counts import counted, persons
from daemon.core.people import roster
from daemon.ctl.asking import TIMEOUT_S
from daemon.ctl.roster.fleet import fleet_of, whole_site
from daemon.ctl.roster.reading import Reading, read_all
from daemon.ctl.text import brief, safe, to_json

_SOME = 3
_WORDS = {
    "complete": "the broker has everything that the head counts",
    "no_head": "there is no head that is fresh and signed by a box of the fleet; is the keeper running, and may this login read roster/#?",
    "stale": "the head has expired; is the keeper running?",
    "incomplete": "the broker lacks records that the head counts; the keeper puts them back when it connects: restart it, and verify again",
}


def verify(args: argparse.Namespace, out: Console) -> int:
    """roster verify; exit code 0 if all is sound, 1 if not."""
    to = whole_site(args)
    fleet = fleet_of(args, to)
    with Broker(to.address, [to.topic("status")]) as broker:
        reading = read_all(broker, fleet, getattr(args, "timeout", TIMEOUT_S))
    now = time.time()
    standing = reading.coverage.standing(now)
    retired = {name for name, box in fleet.boxes.items() if box.retired}
    cards = [card for records in reading.people.values() if (card := roster.effective(records, retired)) is not None]
    states, disputed = Counter(card.state for card in cards), sorted(card.person for card in cards if card.disputed)
    old = sum(number != fleet.edition.keys.newest for number in reading.key_of.values())
    sound = standing == "complete" and not reading.broken
    if hasattr(args, "json"):
        said = {
            "sound": sound,
            "standing": standing,
            "records": reading.coverage.sum.records,
            "sum": reading.coverage.sum.text,
            "people": len(cards),
            "states": dict(states),
            "disputed": disputed,
            "broken": {reason: len(them) for reason, them in reading.broken.items()},
            "old_key": old,
            "lacking": reading.coverage.lacking(),
            "heads": {name: head.number for name, head in reading.heads.items()},
        }
        out.print(Text(to_json(said)))
        return DONE if sound else REFUSED
    _show(reading, standing, states, disputed, old, now, out)
    return DONE if sound else REFUSED


def _show(reading: Reading, standing: str, states: Counter[roster.State], disputed: list[str], old: int, now: float, out: Console) -> None:
    total = reading.coverage.sum
    names = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
    out.print(Text(f"{counted(total.records, 'record')} of {persons(sum(states.values()))}" + (f" ({names})" if names else "")))
    for writer, held in sorted(reading.coverage.writers.items()):
        out.print(Text.assemble("  ", safe(writer, "cyan"), f": {counted(held.records, 'record')}"))
    for keeper, head in sorted(reading.heads.items()):
        left = f"good for {brief(head.expires_at - now)}" if head.expires_at > now else f"expired {brief(now - head.expires_at)} ago"
        out.print(Text.assemble("head ", str(head.number), " by ", safe(keeper, "cyan"), f", made {m.utc(head.made_at)}, {left}"))
    mark = ("✓", "bold green") if standing == "complete" else ("✗", "bold red")
    out.print(Text.assemble(mark, " ", safe(_WORDS[standing])))
    for writer in reading.coverage.lacking() if standing == "incomplete" else ():
        out.print(Text.assemble("  missing: records of ", safe(writer, "cyan")))
    for reason, them in sorted(reading.broken.items()):
        line = f"{counted(len(them), 'message')} that no box believes ({reason}), for instance"
        out.print(Text.assemble(("✗", "bold red"), " ", safe(line)))
        for topic, why in list(them.items())[:_SOME]:
            out.print(safe(f"    {topic}: {why}", "dim"), soft_wrap=True)
    if disputed:
        some = ", ".join(disputed[:10]) + (f" and {len(disputed) - 10} more" if len(disputed) > 10 else "")
        out.print(
            Text.assemble(("!", "bold yellow"), " ", safe(f"two desks disagree about {some}: send what holds once more, at any desk"))
        )
    if old:
        out.print(Text.assemble(("!", "bold yellow"), f" {counted(old, 'record')} under an earlier key"))
