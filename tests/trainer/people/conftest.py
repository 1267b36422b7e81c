"""Photos of two people."""

from pathlib import Path

import pytest

from tests.trainer.people.photos import add


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two people with three photos each."""
    for person, who in (("Ada", "collins"), ("Ben", "hopper")):
        add(tmp_path / "photos" / person, who, 3)
    return tmp_path / "photos"
