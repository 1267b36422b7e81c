"""A process that makes one picture of any usual format a small upright JPEG file without metadata, and then ends.

It reads the picture from standard input and writes a letter and the answer to standard output: J and a JPEG file, or E and what is wrong.
Before it reads anything it gives up all files, sockets and processes, and has limits for memory and time. Nobody imports it.
"""

import io
import os
import resource
import sys
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

MEMORY_BYTES = 1 << 30
CPU_S = 15
MOST_PIXELS, MOST_JPEG_PIXELS = 60_000_000, 220_000_000
"""A JPEG file is decoded at a part of its size, so it may have more."""
FORMATS = ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "HEIF"]


def main(argv: list[str]) -> None:
    """`argv`: how many bytes the JPEG file may have, then sizes to try: `longer side,quality`."""
    room, sizes = int(argv[0]), [(int(side), int(quality)) for side, quality in (one.split(",") for one in argv[1:])]
    _confine()
    try:
        answer = b"J" + _smaller(_upright(sys.stdin.buffer.read(), sizes[0][0]), room, sizes)
    except _Refused as refused:
        answer = b"E" + str(refused).encode()
    except MemoryError:
        answer = b"E" + b"it takes too much memory to decode; save it smaller: 2000 pixels a side are enough"
    except Exception:  # noqa: BLE001  whatever a decoder raises over a damaged file
        answer = b"E" + b"it is damaged and cannot be decoded; was it copied to its end?"
    sys.stdout.buffer.write(answer)
    sys.stdout.buffer.flush()
    os._exit(0)


class _Refused(Exception):
    pass


def _confine() -> None:
    os.nice(10)  # the pages come first
    Image.init()  # every decoder: later no file can be read
    Image.MAX_IMAGE_PIXELS = None  # what is too much is said below
    try:
        import pillow_heif

        pillow_heif.register_heif_opener(thumbnails=False)
        pillow_heif.options.DECODE_THREADS = 1
    except ImportError:
        FORMATS.remove("HEIF")
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    for what, limit in (
        (resource.RLIMIT_AS, taken + MEMORY_BYTES), (resource.RLIMIT_CPU, CPU_S), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0), (resource.RLIMIT_NOFILE, 0),
    ):  # fmt: skip
        hard = resource.getrlimit(what)[1]
        least = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(what, (least, least))


def _upright(data: bytes, longest: int) -> Image.Image:
    """The picture in RGB, upright, its longer side `longest` pixels at most."""
    try:
        image: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        if data[4:8] == b"ftyp" and "HEIF" not in FORMATS:
            raise _Refused(
                "it is an HEIC picture, which this console cannot read; on the phone choose the format 'most compatible'"
            ) from None
        raise _Refused("it is no picture that can be read; give a JPEG, PNG, WebP, HEIC, BMP or TIFF file") from None
    most = MOST_JPEG_PIXELS if image.format in ("JPEG", "MPO") else MOST_PIXELS
    if image.width * image.height > most:
        raise _Refused(f"{image.width}×{image.height} pixels are too many; save it smaller: 2000 pixels a side are enough")
    turned = image.getexif().get(0x0112)
    image.draft("RGB", (longest, longest))
    if image.mode.startswith("I"):
        image = image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        ground = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(ground, image.convert("RGBA"))
    image = image.convert("RGB")
    if turned is not None:
        exif = Image.Exif()
        exif[0x0112] = turned
        image.info["exif"] = exif.tobytes()
        image = ImageOps.exif_transpose(image)
    return image


def _smaller(image: Image.Image, room: int, sizes: list[tuple[int, int]]) -> bytes:
    """The first size of the picture that fits. What is surely too large by the size before is not tried."""
    image.info.clear()
    size = 0
    for number, (side, quality) in enumerate(sizes):
        before = max(image.size)
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
        if number and number + 1 < len(sizes) and size * (max(image.size) / before) ** 2 > 2 * room:
            size = round(size * (max(image.size) / before) ** 2)
            continue
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        size = file.tell()
        if size <= room:
            return file.getvalue()
    raise _Refused("it does not fit, also if it is shrunk; send fewer pictures at a time")


if __name__ == "__main__":
    main(sys.argv[1:])
