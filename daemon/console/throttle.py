"""How often somebody may try to log in: by address, and by user. It slows guessing down and keeps nobody out for good.

A wrong password costs a token of the address and one of the user. Whoever has logged in from an address before is not slowed down there by
what others try elsewhere in their name.
"""

from collections import OrderedDict

from daemon.core.buckets import Bucket

ADDRESS = (1 / 6, 10.0)
"""Wrong passwords from one address: so many a second in the long run, and so many at once."""
USER = (1 / 6, 20.0)
"""Wrong passwords for one user, from all addresses."""
MOST = 10_000
WAIT_S = 6.0
"""How long after a refusal the next try makes sense."""


class Throttle:
    """Counts tries. Times are of a clock that never steps. Not for several threads."""

    def __init__(self) -> None:
        self._addresses: OrderedDict[str, Bucket] = OrderedDict()
        self._users: OrderedDict[str, Bucket] = OrderedDict()
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def allows(self, address: str, user: str, now_s: float) -> bool:
        """Whether this try may be made; if so, it counts until `succeeded` takes it back."""
        if not _bucket(self._addresses, address, ADDRESS).allows(now_s):
            return False
        return (user, address) in self._known or _bucket(self._users, user, USER).allows(now_s)

    def succeeded(self, address: str, user: str) -> None:
        """The password was right: the try costs nothing, and the address is known."""
        for buckets, name in ((self._addresses, address), (self._users, user)):
            if name in buckets:
                del buckets[name]
        self._known[user, address] = None
        self._known.move_to_end((user, address))
        if len(self._known) > MOST:
            self._known.popitem(last=False)


def _bucket(buckets: OrderedDict[str, Bucket], name: str, rate: tuple[float, float]) -> Bucket:
    found = buckets.setdefault(name, Bucket(*rate))
    buckets.move_to_end(name)
    if len(buckets) > MOST:
        buckets.popitem(last=False)
    return found
