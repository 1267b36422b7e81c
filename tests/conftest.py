"""Fixtures shared by all tests: where the test data lies, and a broker."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import hypothesis
import pytest

import daemon  # noqa: F401  sets the environment that onnxruntime and OpenCV read at import
from daemon.edges.journal import Journal
from daemon.edges.store import Store, open_store
from tests.fixtures.home_assistant import INSTALLED, HomeAssistant
from tests.fixtures.mosquitto import Mosquitto, binary
from tests.fixtures.rtsp import RtspCamera
from tests.fixtures.rtsp import missing as rtsp_missing

ROOT = Path(__file__).resolve().parent.parent

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

LONG = (
    "faults/test_production.py", "pipeline/test_goldens.py", "trainer/learn/test_fit.py", "serving/test_app.py", "pipeline/test_clips.py",
    "deploy/test_whole_line.py", "faults/test_machine.py", "faults/test_kill.py", "demo/test_demo.py", "pipeline/test_drawn.py",
    "deploy/test_home_assistant.py", "cli/test_recordings.py", "commands/test_reembedding_live.py", "edges/test_gallery_graph.py",
    "trainer/bundle/test_adopt.py", "trainer/learn/test_train.py", "trainer/learn/test_survival.py", "trainer/commands/test_commands.py",
    "trainer/people/test_prepare.py", "console/browser/test_pages.py", "console/browser/test_story.py", "trainer/bundle/test_adopt_any.py",
)  # fmt: skip
"""Files that take long, the longest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files come first: a process takes whole files, and nobody should begin a long one when the others are done."""
    place = {ROOT / "tests" / name: number for number, name in enumerate(LONG)}
    assert all(path.is_file() for path in place), "a file of LONG was renamed"
    items.sort(key=lambda item: place.get(item.path, len(LONG)))


@pytest.fixture(autouse=True)
def no_journal_left() -> Iterator[None]:
    """A command that a test has run writes no journal for the tests after it."""
    yield
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, Journal)]:
        root.removeHandler(handler)


def _missing(reason: str) -> None:
    # Where everything is promised to be there (CI), a skip would hide a hole.
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, and CI promises it")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with test faces, clips and models; skips where it is absent."""
    folder = Path(os.environ.get("OSTIARY_DATA") or ROOT.parent / "shared" / "data")
    if not (folder / "README.md").is_file():
        _missing(f"no test data in {folder} (set OSTIARY_DATA)")
    return folder


@pytest.fixture(scope="session")
def cases_dir(data_dir: Path) -> Path:
    """The folder with pictures that once went wrong, beside the test data; skips where it is absent."""
    folder = data_dir.parent / "cases"
    if not folder.is_dir():
        _missing(f"no cases in {folder}")
    return folder


@pytest.fixture(scope="session")
def mosquitto_installed() -> None:
    """Skips where there is no mosquitto."""
    if binary() is None:
        _missing("mosquitto is not installed")


@pytest.fixture
def broker(mosquitto_installed: None, tmp_path: Path) -> Iterator[int]:
    """A mosquitto of the test's own on loopback, without persistence; gives its port."""
    with Mosquitto(tmp_path) as mosquitto:
        yield mosquitto.port


@pytest.fixture
def own_broker(mosquitto_installed: None, tmp_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    """Starts brokers with the arguments of `Mosquitto` behind its folder; every one is stopped when the test ends."""
    with ExitStack() as stack:

        def make(*args: Any, **options: Any) -> Mosquitto:
            return stack.enter_context(Mosquitto(tmp_path, *args, **options))

        yield make


@pytest.fixture
def home_assistant(mosquitto_installed: None, tmp_path: Path) -> Iterator[Callable[..., HomeAssistant]]:
    """Makes Home Assistants with the arguments of `HomeAssistant` behind its folder; each is stopped when the test ends."""
    if not INSTALLED.is_file():
        _missing("Home Assistant is not installed (tests/get-home-assistant.sh)")
    with ExitStack() as stack:

        def make(*args: Any, **options: Any) -> HomeAssistant:
            return stack.enter_context(closing(HomeAssistant(tmp_path / "home", *args, **options)))

        yield make


@pytest.fixture(scope="session")
def chromium_installed() -> None:
    """Skips where there is no browser to drive."""
    from tests.fixtures.chromium import missing

    if (reason := missing()) is not None:
        _missing(reason)


@pytest.fixture(scope="session")
def rtsp_installed() -> None:
    """Skips where there is no RTSP server."""
    if (reason := rtsp_missing()) is not None:
        _missing(reason)


@pytest.fixture
def rtsp_camera(rtsp_installed: None) -> Iterator[Callable[..., RtspCamera]]:
    """Makes RTSP cameras with the arguments of `RtspCamera`; all are switched off when the test ends."""
    with ExitStack() as stack:

        def make(codec: Any = "h264", **options: Any) -> RtspCamera:
            if (lacking := rtsp_missing(codec)) is not None:
                _missing(lacking)
            return stack.enter_context(RtspCamera(codec, **options))

        yield make


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A new store in the test's folder."""
    opened = open_store(tmp_path)
    yield opened
    opened.close()
