"""Short waits, and a network that fails on demand."""

from collections.abc import Iterator

import pytest

from daemon.edges.mqtt import backoff
from tests.fixtures.tcp_proxy import TcpProxy


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the real wait for the next connection, which no connection that a test breaks makes longer."""
    monkeypatch.setattr(backoff, "SHORTEST_S", 0.1)
    monkeypatch.setattr(backoff, "STEADY_S", 0.0)


@pytest.fixture
def proxy(broker: int) -> Iterator[TcpProxy]:
    """A network between the gate and `broker`."""
    with TcpProxy(broker) as made:
        yield made
