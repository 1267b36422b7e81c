"""Where the box's key is kept, what its file must be like, and making a new one.

The key is 32 bytes, raw or as 64 hexadecimal digits. What is written here is durable when the function returns.
"""

import os
import secrets
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from daemon.edges.files import FileError, part_of, placed, sync_folder
from daemon.edges.sealing import KEY_BYTES
from daemon.edges.store.errors import StoreError, VaultError

CREDENTIAL = "ostiary.key"
_LONGEST = 2 * KEY_BYTES + 2


@dataclass(frozen=True, slots=True)
class KeyPlace:
    """The file that holds the key. A `credential` is systemd's: it is only read, and systemd sets its owner and mode.

    `held` is a key that came with a backup and is not in a file.
    """

    path: Path
    credential: bool = False
    held: bytes | None = field(default=None, repr=False)

    @property
    def next(self) -> "KeyPlace":
        """Where a new key waits while everything is sealed with it."""
        return KeyPlace(self.path.with_name(self.path.name + ".new"))


def key_place(folder: Path, key_file: Path | None = None) -> KeyPlace:
    """systemd's credential `ostiary.key` where there is one, else `key_file`, else the file `key` of the state folder."""
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if credentials and (Path(credentials) / CREDENTIAL).exists():
        return KeyPlace(Path(credentials) / CREDENTIAL, credential=True)
    return KeyPlace(key_file if key_file is not None else folder / "key")


def read_key(place: KeyPlace) -> bytes | None:
    """The 32 bytes, or None where there is no file. Raises VaultError for a file that must not be trusted or does not hold a key."""
    if place.held is not None:
        return place.held
    path = place.path
    try:
        # NONBLOCK: a pipe in its place must not stop the daemon. NOFOLLOW: a link must not lead elsewhere.
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise VaultError(f"{path}: the key cannot be read ({error.strerror})", _FILE_HINT) from None
    try:
        seen = os.fstat(file)
        if not stat.S_ISREG(seen.st_mode):
            raise VaultError(f"{path}: the key is not a regular file", _FILE_HINT)
        if not place.credential and seen.st_uid != os.geteuid():
            raise VaultError(f"{path}: the key belongs to user {seen.st_uid}, this is user {os.geteuid()}", _FILE_HINT)
        if seen.st_mode & (0o007 if place.credential else 0o077):
            raise VaultError(f"{path}: the key has mode {stat.S_IMODE(seen.st_mode):04o}, others may read it", _FILE_HINT)
        content = os.read(file, _LONGEST + 1)
    except OSError as error:
        raise VaultError(f"{path}: the key cannot be read ({error.strerror})", _FILE_HINT) from None
    finally:
        os.close(file)
    return _parsed(content, path)


_FILE_HINT = "use a regular file of the daemon's own user, mode 0600 or stricter; run this as that user (sudo -u ostiary ...)"


def _parsed(content: bytes, path: Path) -> bytes:
    key = content
    if len(content) != KEY_BYTES:
        text = content.rstrip(b"\r\n")
        try:
            # fromhex would also take spaces; a key is 64 digits and nothing else.
            key = bytes.fromhex(text.decode("ascii")) if len(text) == 2 * KEY_BYTES else b""
        except ValueError:
            key = b""
    if len(key) != KEY_BYTES:
        raise VaultError(f"{path}: does not hold a key (64 hexadecimal digits or 32 raw bytes)", "restore the file from its backup")
    if len(set(key)) == 1:  # what a file of zeros after a power cut looks like
        raise VaultError(f"{path}: all bytes of the key are the same", "restore the file from its backup")
    return key


def make_key(place: KeyPlace) -> bytes:
    """A new random key, durable in its file (mode 0600). Raises VaultError where there is a file, StoreError where the disk fails."""
    path, key = place.path, secrets.token_bytes(KEY_BYTES)
    if os.path.lexists(path):
        raise VaultError(f"{path}: there is a key already", "it is not overwritten, because something may be sealed with it")
    try:
        with placed(path) as file:  # complete or not at all, and never over another key
            file.write(key.hex().encode("ascii") + b"\n")
    except FileError as error:
        raise StoreError(f"a new key cannot be written: {error.message}", "the daemon's user must be able to write to its folder") from None
    return key


def promote(place: KeyPlace) -> None:
    """The next key takes the place of the key. Raises StoreError."""
    try:
        place.next.path.replace(place.path)
        sync_folder(place.path.parent)
    except OSError as error:
        raise StoreError(f"{place.path}: the new key cannot take its place ({error.strerror})", f"move {place.next.path} there") from None


def tidy(place: KeyPlace) -> None:
    """Remove what was left when making or rotating a key was cut off: a next key that seals nothing, and half-made files.

    In a folder that is read-only here (the unit sees /etc so) they stay: they open nothing, and the next rotation removes them.
    """
    for path in (place.next.path, part_of(place.path), part_of(place.next.path)):
        with suppress(OSError):
            path.unlink(missing_ok=True)
