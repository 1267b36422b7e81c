"""A network camera's address: what is wrong with it, and the form that FFmpeg takes. No message repeats a part: it may be secret."""

import re
from urllib.parse import quote

SCHEMES = frozenset({"rtsp", "rtsps", "http", "https", "rtmp", "rtmps", "srt", "tcp", "udp", "rtp"})
LISTENING = frozenset({"udp", "rtp", "tcp", "srt"})
"""Schemes in which the daemon may be the one that listens: then there is no host."""
PLACE = "{password}"
LOGIN_HINT = "give the name with `username` and the password with `password_file`; then no character of theirs is special"


def is_address(source: str) -> bool:
    """Whether a gate's source is a URL of something live, and no file, folder or device."""
    return "://" in source and not source.startswith("file://")


def is_broken_address(source: str) -> bool:
    """Whether a source that is no URL was meant as one: no message may then show it as the path of a file."""
    return "://" not in source and bool(
        re.match(rf"(?:{'|'.join(sorted(SCHEMES))})(?::|//)|/{{0,2}}[^/@]*:[^@]*@|//[^/@]*@", source, re.IGNORECASE)
    )


def fault(source: str, username: str, *, password: bool) -> tuple[str, str] | None:
    """Why a camera cannot be reached with this URL and user name, and a hint; None if it may be. `password`: a password is given apart."""
    scheme, _, rest = source.partition("://")
    if scheme.lower() not in SCHEMES:
        return "the scheme of the URL is not one of " + ", ".join(sorted(SCHEMES)), "most cameras have an address that begins with rtsp://"
    if re.search(r"[\x00-\x20\x7f]", source):
        return "the URL has a blank or a control character in it", "write a blank as %20"
    if PLACE in source and not password:
        return f"the URL has {PLACE} in it, and there is no password_file", "give the file, or take the place out of the URL"
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    login, at, place = authority.rpartition("@")
    if at and login and username:
        return "a user name stands in the URL and in `username`", "keep one of the two"
    host, port = _host_and_port(place)
    if not host and scheme.lower() not in LISTENING:
        return "the URL has no host", f"write {scheme.lower()}://HOST/PATH. If a password has / ? or # in it: {LOGIN_HINT}"
    if port is None:
        return "the port in the URL is not a number from 1 to 65535", f"if a password has / ? or # in it: {LOGIN_HINT}"
    return None


def with_login(source: str, username: str, password: str | None) -> str:
    """The URL with user name and password in it, quoted."""
    secret = quote(password, safe="") if password is not None else ""
    if PLACE in source:
        return source.replace(PLACE, secret)
    scheme, sign, rest = source.partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    login, at, _ = authority.rpartition("@")
    if username:
        return f"{scheme}{sign}{quote(username, safe='')}:{secret}@{rest.removeprefix('@')}"
    if at and login and ":" not in login and password is not None:
        return f"{scheme}{sign}{login}:{secret}{rest[len(login) :]}"
    return source


def has_login(source: str, username: str) -> bool:
    """Whether a user name is given."""
    return bool(username or re.split(r"[/?#]", source.partition("://")[2], maxsplit=1)[0].rpartition("@")[0])


def host_and_port(source: str) -> tuple[str, int | None]:
    """Host and port of a URL, None for the scheme's own port."""
    authority = re.split(r"[/?#]", source.partition("://")[2], maxsplit=1)[0]
    host, port = _host_and_port(authority.rpartition("@")[2])
    return host, port or None


def _host_and_port(place: str) -> tuple[str, int | None]:
    """The port is 0 where there is none, and None where it is no port."""
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%\w]*)\]|([^:\[\]]*))(?::(\d{0,5}))?", place, re.ASCII)
    if found is None:
        return place.partition(":")[0], None
    port = int(found[3]) if found[3] else 0
    given = bool(found[3])
    return found[1] or found[2] or "", port if not given or 1 <= port <= 65_535 else None
