"""Everything that the broker has of a roster, read once."""

import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec.structs import replace

from daemon.client.broker import Broker, Heard
from daemon.client.failures import NO_ANSWER, ClientError
from daemon.core import signing
from daemon.core.people import roster, roster_wire
from daemon.core.people.fleet_file import Fleet
from daemon.core.people.roster_head import HEAD, Coverage, Head, read_head
from daemon.core.people.roster_wire import RosterError

QUIET_S, LAST_S, LONGEST_S = 0.15, 2.0, 10.0
"""After so long without a message a group of shards has come, and at the end the whole. Changes that come meanwhile do not stop it."""


@dataclass(slots=True)
class Reading:
    """What was found. `broken` has for each reason the topics, and why in words."""

    coverage: Coverage = field(default_factory=Coverage)
    people: dict[str, dict[str, roster.Record]] = field(default_factory=lambda: defaultdict(dict))
    """The records by ident and writer, without pictures."""
    key_of: dict[tuple[str, str], int] = field(default_factory=dict)
    """The number of the key that seals each record."""
    heads: dict[str, Head] = field(default_factory=dict)
    broken: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))

    def under_key(self) -> dict[int, Counter[str]]:
        """How many records of each writer each key seals."""
        found: dict[int, Counter[str]] = defaultdict(Counter)
        for (_, writer), number in self.key_of.items():
            found[number][writer] += 1
        return found


def read_all(broker: Broker, fleet: Fleet, timeout_s: float) -> Reading:
    """Read heads and records. Raises ClientError when the connection does not last, or the broker is silent for too long."""
    writers = {name: signing.public_key(box.public) for name, box in fleet.boxes.items()}
    reading = Reading()
    broker.subscribe([roster_wire.topic(fleet.site, HEAD, "+")], timeout_s)
    _drain(broker, fleet, writers, reading, QUIET_S * 2)
    records = max((sum(part.records for part in head.writers.values()) for head in reading.heads.values()), default=None)
    if records is None:  # the first shards say about how many there are
        broker.subscribe(first := roster_wire.groups(fleet.site, None)[0], timeout_s)
        _drain(broker, fleet, writers, reading, QUIET_S)
        records = (len(reading.key_of) + sum(map(len, reading.broken.values()))) * roster_wire.SHARDS // len(first)
    for group in roster_wire.groups(fleet.site, records):
        broker.subscribe(group, timeout_s)
        _drain(broker, fleet, writers, reading, QUIET_S)
    if reading.coverage.standing(time.time()) != "complete":
        _drain(broker, fleet, writers, reading, LAST_S)
    return reading


def _drain(broker: Broker, fleet: Fleet, writers: Mapping[str, Ed25519PublicKey], reading: Reading, quiet_s: float) -> None:
    """Take messages until none has come for a while."""
    end_s = time.monotonic() + LONGEST_S
    while time.monotonic() < end_s and (heard := broker.next(quiet_s)) is not None:
        if not isinstance(heard, Heard):
            raise ClientError(NO_ANSWER, heard.detail, "begin again; a record that the broker cannot deliver ends connections")
        if "/roster/" in heard.topic and heard.payload:
            _take(heard, fleet, writers, reading)


def _take(heard: Heard, fleet: Fleet, writers: Mapping[str, Ed25519PublicKey], reading: Reading) -> None:
    try:
        ident, writer = roster_wire.writer_of(heard.topic)
        if ident == HEAD:
            head = read_head(heard.topic, heard.payload, writers)
            reading.heads[writer] = head
            reading.coverage.hear(head, time.time())
            return
        record = roster_wire.read(heard.topic, heard.payload, fleet.edition.keys, writers)
    except RosterError as error:
        reading.broken[error.reason][heard.topic] = str(error)
        return
    known = reading.people[ident]
    before = known.get(writer)
    # The pictures themselves would fill the memory, and only which ones they are matters here.
    faces = {digest: roster.Face(b"-", {}) for digest in record.card.faces}
    bare = roster.Record(record.stamp, replace(record.card, faces=faces), record.digest)
    if roster.joined(known, {writer: bare})[writer] is bare:
        known[writer] = bare
        reading.key_of[ident, writer] = roster_wire.key_number(heard.payload)
        reading.coverage.change(writer, before.digest if before is not None else None, bare.digest)
