"""Single pictures are read as `prepare` reads photos."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.trainer import faces
from trainer.people import comparable
from trainer.people.data import DataError


def test_a_crop_of_any_kind_is_taken_as_it_is(tmp_path: Path) -> None:
    crop = faces.picture(1, 1)
    files = [tmp_path / name for name in ("a.png", "b.tiff", "c.bmp")]
    for file in files:
        Image.fromarray(crop).save(file)
    assert all(np.array_equal(found, crop) for found in comparable.faces("haar")(files))


@pytest.mark.parametrize(("content", "reason"), [(b"", "an empty file"), (b"text", "not a picture"), (None, "it cannot be read")])
def test_what_is_no_picture_is_named(tmp_path: Path, content: bytes | None, reason: str) -> None:
    file = tmp_path / "a.png"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(DataError, match=rf"a\.png: {reason}"):
        comparable.faces("haar")([file])
