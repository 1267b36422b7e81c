"""What stands before every request: hosts, headers, sizes, who is asking, and whether the request comes from the console's own pages."""

import asyncio
import re
import secrets
import time
from collections.abc import Callable
from ipaddress import ip_address, ip_network

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from daemon.console.config import ConsoleConfig
from daemon.console.problem import Problem, not_logged_in
from daemon.console.roles import Role, role
from daemon.console.sessions import Session, Sessions
from daemon.console.users import NAME

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
HEAD_BYTES = 16 << 10
"""How long address and headers of a request may be."""
BODY_BYTES, UPLOAD_BYTES = 64 << 10, 96 << 20
"""How long the body of a request may be, and that of one with pictures."""
BODY_S, UPLOAD_S = 15.0, 120.0
"""How long it may take to come."""
_HOST = re.compile(r"([a-z0-9._-]{1,255}|\[[0-9a-f:.]{2,45}\])(:\d{1,5})?")
_ORIGIN = re.compile(r"https?://([^/:@]+(?::\d+)?|\[[0-9a-f:.]+\](?::\d+)?)")
SAFE = ("GET", "HEAD", "OPTIONS")


class Guard:
    """An ASGI application around another one, which finds the session in `request.state.session` (None for nobody)."""

    def __init__(self, app: ASGIApp, config: ConsoleConfig, sessions: Sessions, shown: Callable[[Request, Problem], Response]) -> None:
        self._app, self._config, self._sessions, self._shown = app, config, sessions, shown
        self._proxies = [ip_network(one, strict=False) for one in config.trusted_proxies]
        self._names = frozenset(name.lower() for name in config.allowed_hosts)
        self._hosts = {"localhost", config.host.lower(), *self._names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["app"] = self._app  # the page about a problem needs it
        state = scope.setdefault("state", {})
        state["session"] = None
        request = Request(scope)  # its headers only
        begun = _Begun(request, self._shown, _send_with_headers(scope, send))
        try:
            _check_head(scope)
            _check_end(request.headers)
            self._check_host(request.headers)
            proxied = self._is_proxy(scope)
            state["address"] = _address(scope, request.headers, proxied)
            state["secure"] = scope["scheme"] == "https" or (proxied and request.headers.get("x-forwarded-proto") == "https")
            session, bearer = self._session(scope, request, proxied)
            state["session"] = session
            if scope["path"].startswith("/api"):
                _check_source(request.headers, scope["method"], self._names)
            if session is not None:
                session.used_s = time.monotonic()
                if scope["method"] not in SAFE and not bearer and not _is_login(scope):
                    _check_csrf(request.headers, session)
            upload = scope["path"].endswith("/pictures")
            limits = (UPLOAD_BYTES, UPLOAD_S) if upload else (BODY_BYTES, BODY_S)
            if upload and session is None:
                raise not_logged_in()  # nobody else's pictures are read
            _check_length(request.headers, limits[0])
            await self._app(scope, begun.limited(receive, *limits), begun.send)
        except Problem as problem:
            await begun.fail(problem)

    def _check_host(self, headers: Headers) -> None:
        """A page of somebody else whose name is made to point here must not reach the console. An address cannot be made to."""
        hosts = headers.getlist("host")
        name = _hostname(hosts[0]) if len(hosts) == 1 else ""
        if name not in self._hosts and not _is_address(name):
            raise Problem(
                421, "host", "the console does not know itself by this name", "add it to console.allowed_hosts, or use the address"
            )

    def _is_proxy(self, scope: Scope) -> bool:
        peer = scope["client"][0] if scope.get("client") else ""
        return bool(self._proxies) and _is_address(peer) and any(ip_address(peer) in network for network in self._proxies)

    def _session(self, scope: Scope, request: Request, proxied: bool) -> tuple[Session | None, bool]:
        """The session of a request, and whether a token names it. Raises Problem."""
        now_s = time.monotonic()
        given = request.headers.get("authorization")
        if given is not None and given[:7].lower() == "bearer ":
            found = self._sessions.find(given[7:].strip(), now_s)
            if found is None:
                raise not_logged_in()
            return found, True
        cookie = request.cookies.get(cookie_name(scope["state"]["secure"]))
        found = self._sessions.find(cookie, now_s) if cookie else None
        named = self._named(request.headers) if proxied and self._config.user_header else None
        if named is None:
            # Who came through the proxy is logged out where the proxy names nobody.
            return (found if found is None or found.stamp is not None else None), False
        user, has = named
        if found is None or found.stamp is not None or (found.user, found.role) != (user, has):
            if found is not None and found.stamp is None:
                self._sessions.end(found)
            found = self._sessions.begin(user, has, None, now_s, time.time())
            scope["state"]["new_cookie"] = self._sessions.text(found)
        return found, False

    def _named(self, headers: Headers) -> tuple[str, Role] | None:
        """Whom the proxy names. Raises Problem."""
        users = headers.getlist(self._config.user_header)
        if not users or users == [""]:
            return None
        if len(users) > 1 or not NAME.fullmatch(users[0]):
            raise Problem(400, "user_header", "the proxy does not name one user", f"check what it writes into {self._config.user_header}")
        user = users[0]
        words = headers.getlist(self._config.role_header) if self._config.role_header else [self._config.proxy_roles.get(user, "")]
        has = role(words[0]) if len(words) == 1 else None
        if has is None:
            where = self._config.role_header or "console.proxy_roles"
            raise Problem(403, "role", f"the user {user} has no role here", f"give one in {where}: viewer, guard, desk or admin")
        return user, has


def cookie_name(secure: bool) -> str:
    """A browser takes `__Host-` from this host alone, over TLS alone."""
    return "__Host-ostiary" if secure else "ostiary"


def set_cookie(response: Response, secure: bool, text: str) -> None:
    """Let the browser keep the session until it is closed."""
    response.set_cookie(cookie_name(secure), text, path="/", secure=secure, httponly=True, samesite="strict")


class _Begun:
    """A request whose answer may have begun. What is wrong with its body becomes the answer, whatever the application makes of it."""

    def __init__(self, request: Request, shown: Callable[[Request, Problem], Response], send: Send) -> None:
        self._request, self._shown, self._send = request, shown, send
        self._problem: Problem | None = None
        self._answered = False

    def limited(self, receive: Receive, most_bytes: int, most_s: float) -> Receive:
        taken, end_s, whole = 0, time.monotonic() + most_s, False

        async def take() -> Message:
            nonlocal taken, whole
            try:
                message = await (receive() if whole else asyncio.wait_for(receive(), max(0.0, end_s - time.monotonic())))
            except TimeoutError:
                self._problem = Problem(408, "slow", "the request did not come to its end", "check the network, and send less at a time")
                raise self._problem from None
            taken += len(message.get("body", b""))
            whole = whole or not message.get("more_body", False)
            if taken > most_bytes:
                self._problem = _too_large(most_bytes)
                raise self._problem
            return message

        return take

    async def send(self, message: Message) -> None:
        if self._problem is not None:
            await self.fail(self._problem)
            return
        self._answered = True
        await self._send(message)

    async def fail(self, problem: Problem) -> None:
        if self._answered:
            return
        self._answered, self._problem = True, problem

        async def nothing() -> Message:
            return {"type": "http.disconnect"}

        await self._shown(self._request, problem)(self._request.scope, nothing, self._send)


def _send_with_headers(scope: Scope, send: Send) -> Send:
    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message.setdefault("headers", []))
            for name, value in HEADERS.items():
                headers[name] = value
            headers.setdefault("Cache-Control", "no-store")
            if scope["state"].get("secure"):
                headers["Strict-Transport-Security"] = "max-age=31536000"
            if (text := scope["state"].get("new_cookie")) is not None:
                made = Response()
                set_cookie(made, scope["state"]["secure"], text)
                headers.append("Set-Cookie", made.headers["set-cookie"])
        await send(message)

    return told


def _check_source(headers: Headers, method: str, names: frozenset[str]) -> None:
    """A browser says whose page sends a request. Raises Problem for another one's."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    foreign = site not in (None, "same-origin", "none")
    if origin is not None and method not in SAFE:
        place = _ORIGIN.fullmatch(origin.lower())
        same = place is not None and (place[1] == headers.get("host", "").lower() or _hostname(place[1]) in names)
        foreign = foreign or not same
    if foreign:
        raise Problem(403, "source", "the request comes from a page of somebody else", "use the console's own pages, or a token")


def _check_csrf(headers: Headers, session: Session) -> None:
    given = headers.get("x-csrf-token", "")
    if not secrets.compare_digest(given.encode(), session.csrf.encode()):
        raise Problem(
            403, "csrf", "the header X-CSRF-Token is missing or wrong", "load the page anew; scripts send Authorization: Bearer TOKEN"
        )


def _is_login(scope: Scope) -> bool:
    return bool(scope["path"] == "/api/session" and scope["method"] == "POST")


def _check_head(scope: Scope) -> None:
    taken = sum(len(name) + len(value) for name, value in scope["headers"]) + len(scope["raw_path"]) + len(scope["query_string"])
    if taken > HEAD_BYTES:
        raise Problem(431, "too_large", "the headers of the request are too long", "delete the cookies of this host in the browser")


def _check_end(headers: Headers) -> None:
    """A request that says in two ways where it ends may be two requests to a proxy before the console. Raises Problem."""
    lengths = headers.getlist("content-length")
    if len(lengths) > 1 or (lengths and ("transfer-encoding" in headers or not lengths[0].isdecimal())):
        problem = Problem(400, "malformed", "the request says in two ways where it ends", "send Content-Length or chunks, not both")
        problem.headers["Connection"] = "close"
        raise problem


def _check_length(headers: Headers, most: int) -> None:
    length = headers.get("content-length", "0")
    if length.isdecimal() and int(length[:20]) > most:
        raise _too_large(most)


def _too_large(most: int) -> Problem:
    return Problem(413, "too_large", f"the request has more than {most / (1 << 20):.2g} MiB", "send less at a time")


def _address(scope: Scope, headers: Headers, proxied: bool) -> str:
    """Who is asking: the peer, or whom a trusted proxy says."""
    peer = scope["client"][0] if scope.get("client") else ""
    said = headers.getlist("x-forwarded-for")
    last = said[-1].rsplit(",", 1)[-1].strip() if proxied and said else ""
    return last if _is_address(last) and "%" not in last else peer


def _hostname(host: str) -> str:
    """The name in a Host header, without its port, in lower case; empty for what is none."""
    found = _HOST.fullmatch(host.lower())
    return found[1].strip("[]") if found is not None else ""


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
