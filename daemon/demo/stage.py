"""The demo's camera: renders the gate at a steady rate and serves it as a network camera (MJPEG over HTTP on loopback)."""

import threading
import time
from collections import deque
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from daemon.core.boxes import Box
from daemon.demo.frames import FPS, jpeg, walking

LEAVING_FRAMES = 7


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """A picture as the camera sent it. `at` is UTC seconds since the epoch; `face` where the person was rendered."""

    at: float
    jpeg: bytes
    face: Box | None


class Stage:
    """A gate and its camera. `enter` and `leave` change who is there; `taken` has the last `keep` pictures, or all."""

    def __init__(self, keep: int | None = None) -> None:
        self.taken: deque[Taken] = deque(maxlen=keep)
        self._changed = threading.Condition()
        self._who: tuple[str, int] | None = None
        self._entered = 0
        self._left: int | None = None
        self.count = 0
        self._closed = False
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._paint, self._server.serve_forever)]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/gate.mjpeg"

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def enter(self, name: str, seed: int) -> None:
        """Let somebody walk up from the far end; they then stand at the gate until they leave."""
        with self._changed:
            self._who, self._entered, self._left = (name, seed), self.count, None

    def leave(self) -> None:
        with self._changed:
            self._left = self.count

    def newer_than(self, count: int) -> tuple[int, bytes] | None:
        """Wait until there are more than `count` pictures: their number and the newest, or None when the camera is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self.count > count or self._closed)
            return None if self._closed else (self.count, self.taken[-1].jpeg)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()
        for thread in self._threads:
            thread.join(5)

    def _paint(self) -> None:
        due = time.monotonic()
        while not self._closed:
            with self._changed:
                who, number, left = self._who, self.count, self._left
                leaving = None if left is None else number - left
                if leaving is not None and leaving > LEAVING_FRAMES:
                    self._who = who = None
                age = number - self._entered if who is not None else number
            shot = walking(who[0] if who else None, age, who[1] if who else 0, leaving if who else None)
            data = jpeg(shot.image)
            with self._changed:
                self.taken.append(Taken(time.time(), data, shot.face))
                self.count += 1
                self._changed.notify_all()
            due = max(due + 1 / FPS, time.monotonic() - 1 / FPS)
            time.sleep(max(0.0, due - time.monotonic()))


def _handler(stage: Stage) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            count = stage.count
            try:
                while (newer := stage.newer_than(count)) is not None:
                    count, data = newer
                    self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(data), data))
            except OSError:
                self.close_connection = True  # the daemon hung up

        def log_message(self, format: str, *args: object) -> None:
            """Print nothing: requests are not part of the demo's transcript."""

    return Handler
