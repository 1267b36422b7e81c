"""rotate-key: a new key for the records to come, and old ones dropped."""

import argparse
import secrets
import time
from dataclasses import replace

import msgspec
from rich.console import Console
from rich.text import Text

from daemon.client.broker import Broker
from daemon.client.failures import DONE, REFUSED, USAGE, ClientError
from daemon.client.keys import Signer, believed
from daemon.client.target import Target
from daemon.core.counts import counted
from daemon.core.people import site_keys
from daemon.core.people.fleet_file import Fleet
from daemon.core.people.roster_wire import KEY_BYTES, RosterError
from daemon.ctl.asking import TIMEOUT_S
from daemon.ctl.roster.admitting import give
from daemon.ctl.roster.fleet import FIRST_S, administrator, boxes, fleet_of, of_fleet, whole_site, write_fleet
from daemon.ctl.roster.reading import read_all
from daemon.ctl.text import safe, to_json


def rotate(args: argparse.Namespace, out: Console) -> int:
    """roster rotate-key: the file first, then every box. Given again, a box that missed it gets it by `roster admit`."""
    to, admin = whole_site(args), administrator(args)
    fleet, timeout_s = fleet_of(args, to), getattr(args, "timeout", TIMEOUT_S)
    if args.retire is not None and args.retire not in fleet.boxes:
        raise ClientError(USAGE, f"{args.keys} has no box {args.retire}", f"there are {', '.join(fleet.boxes) or 'none'}")
    with Broker(to.address, [to.topic("status")]) as broker:
        after = _forgetting(args, to, fleet, broker, timeout_s) if args.forget else _renewed(args.retire, fleet)
        write_fleet(args.keys, after)
        failed = _give_all(broker, after, admin, timeout_s)
        if args.retire is not None:
            broker.retain(site_keys.key_topic(to.site, args.retire), b"", timeout_s)
    numbers = sorted(after.edition.keys.sealing)
    if hasattr(args, "json"):
        out.print(Text(to_json({"edition": after.edition.number, "keys": numbers, "failed": failed})))
        return REFUSED if failed else DONE
    keys = f"key {numbers[0]}" if len(numbers) == 1 else f"keys {', '.join(map(str, numbers))}"
    given = [name for name, box in sorted(after.boxes.items()) if not box.retired and name not in failed]
    out.print(
        Text.assemble(
            ("✓", "bold green"), " ", safe(f"{keys}: given to {', '.join(given) or 'no box'}; new records are sealed with {numbers[-1]}")
        )
    )
    for name, why in failed.items():
        out.print(
            Text.assemble(("✗", "bold red"), " ", safe(name, "cyan"), safe(f": {why}; send it with `ostiaryctl roster admit {name}`"))
        )
    if args.retire is not None:
        line = f'add `retired = true` to [roster.writers."{args.retire}"] at every box, and take its login from the broker'
        out.print(Text.assemble(("!", "bold yellow"), " ", safe(line)))
    elif not args.forget:
        out.print(
            Text("  The boxes seal their records anew. When `roster status` shows 0 under old key: `roster rotate-key --forget`.", "dim")
        )
    return REFUSED if failed else DONE


def _renewed(retire: str | None, fleet: Fleet) -> Fleet:
    try:
        edition = fleet.edition.rotated(secrets.token_bytes(KEY_BYTES), time.time())
    except RosterError as error:
        raise ClientError(REFUSED, str(error), "drop old ones first: `ostiaryctl roster rotate-key --forget`") from None
    retired = {} if retire is None else {retire: msgspec.structs.replace(fleet.boxes[retire], retired=True)}
    return replace(fleet, edition=edition, boxes={**fleet.boxes, **retired})


def _forgetting(args: argparse.Namespace, to: Target, fleet: Fleet, broker: Broker, timeout_s: float) -> Fleet:
    """Without the keys that seal no record at the broker. Raises ClientError where a box may still send records under an old key."""
    found, _ = of_fleet(boxes(broker, believed(()), getattr(args, "timeout", FIRST_S))[0], fleet)
    for name in sorted(name for name, box in fleet.boxes.items() if not box.retired):
        one = found[name][0] if name in found else None
        if one is None or not one.seen.is_well or one.roster.waiting:
            why = "is silent" if one is None or not one.seen.is_well else "has records that are not sent yet"
            raise ClientError(REFUSED, f"{name} {why}", "wait until `ostiaryctl roster status` shows it well, and 0 waiting")
    reading = read_all(broker, fleet, timeout_s)
    if "unknown_key" in reading.broken or reading.coverage.standing(time.time()) != "complete":
        raise ClientError(REFUSED, "the broker does not have the whole roster", "see `ostiaryctl roster verify`; then ask again")
    used = reading.under_key()
    edition = fleet.edition.forgetting(used.keys(), time.time())
    if edition.keys.sealing.keys() == fleet.edition.keys.sealing.keys():
        kept = [f"{counted(sum(by.values()), 'record')} of {', '.join(sorted(by))} under key {n}" for n, by in sorted(used.items())]
        hint = "boxes seal their records anew by themselves, unless they are switched off; those of a retired box stay as they are"
        raise ClientError(REFUSED, f"there is no key to forget: {'; '.join(kept) or 'there is only one'}", hint)
    return replace(fleet, edition=edition)


def _give_all(broker: Broker, fleet: Fleet, admin: Signer, timeout_s: float) -> dict[str, str]:
    """Give every box its keys; why it failed, by the name of the box."""
    failed = {}
    for name, box in sorted(fleet.boxes.items()):
        try:
            if not box.retired:
                give(broker, fleet, name, admin.key, timeout_s)
        except ClientError as error:
            failed[name] = error.message
    return failed
