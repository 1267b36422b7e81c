"""Arguments to commands: what ostiaryctl sends."""

import argparse
from typing import Any

from daemon.client.failures import USAGE, ClientError
from daemon.client.pictures import photos
from daemon.client.times import CAPTURE_LIFETIME_S, LIFETIME_S, times
from daemon.core import messages as m
from daemon.core.passages.claims import LONGEST_S

CHANGE_LIFETIME_S = 600
"""How long a change of model may wait to begin. It is long because a daemon that is restarted meanwhile begins the change again."""


def build(args: argparse.Namespace) -> m.Command:
    """The command that was asked for, with a new id and valid from now on. Raises ClientError for arguments that cannot be sent."""
    match args.op:
        case "enroll":
            return _enroll(args)
        case "update":
            return _update(args)
        case "revoke":
            return m.Revoke(**times(), person=args.person)
        case "suspend":
            return m.Suspend(**times(), person=args.person)
        case "resume":
            return m.Resume(**times(), person=args.person)
        case "get":
            return m.Get(**times(), person=args.person)
        case "verify":
            if not 1 <= args.seconds <= LONGEST_S:
                hint = f"give 1 to {LONGEST_S:g} s; 10 s is usual"
                raise ClientError(USAGE, f"{args.seconds:g} s is not a valid length for a claim", hint)
            return m.Verify(**times(args.seconds), person=args.person, seconds=args.seconds)
        case "reembed":
            return m.Reembed(**times(CHANGE_LIFETIME_S), model=args.model, force=args.force)
        case _:
            return m.Ping(**times())


def list_page(after: str | None, limit: int) -> m.List:
    """The command for one page of people: `limit` of them at most, behind the id `after`."""
    return m.List(**times(), after=after, limit=limit)


def _update(args: argparse.Namespace) -> m.Update:
    given = {k: v for k in ("name", "valid_from", "valid_until", "schedule", "consent") if (v := getattr(args, k)) is not None}
    given |= {"gates": args.gate_allowed} if args.gate_allowed else {}
    cleared = {what.replace("-", "_"): None for what in args.clear}
    both = sorted(given.keys() & cleared.keys())
    if both or not given | cleared:
        message = f"{both[0]} is both given and cleared" if both else "no change is given"
        raise ClientError(USAGE, message, "give what is to change, for instance --valid-until 2026-12-31 or --clear valid-until")
    changes: dict[str, Any] = given | cleared
    return m.Update(**times(), person=args.person, **changes)


def _enroll(args: argparse.Namespace) -> m.Enroll:
    images, capture, lifetime_s = None, None, LIFETIME_S
    if args.capture is not None:
        if not 1 <= args.capture <= m.MAX_CAPTURE_S:
            hint = f"give 1 to {m.MAX_CAPTURE_S:g} s; 5 s is usual"
            raise ClientError(USAGE, f"{args.capture:g} s is not a valid length for a capture", hint)
        capture, lifetime_s = m.Capture(seconds=args.capture), CAPTURE_LIFETIME_S
    else:
        if len(args.image) > m.MAX_IMAGES:
            raise ClientError(USAGE, f"{len(args.image)} images are too many", f"send the best {m.MAX_IMAGES} at most")
        images = photos(args.image)
    return m.Enroll(
        **times(lifetime_s),
        person=args.person,
        images=images,
        capture=capture,
        name=args.name,
        valid_from=args.valid_from,
        valid_until=args.valid_until,
        gates=args.gate_allowed,
        schedule=args.schedule,
        consent=args.consent,
        force=args.force,
        replace=args.replace,
        dry_run=args.dry_run,
    )
