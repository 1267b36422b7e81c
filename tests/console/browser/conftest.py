"""A browser, and consoles for it to look at. They serve all tests of a file, because a browser takes long to start."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.demo.brokers import Running
from daemon.demo.console import console
from daemon.demo.frames import enrolment_photo
from tests.fixtures.chromium import Page, chromium
from tests.fixtures.mosquitto import Mosquitto
from tests.fixtures.peopled_gate import PeopledGate
from tests.fixtures.served import served


@pytest.fixture(scope="session", autouse=True)
def quick_hashes() -> None:
    """A login here is one of a browser, and may take as long as it takes."""


@pytest.fixture(scope="module")
def folder(chromium_installed: None, mosquitto_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("console")


@pytest.fixture(scope="module")
def site(folder: Path) -> Iterator[Running]:
    """A broker."""
    with Mosquitto(folder) as mosquitto:
        yield Running("mosquitto", mosquitto.port, "5")


HTML = "<img src=x onerror=alert(1)>"
SCRIPT = "</script><script>window.broken=1</script>{{7*7}}"
"""Names that a careless page would run."""


class At:
    """A console, and a browser that looks at it."""

    def __init__(self, page: Page, passwords: dict[str, str], opener: str | None = None) -> None:
        self.page, self.passwords, self.opener = page, passwords, opener

    def login(self, user: str, path: str = "/") -> Page:
        return self.page.login(user, self.passwords[user], path)


@pytest.fixture(scope="module")
def at(folder: Path, site: Running) -> Iterator[At]:
    """A console at the broker, and a browser."""
    made, passwords, opener = console(site, folder)
    with served(made), chromium(folder / "browser", made.address) as page:
        yield At(page, passwords, opener)


@pytest.fixture(autouse=True)
def nothing_wrong(request: pytest.FixtureRequest) -> Iterator[None]:
    """After every test: no error in a module, and nothing that the policy refused."""
    yield
    if "at" in request.fixturenames:
        seen: At = request.getfixturevalue("at")
        assert seen.page.wrongs() == []


@pytest.fixture
def gate(site: Running) -> Iterator[PeopledGate]:
    """Gate north with a few people; two of them have names that a careless page would run."""
    with PeopledGate(site.port, site="demo") as made:
        made.add("E1001", "Grace Hopper")
        made.add("E1002", HTML, schedule=SCRIPT, consent=HTML)
        made.add("E1003", SCRIPT)
        made.tell()
        yield made


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / f"{HTML}.jpg"
    path.write_bytes(enrolment_photo("collins"))
    return path
