"""How the journal calls people: as the audit chain does, so that after a revocation its old lines name nobody."""

from collections.abc import Callable

from daemon.edges.store import Store, StoreError

SOMEBODY = "somebody"
"""Whoever is not enrolled, or whose record does not open."""


def known_as(store: Store, *, ids: bool) -> Callable[[str], str]:
    """A function from a person's id to the pseudonym that stands for it in the journal; with `ids`, to the id itself."""

    def pseudonym(person: str) -> str:
        try:
            return store.pseudonym(person) or SOMEBODY
        except StoreError:
            return SOMEBODY

    return str if ids else pseudonym
