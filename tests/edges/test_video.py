"""Video files of every kind: pictures and times of sound ones, and what is made of those that are cut off, damaged or no video at all."""

import itertools
import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from daemon.config import GateConfig
from daemon.core.values import Frame, Image
from daemon.edges.camera import Camera, CameraError, frames_of, open_camera
from tests.fixtures.videos import corners, four_corners, write_video

QUIET = {"x265-params": "log-level=none:keyint=25"}


def scene(number: int, size: tuple[int, int] = (96, 128)) -> Image:
    """A picture with its number in it: a bright bar on a soft background, further to the right in each picture."""
    height, width = size
    image = np.asarray(np.linspace(40, 90, width)[None, :, None] * np.ones((height, 1, 3)), np.uint8)
    left = 2 + number % (width // 2 - 8) * 2
    image[height // 4 : 3 * height // 4, left : left + 8] = 220
    return np.ascontiguousarray(image)


def number_in(image: Image) -> int:
    """The number of a scene from its picture."""
    row = image[image.shape[0] // 2, :, 1].astype(int)
    middle = float(np.mean(np.flatnonzero(row > 150))) + 0.5
    return round((middle * 128 / float(image.shape[1]) - 6.0) / 2.0)


def opened(path: Path, fps: float = 25.0) -> Camera:
    return open_camera("g", GateConfig(source=str(path), fps=fps))


def played(path: Path, fps: float = 25.0) -> tuple[list[Frame], Camera]:
    camera = opened(path, fps)
    try:
        frames = list(frames_of(camera))
    finally:
        camera.close()
    assert all(before.at_s < after.at_s and before.number < after.number for before, after in itertools.pairwise(frames))
    assert all(frame.image.flags.c_contiguous and frame.image.dtype == np.uint8 and frame.image.ndim == 3 for frame in frames)
    return frames, camera


SOUND = {
    "x264.mp4": ("libx264", "yuv420p", {}),
    "x264.mkv": ("libx264", "yuv420p", {"bf": "3", "g": "12"}),
    "x264.ts": ("libx264", "yuv420p", {"g": "12"}),
    "grey.mkv": ("libx264", "gray", {}),
    "444.mkv": ("libx264", "yuv444p", {}),
    "x265.mp4": ("libx265", "yuv420p", QUIET),
    "ten-bit.mkv": ("libx265", "yuv420p10le", QUIET),
    "mpeg2.ts": ("mpeg2video", "yuv420p", {"b": "4M", "bf": "2"}),
    "interlaced.ts": ("mpeg2video", "yuv420p", {"b": "4M", "flags": "+ildct+ilme"}),
    "mpeg4.avi": ("mpeg4", "yuv420p", {"b": "4M"}),
    "mjpeg.avi": ("mjpeg", "yuvj420p", {}),
    "mjpeg.mkv": ("mjpeg", "yuvj422p", {}),
    "vp8.webm": ("libvpx", "yuv420p", {"b": "2M"}),
    "vp9.webm": ("libvpx-vp9", "yuv420p", {"b": "2M"}),
    "ffv1.mkv": ("ffv1", "yuv420p", {}),
    "png.mov": ("png", "rgb24", {}),
    "alpha.mov": ("png", "rgba", {}),
    "raw.avi": ("rawvideo", "bgr24", {}),
}


@pytest.mark.parametrize("name", SOUND)
def test_every_frame_of_every_kind_of_video_at_its_own_time(tmp_path: Path, name: str) -> None:
    codec, pix_fmt, options = SOUND[name]
    path = write_video(tmp_path / name, map(scene, range(30)), codec, pix_fmt=pix_fmt, options=options)
    frames, camera = played(path, fps=99)
    assert [frame.number for frame in frames] == list(range(30))
    assert [frame.at_s for frame in frames] == pytest.approx([number / 20 for number in range(30)], abs=0.0011)
    assert [number_in(frame.image) for frame in frames] == list(range(30))
    assert not camera.dropped and camera.detail == "the recording is over"


def test_odd_sizes_square_pixels_and_turned_pictures(tmp_path: Path) -> None:
    odd = write_video(tmp_path / "odd.mkv", [scene(n, (95, 127)) for n in range(3)], pix_fmt="yuv444p")
    assert {frame.image.shape for frame in played(odd)[0]} == {(95, 127, 3)}
    pal = write_video(tmp_path / "pal.ts", [four_corners(576, 720)] * 2, "mpeg2video", fps=25, pixel_aspect=Fraction(16, 15))
    assert {frame.image.shape for frame in played(pal)[0]} == {(576, 768, 3)}
    tall = write_video(tmp_path / "tall.mp4", [four_corners()] * 2, turned=(90, False, False))
    assert [(frame.image.shape, corners(frame.image)) for frame in played(tall)[0]] == [((64, 48, 3), "grwb")] * 2


def test_the_times_of_a_variable_frame_rate_are_the_streams(tmp_path: Path) -> None:
    stamps = [0, 40, 80, 2_000, 2_040, 65_000, 65_001]
    path = write_video(tmp_path / "vfr.mkv", map(scene, range(7)), times=stamps, time_base=Fraction(1, 1000))
    frames, camera = played(path)
    assert [frame.at_s for frame in frames] == pytest.approx([stamp / 1000 for stamp in stamps], abs=0.0011)
    assert camera.detail == "the recording is over"


def test_a_size_that_changes_in_the_middle(tmp_path: Path) -> None:
    parts = [
        write_video(tmp_path / "a.ts", [scene(n, (96, 128)) for n in range(10)]),
        write_video(tmp_path / "b.ts", [scene(n, (192, 256)) for n in range(10)]),
        write_video(tmp_path / "c.ts", [scene(n, (160, 96)) for n in range(10)]),
    ]
    whole = tmp_path / "whole.ts"
    whole.write_bytes(b"".join(part.read_bytes() for part in parts))
    frames, camera = played(whole)
    assert [size for size, _ in itertools.groupby(frame.image.shape[:2] for frame in frames)] == [(96, 128), (192, 256), (160, 96)]
    assert len(frames) >= 20
    assert frames[-1].at_s == pytest.approx(29 / 20, abs=0.1) and "2 time stamps missing or wrong" in str(camera.detail)


# ---- wrong stamps


def restamped(path: Path, stamp: Callable[[int], int | None], source: Path) -> Path:
    """The same packets with other time stamps, in Matroska or MPEG-TS."""
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        into = new.add_stream_from_template(old.streams.video[0])
        for number, packet in enumerate(packet for packet in old.demux(video=0) if packet.size):
            packet.stream = into
            packet.pts, packet.dts = stamp(number), stamp(number)
            packet.time_base = Fraction(1, 90_000)
            new.mux(packet)
    return path


def test_stamps_that_wrap_in_the_middle(tmp_path: Path) -> None:
    """A transport stream has 33 bits for them: 26.5 hours."""
    source = write_video(tmp_path / "source.ts", map(scene, range(30)), options={"bf": "0"})
    begin = 2**33 - 10 * 4500
    path = restamped(tmp_path / "wrap.ts", lambda number: begin + 4500 * number, source)
    frames, camera = played(path)
    assert [frame.at_s for frame in frames] == pytest.approx([number / 20 for number in range(30)])
    assert camera.detail == "the recording is over"


def test_a_recorder_that_starts_again(tmp_path: Path) -> None:
    one = write_video(tmp_path / "one.ts", map(scene, range(30)), options={"bf": "0"})
    twice = tmp_path / "twice.ts"
    twice.write_bytes(2 * one.read_bytes())
    frames, camera = played(twice)
    # The place where both meet looks like a loss to a reader of transport streams: what stands before it is not trusted.
    assert len(frames) == 58 and camera.dropped == {"corrupt": 2} and frames[-1].at_s == pytest.approx(59 / 20, abs=0.06)
    left_out = "2 damaged pictures left out"
    assert camera.detail == f"the recording is over; {left_out}; 1 time stamp missing or wrong, replaced by steps of 0.050 s"


def test_a_raw_stream_has_no_stamps(tmp_path: Path) -> None:
    frames, camera = played(write_video(tmp_path / "raw.h264", map(scene, range(30)), options={"bf": "0"}))
    assert len(frames) == 30 and 0.5 < frames[-1].at_s < 3
    assert not camera.dropped


# ---- cut off, damaged


def shown_right(frames: list[Frame], but: int = 0) -> None:
    """No picture is built from damage, but for so many: each shows the bar of some number, and the numbers go up with the frames."""
    right, last = 0, -1
    for frame in frames:
        number = number_in(frame.image)
        if number > last and np.abs(frame.image.astype(int) - scene(number)).mean() < 9:
            right, last = right + 1, number
    assert len(frames) - right <= but


DAMAGED = {
    "x264.mkv": ("libx264", "yuv420p", {"g": "10", "cluster_time_limit": "300"}),
    "x264.ts": ("libx264", "yuv420p", {"g": "10"}),
    "x264.mp4": ("libx264", "yuv420p", {"g": "10", "movflags": "faststart"}),
    "x265.ts": ("libx265", "yuv420p", {"x265-params": "log-level=none:keyint=10"}),
    "mpeg2.ts": ("mpeg2video", "yuv420p", {"g": "10", "b": "4M"}),
    "mpeg4.avi": ("mpeg4", "yuv420p", {"g": "10", "b": "4M"}),
    "mjpeg.avi": ("mjpeg", "yuvj420p", {}),
}


def film(path: Path) -> Path:
    codec, pix_fmt, options = DAMAGED[path.name]
    container = {key: value for key, value in options.items() if key in ("movflags", "cluster_time_limit")}
    coding = {key: value for key, value in options.items() if key not in container}
    # Grain, so that every picture is some kilobytes and not only the first of a group.
    rng = np.random.default_rng(7)
    pictures = (np.asarray(np.clip(scene(n) + rng.normal(0, 5, (96, 128, 3)), 0, 255), np.uint8) for n in range(50))
    return write_video(path, pictures, codec, pix_fmt=pix_fmt, options=coding, container_options=container)


@pytest.mark.parametrize("name", DAMAGED)
@pytest.mark.parametrize("share", [0.3, 0.62, 0.9])
def test_a_video_that_is_cut_off_plays_up_to_there(tmp_path: Path, name: str, share: float) -> None:
    path = film(tmp_path / name)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    frames, _ = played(path)
    assert 50 * share - 16 < len(frames) < 50
    shown_right(frames)


@pytest.mark.parametrize("name", DAMAGED)
def test_a_video_that_is_damaged_in_the_middle_goes_on_after_it(tmp_path: Path, name: str) -> None:
    path = film(tmp_path / name)
    data = bytearray(path.read_bytes())
    begin, end = int(0.4 * len(data)), int(0.6 * len(data))
    data[begin:end] = np.random.default_rng(3).bytes(end - begin)
    path.write_bytes(bytes(data))
    frames, camera = played(path)
    # A JPEG that ends in noise is a picture to its decoder, and nothing refers to it.
    shown_right(frames, but=1)
    assert number_in(frames[-1].image) == 49 and 20 <= len(frames) < 50
    # Where whole packets vanish, nothing is left to count.
    lost = camera.dropped.get("corrupt", 0)
    assert lost == 0 or f"{lost} damaged picture" in str(camera.detail)


def test_what_was_built_from_damage_is_counted_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = film(tmp_path / "x264.mp4")
    data = bytearray(path.read_bytes())
    for place in range(len(data) // 3, len(data) // 2, 400):
        data[place : place + 40] = np.random.default_rng(place).bytes(40)
    path.write_bytes(bytes(data))
    frames, camera = played(path)
    # Not all changed bits are seen by a decoder; what it sees is counted with all that refers to it.
    shown_right(frames, but=3)
    assert camera.dropped["corrupt"] >= 8 and 49 <= len(frames) + camera.dropped["corrupt"] <= 50
    said = f"{camera.dropped['corrupt']} damaged pictures left out"
    assert said in str(camera.detail) and f"x264.mp4: {said}" in caplog.messages


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video", "mpeg4"])
def test_what_comes_before_the_first_whole_picture_is_refused(tmp_path: Path, codec: str) -> None:
    source = write_video(tmp_path / "whole.mkv", map(scene, range(40)), codec, options={"g": "10", "bf": "0", "b": "4M"})
    with av.open(str(source)) as old, av.open(str(tmp_path / "later.mkv"), "w") as new:
        into = new.add_stream_from_template(old.streams.video[0])
        for number, packet in enumerate(packet for packet in old.demux(video=0) if packet.size):
            if number >= 5:
                packet.stream = into
                new.mux(packet)
    frames, _ = played(tmp_path / "later.mkv")
    assert [number_in(frame.image) for frame in frames] == list(range(10, 40))


# ---- no video


def silence(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


NO_VIDEO: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing.mp4": (lambda path: None, "no such file or folder"),
    "empty.mp4": (lambda path: path.touch(), "not a video that can be decoded"),
    "empty.ts": (lambda path: path.touch(), "not a video that can be decoded"),
    "text.mp4": (lambda path: path.write_text("not a video\n" * 99), "not a video that can be decoded"),
    "text.txt": (lambda path: path.write_text("not a video\n" * 99), "no video track in it"),
    "noise.mkv": (lambda path: path.write_bytes(np.random.default_rng(1).bytes(50_000)), "not a video that can be decoded"),
    "zeros.ts": (lambda path: path.write_bytes(bytes(50_000)), "not a video that can be decoded"),
    "sound.mp4": (silence, "no video track in it"),
    "folder.mp4": (lambda path: path.mkdir(), "no pictures in this folder"),
    "list.m3u8": (lambda path: path.write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n"), ""),
}


@pytest.mark.parametrize("name", NO_VIDEO)
def test_what_is_no_video_says_so(tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str) -> None:
    make, message = NO_VIDEO[name]
    make(tmp_path / name)
    with pytest.raises(CameraError) as caught:
        opened(tmp_path / name)
    assert name in caught.value.message and message in caught.value.message and "\n" not in caught.value.message
    assert caught.value.hint and capfd.readouterr() == ("", "")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read_says_so(tmp_path: Path) -> None:
    path = write_video(tmp_path / "secret.mp4", map(scene, range(3)))
    path.chmod(0)
    with pytest.raises(CameraError, match="cannot be read: Permission denied") as caught:
        opened(path)
    assert "who may read it" in caught.value.hint


def test_a_video_without_one_whole_picture_says_so(tmp_path: Path) -> None:
    path = film(tmp_path / "x264.mp4")
    data = path.read_bytes()
    begin = data.index(b"mdat") + 4
    path.write_bytes(data[:begin] + np.random.default_rng(4).bytes(len(data) - begin))
    with pytest.raises(CameraError, match="not a video that can be decoded: its h264 stream gives no picture") as caught:
        opened(path)
    assert caught.value.hint


def test_names_are_only_names(tmp_path: Path) -> None:
    for name in ("frame-%d.mkv", "a:b|c.mkv", "concat:x.mkv", "ünï 'code'.mkv"):
        frames, _ = played(write_video(tmp_path / "plain.mkv", map(scene, range(3))).rename(tmp_path / name))
        assert len(frames) == 3


# ---- interlaced, as it came from the field


@pytest.mark.data
def test_a_test_pattern_in_two_fields_is_seen(cases_dir: Path) -> None:
    found = {}
    for name in ("nobody-interlaced.ts", "nobody-progressive.ts"):
        frames, camera = played(cases_dir / "video" / name)
        assert len(frames) == 50 and not camera.dropped and frames[-1].at_s == pytest.approx(49 / 25)
        found[name] = np.stack([cv2.resize(frame.image, (80, 60), interpolation=cv2.INTER_AREA) for frame in frames]).astype(int)
    one, other = found.values()
    assert np.abs(one - other).mean() < 6, "both films show the same pattern"


@pytest.mark.data
def test_a_pause_in_a_video_is_as_long_as_it_was(cases_dir: Path) -> None:
    frames, _ = played(cases_dir / "video/vfr-gap.mp4")
    steps = [after.at_s - before.at_s for before, after in itertools.pairwise(frames)]
    assert len(frames) == 90 and max(steps) == pytest.approx(60.033, abs=0.001) and sorted(steps)[-2] < 0.05
