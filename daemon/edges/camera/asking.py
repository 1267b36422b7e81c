"""Opening a source inside a camera's process, and finding out why it cannot be opened."""

import errno
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import av
from av.container import InputContainer

from daemon.core.camera_address import host_and_port, is_address
from daemon.edges.camera.wire import Cause, Settings

ASK_S = 3.0
PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443, "rtmp": 1935, "rtmps": 443}
SEGMENTED = frozenset({"hls", "dash"})
STILLS = ("image2", "_pipe")
_BY_NUMBER = {
    errno.ECONNREFUSED: Cause.PORT_REFUSED,
    errno.EHOSTUNREACH: Cause.NO_ROUTE,
    errno.ENETUNREACH: Cause.NO_ROUTE,
    errno.ENETDOWN: Cause.NO_ROUTE,
    errno.EADDRNOTAVAIL: Cause.NO_ROUTE,
    errno.EACCES: Cause.ELSEWHERE,  # the process may connect to the port of its URL alone
    errno.ETIMEDOUT: Cause.TIMEOUT,
    errno.ECONNRESET: Cause.HUNG_UP,
    errno.EPIPE: Cause.HUNG_UP,
    errno.ENOMEM: Cause.MEMORY,
}
_DEVICE = {
    errno.ENOENT: Cause.NO_DEVICE,
    errno.ENODEV: Cause.NO_DEVICE,
    errno.ENXIO: Cause.NO_DEVICE,
    errno.EBUSY: Cause.DEVICE_BUSY,
    errno.EACCES: Cause.DEVICE_DENIED,
    errno.EPERM: Cause.DEVICE_DENIED,
}


class Ended(Exception):
    """The connection is of no more use."""

    def __init__(self, cause: Cause, amount: float = 0.0) -> None:
        super().__init__(cause, amount)
        self.cause, self.amount = cause, amount


def opened(settings: Settings, sent_on: Callable[[], None] = lambda: None) -> InputContainer:
    """The source, open, with a video stream in it. Raises Ended. `sent_on` is called when an RTSP server names another place, before
    anything is said there: FFmpeg would give it the password. It must not come back."""
    try:
        with _sent_on(sent_on, settings.source):
            container = av.open(
                settings.source, format=settings.format, options=settings.options, timeout=(settings.open_s, settings.silent_s)
            )
    except (av.error.FFmpegError, OSError, ValueError, MemoryError) as error:
        raise cause_of(error, settings) from None
    name = container.format.name
    if SEGMENTED & set(name.split(",")):
        raise Ended(Cause.SEGMENTS)
    if name.endswith(STILLS):
        raise Ended(Cause.ONE_PICTURE)
    if not container.streams.video:
        raise Ended(Cause.NO_VIDEO)
    if container.streams.video[0].codec_context is None:
        raise Ended(Cause.NO_DECODER)
    return container


@contextmanager
def _sent_on(call: Callable[[], None], source: str) -> Iterator[None]:
    """FFmpeg follows by itself, and all that it gives is a line in its log."""
    if not source.lower().startswith("rtsp"):
        yield
        return

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "Redirecting to" in record.getMessage():
                call()

    log, listener = logging.getLogger("libav"), Listener()
    log.addHandler(listener)
    log.propagate = False
    log.setLevel(logging.DEBUG)
    av.logging.set_level(av.logging.INFO)
    try:
        yield
    finally:
        av.logging.set_level(None)
        log.removeHandler(listener)


def cause_of(error: Exception, settings: Settings, *, ask: bool = True) -> Ended:
    """What an error of FFmpeg means. If it says too little, the other side is asked, unless `ask` is False."""
    device = not is_address(settings.source)
    number = error.errno if isinstance(error, OSError) and error.errno else 0
    match error:
        case av.error.HTTPUnauthorizedError():
            return Ended(Cause.LOGIN_REFUSED if settings.login else Cause.LOGIN_NEEDED)
        case av.error.HTTPForbiddenError():
            return Ended(Cause.FORBIDDEN)
        case av.error.HTTPNotFoundError():
            return Ended(Cause.NOT_FOUND)
        case av.error.HTTPServerError():  # also what an RTSP server answers to HTTP
            return Ended((asked(settings.source) if ask else None) or Cause.SERVER_ERROR)
        case av.error.HTTPError() | av.error.HTTPClientError():
            return Ended(Cause.REQUEST_REFUSED)
        case av.error.DecoderNotFoundError():
            return Ended(Cause.NO_DECODER)
        case MemoryError():
            return Ended(Cause.MEMORY)
        case av.error.ExitError() | TimeoutError():
            return Ended(Cause.TIMEOUT) if not device else Ended(Cause.NOT_A_CAMERA)
    if device:
        return Ended(_DEVICE.get(number, Cause.NOT_A_CAMERA))
    if number in _BY_NUMBER:
        return Ended(_BY_NUMBER[number])
    return Ended((asked(settings.source) if ask else None) or Cause.NOT_UNDERSTOOD)


def asked(source: str) -> Cause | None:
    """What the other side of a URL that FFmpeg did not get on with says to a question; None if that explains nothing."""
    scheme = source.partition("://")[0].lower()
    host, port = host_and_port(source)
    if scheme not in PORTS:
        return None
    try:
        with socket.create_connection((host, port or PORTS[scheme]), timeout=ASK_S) as line:
            line.settimeout(ASK_S)
            line.sendall(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n")
            answer = b""
            while len(answer) < 5 and (part := line.recv(64)):
                answer += part
    except socket.gaierror:
        return Cause.UNKNOWN_HOST
    except TimeoutError:
        return Cause.TIMEOUT
    except UnicodeError:
        return Cause.UNKNOWN_HOST
    except OSError as error:
        return _BY_NUMBER.get(error.errno or 0)
    if answer.startswith(b"RTSP/"):
        return Cause.SPEAKS_RTSP if scheme in ("http", "https") else Cause.NO_TLS if scheme == "rtsps" else None
    if answer.startswith(b"HTTP/"):
        return Cause.SPEAKS_HTTP if scheme in ("rtsp", "rtsps") else Cause.NO_TLS if scheme == "https" else None
    if scheme in ("rtsps", "https"):
        return Cause.NO_TLS
    if answer[:1] == b"\x15":  # an alert of TLS, in answer to something that is none
        return Cause.SPEAKS_TLS
    return Cause.HUNG_UP if not answer else None
