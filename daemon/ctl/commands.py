"""Arguments to commands: what ostiaryctl sends."""

import argparse
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

from daemon.core import messages as m
from daemon.core.passages.claims import LONGEST_S
from daemon.ctl.broker import USAGE, CtlError

LIFETIME_S = 60
"""How long a command may wait for its gate."""

CHANGE_LIFETIME_S = 600
"""How long a change of model may wait to begin: as long as any command, for a daemon that is restarted meanwhile begins it anew."""

CAPTURE_LIFETIME_S = 15
"""How long a capture may wait to begin: later, somebody else may stand before the camera."""


def build(args: argparse.Namespace) -> m.Command:
    """The command that was asked for, with a new id and valid from now on. Raises CtlError for pictures that cannot be sent."""
    now = datetime.now(UTC)
    ident, end = uuid4(), now + timedelta(seconds=LIFETIME_S)
    match args.op:
        case "enroll":
            return _enroll(args, ident, now)
        case "update":
            given = {k: v for k in ("name", "valid_from", "valid_until", "schedule", "consent") if (v := getattr(args, k)) is not None}
            given |= {"gates": args.gate_allowed} if args.gate_allowed else {}
            cleared = {what.replace("-", "_"): None for what in args.clear}
            both = sorted(given.keys() & cleared.keys())
            if both or not given | cleared:
                message = f"{both[0]} is both given and cleared" if both else "nothing is to be changed"
                raise CtlError(USAGE, message, "give what is to change, for instance --valid-until 2026-12-31 or --clear valid-until")
            return m.Update(command_id=ident, issued_at=now, expires_at=end, person=args.person, **given, **cleared)
        case "revoke":
            return m.Revoke(command_id=ident, issued_at=now, expires_at=end, person=args.person)
        case "suspend":
            return m.Suspend(command_id=ident, issued_at=now, expires_at=end, person=args.person)
        case "verify":
            if not 1 <= args.seconds <= LONGEST_S:
                raise CtlError(USAGE, f"{args.seconds:g} s is no time for a claim", f"1 to {LONGEST_S:g} s; 10 is usual")
            end = now + timedelta(seconds=args.seconds)
            return m.Verify(command_id=ident, issued_at=now, expires_at=end, person=args.person, seconds=args.seconds)
        case "reembed":
            end = now + timedelta(seconds=CHANGE_LIFETIME_S)
            return m.Reembed(command_id=ident, issued_at=now, expires_at=end, model=args.model, force=args.force)
        case "resume":
            return m.Resume(command_id=ident, issued_at=now, expires_at=end, person=args.person)
        case _:
            return m.Ping(command_id=ident, issued_at=now, expires_at=end)


def _enroll(args: argparse.Namespace, ident: UUID, now: datetime) -> m.Enroll:
    images, capture, lifetime_s = None, None, LIFETIME_S
    if args.capture is not None:
        if not 1 <= args.capture <= m.MAX_CAPTURE_S:
            raise CtlError(USAGE, f"{args.capture:g} s is no time for a capture", f"1 to {m.MAX_CAPTURE_S:g} s; 5 is usual")
        capture, lifetime_s = m.Capture(seconds=args.capture), CAPTURE_LIFETIME_S
    else:
        if len(args.image) > m.MAX_IMAGES:
            raise CtlError(USAGE, f"{len(args.image)} images are too many", f"send {m.MAX_IMAGES} at most, the best ones")
        images = [_read_jpeg(path) for path in args.image]
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
    )


def _read_jpeg(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size <= m.MAX_PAYLOAD_BYTES:
            data = path.read_bytes()
    except OSError as error:
        raise CtlError(USAGE, f"{path}: {error.strerror}", "give the path of a JPEG file") from None
    smaller = "a face of 300 pixels is plenty; for instance `convert IN.jpg -resize 1600x1600 -quality 90 OUT.jpg`"
    if size > m.MAX_PAYLOAD_BYTES:
        raise CtlError(USAGE, f"{path} has {size / 1e6:.1f} MB; a whole command may have {m.MAX_PAYLOAD_BYTES / 1e6:.1f} MB", smaller)
    if not data.startswith(b"\xff\xd8\xff"):
        raise CtlError(USAGE, f"{path} is not a JPEG file", "only JPEG is taken; for instance `convert IN.png OUT.jpg`")
    return data
