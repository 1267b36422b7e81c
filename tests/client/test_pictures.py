"""What people have as photos, and what ostiaryctl sends of them."""

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from daemon.client.failures import ClientError
from daemon.client.pictures import BUDGET_BYTES, fitted, photos
from daemon.core import messages as m
from daemon.core.faces.photo import MAX_PIXELS, check_jpeg, decode_jpeg, jpeg_header
from daemon.core.values import Image
from tests.conftest import ROOT


def quarters(height: int = 90, width: int = 160) -> Image:
    """A picture with another colour in each corner."""
    image = np.zeros((height, width, 3), np.uint8)
    for place, colour in enumerate(((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255))):
        rows, columns = slice(0, height // 2) if place < 2 else slice(height // 2, height), slice(0, width // 2)
        image[rows, columns if place % 2 == 0 else slice(width // 2, width)] = colour
    return image


def detailed(height: int, width: int) -> Image:
    """A picture as hard to compress as a photo with much detail."""
    small = np.random.default_rng(3).integers(0, 255, (height // 4, width // 4, 3), np.uint8)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def saved(path: Path, image: Image, *options: int) -> Path:
    assert cv2.imwrite(str(path), image, options)
    return path


def turned(path: Path, orientation: int) -> Path:
    """The JPEG file, whose EXIF now says this orientation (1 to 8)."""
    tiff = b"MM\x00*\x00\x00\x00\x08\x00\x01" + struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0) + bytes(4)
    exif = b"Exif\0\0" + tiff
    data = path.read_bytes()
    path.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:])
    return path


@pytest.mark.parametrize("ending", ["png", "webp", "bmp", "tiff"])
def test_other_kinds_of_pictures_are_sent_as_jpeg(tmp_path: Path, ending: str) -> None:
    (sent,) = photos([saved(tmp_path / f"face.{ending}", quarters())])
    image = decode_jpeg(sent)
    assert image.shape == (90, 160, 3)
    assert np.abs(image[10:30:5, 10:60:9].astype(int) - (255, 0, 0)).max() < 12, "colours and places are the picture's"
    assert np.abs(image[60:80:5, 90:150:9].astype(int) - (255, 255, 255)).max() < 12


def test_pictures_without_colour_with_alpha_and_with_16_bits(tmp_path: Path) -> None:
    grey = saved(tmp_path / "grey.png", quarters()[:, :, 0])
    alpha = saved(tmp_path / "alpha.png", np.dstack([quarters(), np.full((90, 160), 200, np.uint8)]))
    deep = tmp_path / "deep.png"
    assert cv2.imwrite(str(deep), quarters().astype(np.uint16) * 257)
    for path in (grey, alpha, deep):
        assert decode_jpeg(photos([path])[0]).shape == (90, 160, 3)


def test_a_jpeg_file_that_fits_is_sent_as_it_is(tmp_path: Path) -> None:
    path = turned(saved(tmp_path / "phone.jpg", quarters()), 6)
    assert photos([path]) == [path.read_bytes()]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_large_photo_is_shrunk_and_upright(tmp_path: Path, orientation: int) -> None:
    large = cv2.resize(quarters(), (3200, 1800), interpolation=cv2.INTER_NEAREST)
    noise = np.random.default_rng(1).integers(0, 60, large.shape, np.uint8)
    path = turned(saved(tmp_path / "phone.jpg", np.where(large > 0, 255 - noise, noise), cv2.IMWRITE_JPEG_QUALITY, 98), orientation)
    assert path.stat().st_size > m.MAX_PAYLOAD_BYTES
    (sent,) = photos([path])
    assert len(sent) <= BUDGET_BYTES
    image, right = decode_jpeg(sent), np.asarray(cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR), np.uint8)
    assert (image.shape[0] > image.shape[1]) == (orientation > 4)
    small = cv2.resize(right, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_AREA)
    assert np.abs(image.astype(int) - small).mean() < 12


def test_50_megapixels_are_sent_as_a_picture_that_the_gate_takes(tmp_path: Path) -> None:
    path = saved(tmp_path / "50mp.jpg", np.asarray(cv2.resize(quarters(), (8192, 6144)), np.uint8))
    header = jpeg_header(path.read_bytes())
    assert path.stat().st_size < BUDGET_BYTES and header.width * header.height > MAX_PIXELS, "few bytes, and still too large"
    (sent,) = photos([path])
    check_jpeg(sent)
    assert max(decode_jpeg(sent).shape) >= 2000


def test_ten_large_photos_fit_into_one_command(tmp_path: Path) -> None:
    path = saved(tmp_path / "12mp.jpg", detailed(3000, 4000), cv2.IMWRITE_JPEG_QUALITY, 95)
    small = saved(tmp_path / "small.jpg", quarters())
    assert path.stat().st_size > m.MAX_PAYLOAD_BYTES
    sent = photos([path] * 5 + [small] + [path] * 4)
    assert sum(map(len, sent)) <= BUDGET_BYTES and sent[5] == small.read_bytes()
    assert all(min(decode_jpeg(each).shape[:2]) >= 300 for each in sent[:5]), "a face is still large enough"
    alone = photos([path])[0]
    assert len(alone) > len(sent[0]), "one photo alone may be larger"


def blank_png(path: Path, width: int, height: int) -> Path:
    """A black grey picture of any size, in a file of some kB."""
    packer = zlib.compressobj(9)
    body = b"".join(packer.compress(bytes(1 + width)) for _ in range(height)) + packer.flush()

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b""))
    return path


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = blank_png(tmp_path / "bomb.png", 20_000, 20_000)
    assert path.stat().st_size < 500_000
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({3 << 30}, {3 << 30}))"
    code = f"{limit}; import sys; from daemon.ctl.__main__ import main; status = main(sys.argv[1:])"
    # Not ru_maxrss: a child inherits its parent's peak, here that of a test process full of models.
    code += "; print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0]); sys.exit(status)"
    command = [sys.executable, "-c", code, "--site", "s", "--gate", "g", "enroll", "E1", "--image", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "too many pixels" in done.stderr and len(done.stderr.splitlines()) == 2, done.stderr
    assert int(done.stdout.split()[-1]) < 600_000, "kB: 1.2 GB of pixels were never there"


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    cut = saved(tmp_path / "cut.png", detailed(400, 400))
    cut.write_bytes(cut.read_bytes()[:40])
    for name, content, says in (
        ("cut.png", cut.read_bytes(), "damaged"),
        ("heic.jpg", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "damaged|HEIC"),
        ("text.jpg", b"not a picture", "not a picture"),
        ("none.jpg", b"", "empty"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ClientError, match=says):
            photos([tmp_path / name])


def heic(image: Image, orientation: int | None = None) -> bytes:
    """A HEIC file; `orientation` as EXIF says it, which the library writes as `irot` and `imir`."""
    heif, pillow = pytest.importorskip("pillow_heif"), pytest.importorskip("PIL.Image")
    file, picture = io.BytesIO(), pillow.fromarray(image[:, :, ::-1])
    heif.register_heif_opener()
    exif = pillow.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    picture.save(file, "HEIF", quality=95, exif=exif.tobytes())
    return file.getvalue()


def test_a_phones_heic_photo_is_sent_upright() -> None:
    for orientation in (None, 3, 6, 8):
        (sent,) = fitted([("a.heic", heic(quarters(), orientation))])
        image = decode_jpeg(sent)
        turns = {None: 0, 3: 2, 6: 3, 8: 1}[orientation]
        right = np.rot90(quarters(), turns)
        assert image.shape == right.shape
        assert np.median(np.abs(image[5:-5:20, 5:-5:20].astype(int) - right[5:-5:20, 5:-5:20])) < 6, orientation


def test_a_damaged_heic_photo_and_one_of_too_many_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = heic(quarters())
    for cut in (24, 60, 300, len(whole) // 2, len(whole) - 40):
        with pytest.raises(ClientError, match=r"a\.heic"):
            fitted([("a.heic", whole[:cut])])
    monkeypatch.setattr("daemon.client.pictures._MOST_HEIC_PIXELS", 100)
    with pytest.raises(ClientError, match="too many pixels"):
        fitted([("a.heic", whole)])


def test_without_its_package_a_heic_photo_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ClientError) as raised:
        fitted([("a.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")])
    assert "HEIC" in raised.value.message and "pip install pillow-heif" in raised.value.hint


@pytest.mark.parametrize("kind", ["JPEG", "GIF", "WEBP", "AVIF", "TIFF"])
def test_what_programs_save(kind: str) -> None:
    """Print shops' four colours, and animations, of which the first frame counts."""
    pillow = pytest.importorskip("PIL.Image")
    picture = pillow.fromarray(quarters()[:, :, ::-1])
    file, options = io.BytesIO(), dict[str, Any]()
    if kind in ("GIF", "WEBP"):
        options = {"save_all": True, "append_images": [pillow.new("RGB", picture.size, (9, 9, 9))], "duration": 100}
    (picture.convert("CMYK") if kind in ("JPEG", "TIFF") else picture).save(file, kind, **options)
    (sent,) = fitted([("a", file.getvalue())])
    assert np.median(np.abs(decode_jpeg(sent)[5:-5:20, 5:-5:20].astype(int) - quarters()[5:-5:20, 5:-5:20])) < 16


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_other_files_that_say_how_they_are_turned(kind: str) -> None:
    pillow = pytest.importorskip("PIL.Image")
    exif, file = pillow.Exif(), io.BytesIO()
    exif[0x0112] = 6
    pillow.fromarray(quarters()[:, :, ::-1]).save(file, kind, exif=exif)
    right = np.rot90(quarters(), 3)
    image = decode_jpeg(fitted([("a", file.getvalue())])[0])
    assert image.shape == right.shape
    assert np.median(np.abs(image[5:-5:20, 5:-5:20].astype(int) - right[5:-5:20, 5:-5:20])) < 16


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "circle.jpg").symlink_to("circle.jpg")
    for path in (
        tmp_path / "pipe.jpg",
        tmp_path / "folder.jpg",
        Path("/dev/zero"),
        tmp_path / "circle.jpg",
        Path("a\0.jpg"),
        tmp_path / "no",
    ):
        with pytest.raises(ClientError) as raised:
            photos([path])
        assert raised.value.code == 2 and raised.value.hint


def test_importing_the_pictures_needs_no_heic_library() -> None:
    code = "import sys; import daemon.client.pictures; sys.exit('pillow_heif' in sys.modules or 'PIL' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60, check=False).returncode == 0
