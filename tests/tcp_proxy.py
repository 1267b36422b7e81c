"""A TCP proxy on loopback that can cut its connections or stop carrying bytes: the network's faults, on demand."""

import selectors
import socket
import threading


class TcpProxy:
    """Forwards 127.0.0.1:port to 127.0.0.1:target. One thread; close() ends it."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._wake_r, self._wake_w = socket.socketpair()
        self._peers: dict[socket.socket, socket.socket] = {}
        self._cut = self._closed = self._frozen = False
        self._thread = threading.Thread(target=self._run, name="tcp-proxy")
        self._thread.start()

    def cut(self) -> None:
        """Break every connection; new ones are taken."""
        self._cut = True
        self._wake_w.send(b"x")

    def freeze(self, frozen: bool = True) -> None:
        """Keep connections but carry nothing."""
        self._frozen = frozen
        self._wake_w.send(b"x")

    def close(self) -> None:
        self._closed = True
        self._wake_w.send(b"x")
        self._thread.join(5)
        for sock in (self._listener, self._wake_r, self._wake_w):
            sock.close()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._wake_r, selectors.EVENT_READ)
            while not self._closed:
                for key, _ in selector.select(0.05 if self._frozen else None):
                    self._serve(selector, key.fileobj)  # type: ignore[arg-type]
                if self._cut:
                    self._cut = False
                    for sock in list(self._peers):
                        self._end(selector, sock)
            for sock in list(self._peers):
                self._end(selector, sock)

    def _serve(self, selector: selectors.BaseSelector, sock: socket.socket) -> None:
        if sock is self._wake_r:
            sock.recv(64)
        elif sock is self._listener:
            client, _ = sock.accept()
            try:
                server = socket.create_connection(("127.0.0.1", self._target), timeout=5)
            except OSError:
                client.close()
                return
            for one, other in ((client, server), (server, client)):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._peers[one] = other
                selector.register(one, selectors.EVENT_READ)
        elif sock in self._peers and not self._frozen:
            try:
                data = sock.recv(1 << 16)
                if not data:
                    raise ConnectionResetError
                self._peers[sock].sendall(data)
            except OSError:
                self._end(selector, sock)

    def _end(self, selector: selectors.BaseSelector, sock: socket.socket) -> None:
        for one in (sock, self._peers.get(sock)):
            if one is not None and self._peers.pop(one, None) is not None:
                selector.unregister(one)
                one.close()
