"""Arguments to commands: what ostiaryctl sends."""

import argparse
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from daemon.client.failures import USAGE, ClientError
from daemon.client.pictures import photos
from daemon.core import messages as m
from daemon.core.passages.claims import LONGEST_S

LIFETIME_S = 60
"""How long a command may wait for its gate."""

CHANGE_LIFETIME_S = 600
"""How long a change of model may wait to begin. It is long because a daemon that is restarted meanwhile begins the change again."""

CAPTURE_LIFETIME_S = 15
"""How long a capture may wait to begin. Later, somebody else may be in front of the camera."""


def build(args: argparse.Namespace) -> m.Command:
    """The command that was asked for, with a new id and valid from now on. Raises ClientError for arguments that cannot be sent."""
    now = datetime.now(UTC)
    ident, end = uuid4(), now + timedelta(seconds=LIFETIME_S)
    match args.op:
        case "enroll":
            return _enroll(args, ident, now)
        case "update":
            return _update(args, ident, now)
        case "revoke":
            return m.Revoke(command_id=ident, issued_at=now, expires_at=end, person=args.person)
        case "suspend":
            return m.Suspend(command_id=ident, issued_at=now, expires_at=end, person=args.person)
        case "resume":
            return m.Resume(command_id=ident, issued_at=now, expires_at=end, person=args.person)
        case "get":
            return m.Get(command_id=ident, issued_at=now, expires_at=end, person=args.person)
        case "verify":
            if not 1 <= args.seconds <= LONGEST_S:
                hint = f"give 1 to {LONGEST_S:g} s; 10 s is usual"
                raise ClientError(USAGE, f"{args.seconds:g} s is not a valid length for a claim", hint)
            end = now + timedelta(seconds=args.seconds)
            return m.Verify(command_id=ident, issued_at=now, expires_at=end, person=args.person, seconds=args.seconds)
        case "reembed":
            end = now + timedelta(seconds=CHANGE_LIFETIME_S)
            return m.Reembed(command_id=ident, issued_at=now, expires_at=end, model=args.model, force=args.force)
        case _:
            return m.Ping(command_id=ident, issued_at=now, expires_at=end)


def list_page(after: str | None, limit: int) -> m.List:
    """The command for one page of people: `limit` of them at most, behind the id `after`."""
    now = datetime.now(UTC)
    return m.List(command_id=uuid4(), issued_at=now, expires_at=now + timedelta(seconds=LIFETIME_S), after=after, limit=limit)


def _update(args: argparse.Namespace, ident: UUID, now: datetime) -> m.Update:
    given = {k: v for k in ("name", "valid_from", "valid_until", "schedule", "consent") if (v := getattr(args, k)) is not None}
    given |= {"gates": args.gate_allowed} if args.gate_allowed else {}
    cleared = {what.replace("-", "_"): None for what in args.clear}
    both = sorted(given.keys() & cleared.keys())
    if both or not given | cleared:
        message = f"{both[0]} is both given and cleared" if both else "no change is given"
        raise ClientError(USAGE, message, "give what is to change, for instance --valid-until 2026-12-31 or --clear valid-until")
    end = now + timedelta(seconds=LIFETIME_S)
    return m.Update(command_id=ident, issued_at=now, expires_at=end, person=args.person, **given, **cleared)


def _enroll(args: argparse.Namespace, ident: UUID, now: datetime) -> m.Enroll:
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
        command_id=ident,
        issued_at=now,
        expires_at=now + timedelta(seconds=lifetime_s),
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
