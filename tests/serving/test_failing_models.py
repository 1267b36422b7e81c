"""A model that fails while the gate serves: the configuration is right, so the process ends in a way that systemd tries again."""

import signal
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from daemon.config import Config, GateConfig
from daemon.core.faces.visibility import VisibilityError
from daemon.core.faults import Fault
from daemon.edges.detector import DetectorError
from daemon.edges.embedder import EmbedderError
from daemon.serving import app
from daemon.serving.engine import EngineFailed

CONFIG = Config(site="test", gates={"north": GateConfig(source="none")})


@pytest.fixture
def signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("kind", [EmbedderError, DetectorError, VisibilityError])
def test_it_is_no_fault_of_the_configuration(signals: None, monkeypatch: pytest.MonkeyPatch, kind: type[Fault]) -> None:
    def turn(_: float) -> None:
        raise kind("out of memory", "install Ostiary again")

    monkeypatch.setattr(
        app, "_build", lambda config, stack: (SimpleNamespace(turn=turn), {}, [], None, SimpleNamespace(tend=lambda: None), ())
    )
    monkeypatch.setattr(app, "_stop", lambda *_: None)
    with pytest.raises(EngineFailed, match="out of memory"):
        app.run(CONFIG)
