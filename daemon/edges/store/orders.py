"""The table of orders: when the newest command that was applied to each person was issued. It is kept after a revocation."""

from daemon.edges.store.database import Database
from daemon.edges.store.errors import StoreError, VaultError
from daemon.edges.store.records import Sealer

EVERYBODY = ""
"""The key of an order that holds for everybody without one of their own. Nobody has it as an id: ids are not empty."""


class OrdersTable:
    """Times are UTC seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def last(self, person: str) -> float | None:
        """`issued_at` of the newest command applied to the person. Raises StoreError."""
        rows = dict(self._database.rows("SELECT person, sealed FROM orders WHERE person IN (?, ?)", (person, EVERYBODY)))
        key = person if person in rows else EVERYBODY
        try:
            return self._database.sealer.open_order(rows[key], key) if rows else None
        except VaultError as error:  # it opened when the store was opened: the disk is failing now
            raise StoreError(f"the gallery cannot be read: {error.message}", "look at the disk; `ostiaryd check` says more") from None

    def put(self, person: str, issued_at: float) -> None:
        """A command issued at `issued_at` is applied to the person. An earlier time than the one there changes nothing."""
        try:
            last = self.last(person)
        except StoreError:  # it does not open; what is written now is newer than anything applied before
            last = None
        self.replace(person, issued_at if last is None else max(last, issued_at))

    def replace(self, person: str, issued_at: float) -> None:
        """Write the order of a person, whatever is there."""
        self._database.gallery_changes()
        self._database.execute(
            "INSERT INTO orders VALUES (?,?) ON CONFLICT(person) DO UPDATE SET sealed=excluded.sealed",
            (person, self._database.sealer.order(issued_at, person)),
        )

    def all(self) -> dict[str, float]:
        """Every order, by person. Raises StoreError, and VaultError where one does not open; opening the store mends those."""
        rows = self._database.rows("SELECT person, sealed FROM orders")
        return {person: self._database.sealer.open_order(sealed, person) for person, sealed in rows}

    def people(self) -> set[str]:
        """The people who have an order. Raises StoreError."""
        return {person for (person,) in self._database.rows("SELECT person FROM orders")}

    def damaged(self) -> list[str]:
        """The people whose order does not open. Raises StoreError."""
        damaged = []
        for person, sealed in self._database.rows("SELECT person, sealed FROM orders"):
            try:
                self._database.sealer.open_order(sealed, person)
            except VaultError:
                damaged.append(str(person))
        return damaged

    def take_over(self, other: "OrdersTable") -> None:
        """Keep the later order of each person. A store without an order of the person counts with its order for everybody."""
        mine, others = self.all(), other.all()
        for person in mine.keys() | others.keys():
            known = [orders.get(person, orders.get(EVERYBODY)) for orders in (mine, others)]
            self.replace(person, max(issued_at for issued_at in known if issued_at is not None))

    def reseal(self, new: Sealer) -> int:
        """Seal every order that opens with another key; returns how many."""
        old = self._database.sealer
        return self._database.reseal("orders", "person", lambda person, sealed: new.order(old.open_order(sealed, person), person))
