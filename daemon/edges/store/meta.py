"""Single values about the whole store: the revision of the gallery, the model that serves, the key that the box signs with, the proof of
the key that seals."""

import secrets
import sqlite3
from collections.abc import Mapping, Sequence

import msgspec

from daemon.edges.store.database import Database, counter
from daemon.edges.store.errors import VaultError
from daemon.edges.store.records import Sealer

SIGNING, EXCHANGE, SITE = "signing_key", "exchange_key", "site_keys"
SECRETS = (SIGNING, EXCHANGE, SITE)
"""What the box signs with, what keys of the site are sealed to, and the keys of the site's roster."""


def new_tag() -> str:
    """A random word. It begins with a colon, as `client_id` expects of a box whose ids are told apart by colons."""
    return ":" + secrets.token_hex(8)


class MetaTable:
    """One row for each value. (The audit chain keeps its sealed ends here too.)"""

    def __init__(self, database: Database) -> None:
        self._database = database

    def revision(self) -> int:
        """How many times the gallery has changed. Raises StoreError."""
        return counter(self._database.row("SELECT value FROM meta WHERE key = 'revision'"))

    def next_revision(self) -> int:
        """Count one more change of the gallery. Raises StoreError."""
        self._database.gallery_changes()
        return counter(self._database.execute("UPDATE meta SET value = value + 1 WHERE key = 'revision' RETURNING value").fetchone())

    def raise_revision(self, at_least: int) -> None:
        """The revision becomes `at_least` where it is lower."""
        self._database.gallery_changes()
        self._database.execute("UPDATE meta SET value = max(value, ?) WHERE key = 'revision'", (at_least,))

    def touch(self) -> None:
        """Write without changing anything."""
        self._database.execute("UPDATE meta SET value = value WHERE key = 'revision'")

    def serving(self) -> str | None:
        """The id of the bundle that serves, as it was last noted. Raises StoreError."""
        row = self._database.row("SELECT value FROM meta WHERE key = 'serving'")
        return str(row[0]) if row is not None else None

    def put_serving(self, model: str) -> None:
        """Note which bundle serves."""
        self._database.gallery_changes()
        self._database.execute("INSERT INTO meta VALUES ('serving', ?) ON CONFLICT(key) DO UPDATE SET value = excluded.value", (model,))

    def client_tag(self) -> str:
        """A random word of this box, made when it is first asked for. Whoever does not know it cannot come to the broker as one of the
        box's gates. Within a transaction. Raises StoreError."""
        row = self._database.row("SELECT value FROM meta WHERE key = 'client'")
        if row is not None:
            return str(row[0])
        tag = new_tag()
        self._database.execute("INSERT INTO meta VALUES ('client', ?)", (tag,))
        return tag

    def counted_time(self) -> float | None:
        """The time (UTC seconds) that the box had counted when it was last noted; None before. Raises StoreError."""
        row = self._database.row("SELECT value FROM meta WHERE key = 'counted'")
        return float(row[0]) if row is not None and isinstance(row[0], int | float) else None

    def put_counted_time(self, at: float) -> None:
        """Note it. Within a transaction."""
        self._database.execute("INSERT INTO meta VALUES ('counted', ?) ON CONFLICT(key) DO UPDATE SET value = excluded.value", (at,))

    def gates(self) -> list[str]:
        """The gates that the box speaks for at the broker, in order: as they were last noted, or else those that have decided anything.
        Raises StoreError."""
        row = self._database.row("SELECT value FROM meta WHERE key = 'gates'")
        if row is not None:
            return [name for name in str(row[0]).split("/") if name]
        return sorted(str(gate) for (gate,) in self._database.rows("SELECT gate FROM sequences"))

    def put_gates(self, gates: Sequence[str]) -> None:
        """Note them. No name has a slash."""
        value = "/".join(gates)
        self._database.execute("INSERT INTO meta VALUES ('gates', ?) ON CONFLICT(key) DO UPDATE SET value = excluded.value", (value,))

    def discovered(self) -> dict[str, list[str]]:
        """What Home Assistant may have been told: the topics of retained messages, by gate. Raises StoreError."""
        row = self._database.row("SELECT value FROM meta WHERE key = 'discovered'")
        try:
            return msgspec.json.decode(row[0], type=dict[str, list[str]]) if row is not None else {}
        except (msgspec.MsgspecError, TypeError):  # damaged: what it named stays at the broker
            return {}

    def put_discovered(self, topics: Mapping[str, Sequence[str]]) -> None:
        """Note it. Within a transaction."""
        value = msgspec.json.encode(topics).decode()
        self._database.execute("INSERT INTO meta VALUES ('discovered', ?) ON CONFLICT(key) DO UPDATE SET value = excluded.value", (value,))

    def secret(self, name: str) -> bytes | None:
        """A secret of the box; None where there is none that opens. Raises StoreError."""
        row = self._database.row("SELECT value FROM meta WHERE key = ?", (name,))
        try:
            return self._database.sealer.open_secret(row[0], name) if row is not None else None
        except VaultError:
            return None

    def put_secret(self, name: str, secret: bytes, sealer: Sealer | None = None) -> None:
        """Keep a secret, one of SECRETS."""
        sealed = (sealer or self._database.sealer).secret(secret, name)
        self._database.execute("INSERT INTO meta VALUES (?, ?) ON CONFLICT(key) DO UPDATE SET value = excluded.value", (name, sealed))

    def roster_place(self) -> tuple[int, bool]:
        """The number of the newest head of the roster that was believed, and whether the box has once held the whole roster. Raises
        StoreError."""
        found = dict(self._database.rows("SELECT key, value FROM meta WHERE key IN ('roster_head', 'roster_whole')"))
        number = found.get("roster_head")
        return number if isinstance(number, int) else 0, found.get("roster_whole") == 1

    def put_roster_place(self, number: int, whole: bool) -> None:
        """Note it. Within a transaction."""
        rows: list[tuple[object, ...]] = [("roster_head", number), ("roster_whole", int(whole))]
        self._database.execute_each("INSERT INTO meta VALUES (?, ?) ON CONFLICT(key) DO UPDATE SET value = excluded.value", rows)

    def reseal(self, new: Sealer) -> None:
        """The proof of another key takes the place of this one's. The secrets stay."""
        self._database.execute("UPDATE meta SET value = ? WHERE key = 'proof'", (new.proof(),))
        for name in SECRETS:
            if (secret := self.secret(name)) is not None:
                self.put_secret(name, secret, new)


def stored_proof(connection: sqlite3.Connection) -> object:
    """What is stored as the proof of the key; None where there is nothing."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'proof'").fetchone()
    return row[0] if row is not None else None
