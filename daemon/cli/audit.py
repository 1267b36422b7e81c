"""The audit chain as lines: for people, or with every byte for whoever wants to follow it alone."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

from daemon.core.audit import Record, read
from daemon.core.messages import utc
from daemon.edges.store import Store, StoreError, Walked

HEADING = "  number  when                      what      who                               outcome"


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
    return f"{record.number:>8}  {record.at}  {what:<8}  {record.pseudonym or '–':<32}  {outcome}{why}{where}"
