"""Made-up people on the disk, split into parts."""

from pathlib import Path

import pytest

from tests.trainer import faces


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Twenty-four people with five crops each (`crops`) and their parts (`split`)."""
    where = tmp_path_factory.mktemp("people")
    crops = faces.folder(where / "crops", people=24, images=5)
    return {"crops": crops, "split": faces.split_of(where, sorted(path.name for path in crops.iterdir()))}
