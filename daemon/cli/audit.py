"""`ostiaryd audit`: the audit chain as lines for people, or with every byte for programs that follow it themselves."""

import argparse
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from daemon.config import Config, load
from daemon.core.audit import DIGEST_BYTES, Record, read
from daemon.core.messages import utc
from daemon.edges.store import Store, StoreError, Walked
from daemon.pipeline.opening import open_gallery

HEADING = "  number  when                      what      who                               outcome"


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command, as `ostiaryd` knows it."""
    audit = commands.add_parser(
        "audit",
        help="the records of commands and decisions",
        description="Print the records of commands and decisions, oldest first, changing nothing. They name people by pseudonyms.",
    )
    audit.add_argument("--config", type=Path, required=True, metavar="FILE")
    audit.add_argument("--since", type=instant, metavar="TIME", help="from this day or instant on (RFC 3339, UTC unless it says otherwise)")
    audit.add_argument("--person", metavar="ID", help="the records of somebody who is enrolled")
    audit.add_argument("--json", action="store_true", help="one JSON line each, with number and digest")
    audit.set_defaults(command=_audit)


def head(text: str) -> bytes:
    """The head of a chain, from its hexadecimal digits. Raises ValueError."""
    digest = bytes.fromhex(text)
    if len(digest) != DIGEST_BYTES:
        raise ValueError
    return digest


def follow(config: Config, through: bytes | None) -> int:
    """Follow the chain from end to end, and `through` this head where one is given; exit status 0.

    Raises AuditError, HeadError, StoreError."""
    store = open_gallery(config, read_only=True)
    try:
        sys.stdout.write(f"audit: {whole(store.audit.verify(through))}\n")
    finally:
        store.close()
    return 0


def _audit(arguments: argparse.Namespace) -> int:
    store = open_gallery(load(arguments.config), read_only=True)
    try:
        pseudonym = pseudonym_of(store, arguments.person) if arguments.person is not None else None
        if not arguments.json:
            sys.stdout.write(HEADING + "\n")
        for line in lines(store, arguments.since, pseudonym, exact=arguments.json):
            sys.stdout.write(line + "\n")
    finally:
        store.close()
    return 0


def pseudonym_of(store: Store, person: str) -> str:
    """Who somebody enrolled is in the chain. Raises StoreError for somebody whom nothing ties to a record."""
    pseudonym = store.pseudonym(person)
    if pseudonym is None:
        raise StoreError(f"{person!a} is not enrolled here", "the records of somebody who was revoked name nobody any more")
    return pseudonym


def instant(text: str) -> str:
    """A day or an instant (RFC 3339; UTC where it does not say) as records write it. Raises ValueError."""
    parsed = datetime.fromisoformat(text)
    return utc((parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)).timestamp())


# argparse says: invalid <name> value
head.__name__, instant.__name__ = "head (64 hexadecimal digits)", "time (2027-03-01 or 2027-03-01T08:00+01:00)"


def lines(store: Store, since: str | None = None, pseudonym: str | None = None, *, exact: bool = False) -> Iterator[str]:
    """The records, oldest first: all, or those from `since` on, or of one `pseudonym`. Raises StoreError.

    `exact` gives JSON lines of record and digest. Of the whole chain the first one is its anchor, which the first record builds on.
    """
    chosen = since is not None or pseudonym is not None
    for number, raw, digest in store.audit.rows():
        record = read(raw)
        if chosen and (record is None or (since is not None and record.at < since) or pseudonym not in (None, record.pseudonym)):
            continue
        if exact:
            if not (chosen and raw == b""):
                yield _exact(number, raw, digest)
        elif raw != b"":
            yield _line(record) if record is not None else f"{number:>8}  cannot be read"


def whole(walked: Walked) -> str:
    """What a chain that was followed to its end comes to."""
    first, last = walked.first.number + 1, walked.last.number
    range_ = f"records {first} to {last}" if last >= first else "no record yet"
    return f"{range_}, unbroken; head {walked.last.digest.hex()}"


def _exact(number: object, raw: object, digest: object) -> str:
    head = digest.hex() if isinstance(digest, bytes) else None
    if read(raw) is not None and isinstance(raw, bytes):
        record = raw.decode("utf-8")  # as it is: its digest is over these very bytes
    else:
        record = "null" if raw in (b"", None) or not isinstance(raw, bytes) else json.dumps(raw.hex())
    return f'{{"number":{json.dumps(number)},"digest":{json.dumps(head)},"record":{record}}}'


def _line(record: Record) -> str:
    what = record.op or record.kind
    outcome = record.status or record.decision or (f"version {record.version}, model {record.model}" if record.version else "")
    why = f" ({record.reason})" if record.reason else ""
    where = f"  {record.gate}" if record.gate else ""
    by = f"  key {record.key}" if record.key else ""
    return f"{record.number:>8}  {record.at}  {what:<8}  {record.pseudonym or '–':<32}  {outcome}{why}{where}{by}"
