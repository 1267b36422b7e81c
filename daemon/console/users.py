"""The users file: names, roles, and passwords as argon2id hashes. It is read again when it changes, and written whole or not at all."""

import fcntl
import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from daemon.config import ConfigError
from daemon.console.roles import Role, RoleName, role

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
SHORTEST, LONGEST = 10, 1024
"""How many characters a password has."""
MOST_BYTES = 4 << 20

_hasher = PasswordHasher()
_NOBODY = _hasher.hash("a password that nobody has")


class UserError(ConfigError):
    """A user, a password or the users file that cannot be used."""


class User(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the file."""

    role: RoleName
    password: str

    @property
    def stamp(self) -> str:
        """Changes with the password and the role: a session of the earlier ones ends."""
        return hashlib.sha256(f"{self.role} {self.password}".encode()).hexdigest()


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    users: dict[str, User] = {}


@dataclass(slots=True)
class Users:
    """The users in a file, as it is now. A file that cannot be read has nobody, and `trouble` says why."""

    path: Path
    trouble: UserError | None = None
    _seen: tuple[int, ...] | None = None
    _users: Mapping[str, User] = field(default_factory=dict)

    def all(self) -> Mapping[str, User]:
        """Everybody, by name."""
        self._look()
        return self._users

    def find(self, name: str) -> User | None:
        """The user of this name."""
        return self.all().get(name)

    def checked(self, name: str, password: str) -> User | None:
        """The user, if this is the password. Takes as long for a name that nobody has. About 50 ms and 64 MiB."""
        user = self.find(name)
        try:
            _hasher.verify(user.password if user is not None else _NOBODY, password[: LONGEST + 1])
        except (VerificationError, InvalidHashError):
            return None
        return user

    def _look(self) -> None:
        try:
            now = self.path.stat()
            seen: tuple[int, ...] = (now.st_mtime_ns, now.st_size, now.st_ino, now.st_mode)
        except OSError:
            seen = ()
        if seen != self._seen:
            self._seen = seen
            try:
                self._users, self.trouble = read_users(self.path), None
            except UserError as error:
                self._users, self.trouble = {}, error


def read_users(path: Path) -> dict[str, User]:
    """Everybody in the file. Raises UserError, also for a file that others may read."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file", "make the first user: `ostiary-console user add NAME --role admin --settings FILE`"
        ) from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}", "it has to be a file that the console's user can read") from None
    if mode & 0o077:
        raise UserError(f"{path} has mode {stat.S_IMODE(mode):04o}: others may read the hashed passwords", f"`chmod 600 {path}`")
    try:
        return msgspec.json.decode(content, type=_File).users
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{path} is not a users file: {error}", "restore it, or remove it and add the users again") from None


def need_somebody(path: Path) -> None:
    """Raises UserError unless the file has a user."""
    if not read_users(path):
        raise UserError(f"{path} has no user", "make the first user: `ostiary-console user add NAME --role admin --settings FILE`")


def hashed(password: str) -> str:
    """The argon2id hash of a new password. Raises UserError for one that is too short or too long."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise UserError(f"the password has {len(password)} characters", f"take {SHORTEST} to {LONGEST}; a few words are easy to remember")
    return _hasher.hash(password)


def add(path: Path, name: str, word: str, password: str) -> None:
    """A new user. Raises UserError."""
    if not NAME.fullmatch(name):
        raise UserError(
            f"{name!r} cannot be a user's name", "use letters, digits and . _ @ -, begin with a letter or digit, 64 characters at most"
        )
    user = User(need_role(word).word, hashed(password))
    with _changing(path) as users:
        if name in users:
            raise UserError(f"there is a user {name} already", "`user password NAME` changes the password, `user role NAME ROLE` the role")
        users[name] = user


def remove(path: Path, name: str) -> None:
    """Remove a user, whose sessions end. Raises UserError."""
    with _changing(path) as users:
        _need(users, name)
        del users[name]


def change(path: Path, name: str, word: str | None = None, password: str | None = None) -> None:
    """Another role or another password; the user's sessions end. Raises UserError."""
    secret = None if password is None else hashed(password)
    with _changing(path) as users:
        old = _need(users, name)
        users[name] = User(old.role if word is None else need_role(word).word, old.password if secret is None else secret)


def need_role(word: str) -> Role:
    """The role of this word. Raises UserError."""
    found = role(word)
    if found is None:
        raise UserError(f"{word!r} is not a role", "give viewer, guard, desk or admin")
    return found


def _need(users: Mapping[str, User], name: str) -> User:
    if name not in users:
        raise UserError(f"there is no user {name}", "`ostiary-console user list` shows all")
    return users[name]


@contextmanager
def _changing(path: Path) -> Iterator[dict[str, User]]:
    """The users, to change within the block; then the file is replaced. Others who change it wait."""
    path = path.resolve()
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise UserError(f"{path.parent}: {error.strerror}", "make the folder first") from None
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        users = read_users(path) if path.exists() else {}
        yield users
        try:
            _replace(path, msgspec.json.format(msgspec.json.encode(_File(dict(sorted(users.items()))))) + b"\n")
            os.fsync(folder)
        except OSError as error:
            raise UserError(f"{path} cannot be written ({error.strerror})", "is the folder writable, and the disk not full?") from None
    finally:
        os.close(folder)


def _replace(path: Path, content: bytes) -> None:
    """Raises OSError; then the old file stays. A file that root writes keeps the owner that it had, or has that of its folder."""
    owner = (path if path.exists() else path.parent).stat()
    new = path.with_name(path.name + ".new")
    try:
        with suppress(FileNotFoundError):
            new.unlink()
        with os.fdopen(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600), "wb") as file:
            if os.geteuid() == 0:
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        with suppress(FileNotFoundError):
            new.unlink()
