"""The records that this box holds: taken from the fleet, and written here."""

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from daemon.core.people import roster_wire
from daemon.core.people.roster import Card, Record, effective, joined, next_stamp, standing
from daemon.core.people.roster_head import Coverage, Sum
from daemon.core.people.roster_wire import RosterError, SiteKeys
from daemon.edges.store import Held, Store


class Holder(Protocol):
    """Who has the site's keys."""

    @property
    def keys(self) -> SiteKeys: ...


@dataclass(frozen=True, slots=True)
class Word:
    """What all records say of a person now. `shared`: another box has a say in it."""

    card: Card
    shared: bool


@dataclass(slots=True)
class Book:
    """`name` is this box's own, `signer` its key; `writers` are all boxes of the fleet with their keys, this one too. `coverage` follows
    the records: what a transaction changes, it learns when the transaction is over. `holder` is None without keys."""

    site: str
    name: str
    store: Store
    signer: Ed25519PrivateKey
    writers: Mapping[str, Ed25519PublicKey]
    retired: Collection[str]
    coverage: Coverage
    holder: Holder | None = None
    _changes: list[tuple[str, bytes | None, bytes]] = field(default_factory=list)
    _read: dict[bytes, Record] = field(default_factory=dict)
    """What was read in this transaction, by digest."""

    def load(self) -> None:
        """What is held when the daemon starts. Raises StoreError."""
        self.coverage.writers.clear()
        for _, _, writer, digest in self.store.roster.digests():
            self.coverage.writers[writer] = self.coverage.writers.get(writer, Sum()).changed(None, digest)

    def has(self, ident: str, writer: str, digest: bytes) -> bool:
        """Whether exactly this record is held. Raises StoreError."""
        found = self.store.roster.row(ident, writer)
        return found is not None and found[1] == digest

    def read(self, topic: str, payload: bytes) -> Record:
        """Raises RosterError."""
        return roster_wire.read(topic, payload, self._keys(), self.writers)

    def take(self, ident: str, record: Record, payload: bytes) -> bool:
        """Hold a record that has come, unless a newer one is held; whether it is new. Within a transaction. Raises StoreError."""
        writer, held = record.stamp.writer, self.records(ident)
        mine = held.get(writer)
        if mine is not None and joined({writer: mine}, {writer: record})[writer] is mine:
            return False
        self._put(ident, record, payload, due=False)
        return True

    def write(self, card: Card) -> int:
        """Write this box's own record of a person, knowing all that is held; returns its row. Within a transaction. Raises StoreError, and
        RosterError for a record that is too long."""
        keys = self._keys()
        ident = keys.ident_of(card.person)
        stamp = next_stamp(self.name, self.records(ident))
        topic, payload = roster_wire.written(self.site, keys, stamp, card, self.signer, os.urandom(roster_wire.NONCE_BYTES))
        return self._put(ident, self.read(topic, payload), payload, due=True)

    def word(self, ident: str) -> Word | None:
        """What holds for a person; None without a record that opens. Raises StoreError."""
        records = self.records(ident)
        if not records:
            return None
        card = effective(records, self.retired)
        if card is None:  # each of two records claims to know the other: nobody can tell which is newer
            one = next(iter(records.values())).card
            return Word(Card(person=one.person, state="suspended", disputed=True), shared=True)
        return Word(card, any(record.stamp.writer != self.name for record in standing(records, self.retired)))

    def records(self, ident: str) -> dict[str, Record]:
        """The records of a person that open, by writer. Raises StoreError."""
        found = {}
        for held in self.store.roster.of(ident):
            try:
                on = roster_wire.topic(self.site, ident, held.writer)
                found[held.writer] = self._read.get(held.digest) or self.read(on, held.payload)
            except RosterError:  # of an earlier key of the site, or a box that is no longer configured
                continue
        return found

    @contextmanager
    def transaction(self, *, unhurried: bool = False) -> Iterator[None]:
        """A transaction of the store, after which the coverage follows. Raises StoreError."""
        try:
            with self.store.unhurried() if unhurried else self.store.transaction():
                yield
        except BaseException:
            self._changes.clear()
            raise
        finally:
            self._read.clear()
        changes, self._changes = self._changes, []
        for writer, before, after in changes:
            self.coverage.change(writer, before, after)

    def _put(self, ident: str, record: Record, payload: bytes, *, due: bool) -> int:
        writer = record.stamp.writer
        before = self.store.roster.row(ident, writer)
        row = self.store.roster.put(Held(ident, writer, record.digest, due, payload), roster_wire.key_number(payload))
        self._read[record.digest] = record
        self._changes.append((writer, before[1] if before is not None else None, record.digest))
        return row

    def _keys(self) -> SiteKeys:
        if self.holder is None:
            raise RosterError("this box has no keys of the site yet", "no_key")
        return self.holder.keys
