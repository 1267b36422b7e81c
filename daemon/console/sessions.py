"""Who is logged in. A session lives in memory and ends for good: at the logout, after its minutes, or with the user's password or role."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from itsdangerous import BadSignature, Signer

from daemon.console.roles import Role

MOST, MOST_OF_ONE = 10_000, 50
"""Sessions at a time, of all users and of one. The oldest one ends for a new one."""


@dataclass(slots=True, eq=False)
class Session:
    """One login. `stamp` is the users file's for this password and role, None for a user whom a proxy names. Times are of a clock that
    never steps; `until` is the same instant as `until_s` in seconds since the epoch."""

    ident: str
    user: str
    role: Role
    stamp: str | None
    csrf: str
    until_s: float
    until: float
    used_s: float
    over: list[Callable[[], None]] = field(default_factory=list)
    """What ends with the session."""
    ended: bool = False

    def end(self) -> None:
        """Once ended, always ended."""
        self.ended = True
        for call in [*self.over]:
            call()


class Sessions:
    """All sessions. `stamp_of` gives the stamp of a user now, or None if there is none. Not for several threads."""

    def __init__(self, minutes: float, idle_minutes: float, stamp_of: Callable[[str], str | None]) -> None:
        self._whole_s, self._idle_s, self._stamp_of = minutes * 60, idle_minutes * 60, stamp_of
        self._signer = Signer(secrets.token_bytes(32), salt="ostiary-console")
        self._open: dict[str, Session] = {}

    def begin(self, user: str, role: Role, stamp: str | None, now_s: float, now: float) -> Session:
        """A new session with a new id."""
        self.sweep(now_s)
        mine = [one for one in self._open.values() if one.user == user]
        if len(mine) >= MOST_OF_ONE:
            self.end(mine[0])
        elif len(self._open) >= MOST:
            self.end(next(iter(self._open.values())))
        ident, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        made = Session(ident, user, role, stamp, csrf, now_s + self._whole_s, now + self._whole_s, now_s)
        self._open[ident] = made
        return made

    def text(self, session: Session) -> str:
        """What the cookie or the token says: the id, signed."""
        return self._signer.sign(session.ident).decode()

    def find(self, text: str, now_s: float) -> Session | None:
        """The session that a cookie or a token names, if it has not ended."""
        try:
            ident = self._signer.unsign(text.encode("utf-8", "replace")).decode()
        except (BadSignature, UnicodeDecodeError):
            return None
        found = self._open.get(ident)
        return found if found is not None and self.holds(found, now_s) else None

    def holds(self, session: Session, now_s: float) -> bool:
        """Whether the session goes on; one that does not is ended."""
        if session.ended or self._is_over(session, now_s):
            self.end(session)
        return not session.ended

    def end(self, session: Session) -> None:
        """End a session now."""
        if self._open.pop(session.ident, None) is not None:
            session.end()

    def sweep(self, now_s: float) -> None:
        """End what is over."""
        for session in [*self._open.values()]:
            self.holds(session, now_s)

    def _is_over(self, session: Session, now_s: float) -> bool:
        late = now_s >= session.until_s or now_s - session.used_s >= self._idle_s
        return late or (session.stamp is not None and self._stamp_of(session.user) != session.stamp)
