"""status: whether each box holds the whole roster, and whether all hold the same."""

import argparse
from collections import Counter

from rich.console import Console
from rich.text import Text

from daemon.client.broker import Broker
from daemon.client.failures import DONE, NO_ANSWER, REFUSED, ClientError
from daemon.client.keys import believed
from daemon.ctl.roster.fleet import FIRST_S, Known, boxes, fleet_of, of_fleet, whole_site
from daemon.ctl.text import brief, safe, table, to_json

_FORGED = "its status is not signed with the key of a box that is believed (--keys, --gate-key)"
_SHOWN = 8
"""How many digits of a sum tell two apart."""


def show_standing(args: argparse.Namespace, out: Console) -> int:
    """roster status; the exit code says whether all boxes hold the whole roster, and the same one."""
    to = whole_site(args)
    fleet = fleet_of(args, to) if args.keys is not None else None
    with Broker(to.address, [to.topic("status")]) as broker:
        found, forged = boxes(broker, believed(getattr(args, "gate_key", ())), getattr(args, "timeout", FIRST_S))
    silent: list[str] = []
    if fleet is not None:
        found, others = of_fleet(found, fleet)
        forged = sorted({*forged, *others})
        silent = sorted(name for name, box in fleet.boxes.items() if not box.retired and name not in found)
    if not found and not silent and not forged:
        raise ClientError(NO_ANSWER, "no box shares its people", "set roster.name in the configuration of the boxes (deploy/fleet.md)")
    first = [them[0] for them in found.values()]
    usual = Counter(one.roster.sum for one in first).most_common(1)[0][0] if first else ""
    if hasattr(args, "json"):
        for one in first:
            same = one.roster.sum == usual
            said = {"box": one.roster.name, "gate": one.gate, "well": _is_well(one), "same": same, "roster": one.roster}
            out.print(Text(to_json(said)))
        for name in silent:
            out.print(Text(to_json({"box": name, "error": "it is silent"})))
        for name in forged:
            out.print(Text(to_json({"gate": name, "error": _FORGED})))
    else:
        _show(first, usual, silent, forged, out)
    well = bool(first) and not silent and not forged and all(_is_well(one) and one.roster.sum == usual for one in first)
    return DONE if well else REFUSED


def _is_well(one: Known) -> bool:
    return one.seen.is_well and one.roster.standing == "complete"


def _show(first: list[Known], usual: str, silent: list[str], forged: list[str], out: Console) -> None:
    made = table("box", "standing", "records", "sum", "head", "waiting", "disputed", "old key")
    for one in first:
        roster = one.roster
        standing = "offline" if not one.seen.online else "stale status" if one.seen.is_stale else roster.standing
        age = "–" if roster.head_age_s is None else f"{brief(roster.head_age_s)} ago"
        made.add_row(
            safe(f"{roster.name} *" if roster.keeper else roster.name, "cyan"),
            safe(standing, "green" if _is_well(one) else "red"),
            str(roster.records),
            safe(roster.sum[:_SHOWN], "" if roster.sum == usual else "bold yellow"),
            age,
            str(roster.waiting),
            safe(str(roster.disputed), "yellow" if roster.disputed else ""),
            safe(str(roster.old_key), "yellow" if roster.old_key else ""),
        )
    if first:
        out.print(made)
        out.print(Text("* the keeper", "dim"))
    for one in first:
        for why in one.seen.reasons:
            if why.startswith("roster"):
                out.print(Text.assemble(safe(one.roster.name, "cyan"), safe(f": {why}", "yellow")))
        if one.roster.sum != usual:
            why = "it holds other records than most boxes; if that stays for a minute: `ostiaryctl roster verify`"
            out.print(Text.assemble(safe(one.roster.name, "cyan"), safe(f": {why}", "yellow")))
    for name in silent:
        out.print(Text.assemble(("✗", "bold red"), " ", safe(name, "cyan"), safe(": no gate of this box has said anything", "red")))
    for name in forged:
        out.print(Text.assemble(("✗", "bold red"), " gate ", safe(name, "cyan"), safe(f": {_FORGED}", "red")))
