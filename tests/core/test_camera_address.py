"""Addresses of cameras: which cannot work, and how a login gets into them."""

from urllib.parse import unquote

import pytest

from daemon.core import camera_address
from daemon.core.camera_address import fault, has_login, host_and_port, with_login

NASTY = "p#s?w/o[r]d@:%41 ü"


@pytest.mark.parametrize(
    ("url", "username", "password", "says"),
    [
        ("rtps://cam/x", "", False, "scheme"),
        ("rtsp:// cam/x", "", False, "blank"),
        ("rtsp://cam/x\n", "", False, "blank"),
        ("rtsp:///x", "", False, "no host"),
        ("rtsp://u:p@/x", "", False, "no host"),
        ("rtsp://cam:0/x", "", False, "port"),
        ("rtsp://cam:99999/x", "", False, "port"),
        ("rtsp://cam:port/x", "", False, "port"),
        ("rtsp://guard:pa/ss@cam/x", "", False, "port"),
        ("rtsp://guard:{password}@cam/x", "", False, "no password_file"),
        ("rtsp://guard@cam/x", "guard", True, "user name"),
        ("rtsp://[::1/x", "", False, "port"),
    ],
)
def test_an_address_that_cannot_work_is_told_without_repeating_it(url: str, username: str, password: bool, says: str) -> None:
    found = fault(url, username, password=password)
    assert found is not None and says in found[0] and found[1]
    assert not any(part in " ".join(found) for part in ("pa/ss", "ss@", "guard:"))


@pytest.mark.parametrize(
    "url",
    [
        "rtsp://cam/x", "RTSP://10.0.0.5:554/h264?channel=1&sub=0#a", "rtsps://[fe80::1]:322/s", "http://cam", "rtsp://u:p@cam:8554/x",
        "rtsp://u:p@ss@cam/x", "rtsp://cam/user=admin&password=x&channel=1", "udp://@239.0.0.1:1234", "udp://:1234", "rtsp://my_cam.local:/x",
    ],
)  # fmt: skip
def test_addresses_that_may_work_pass(url: str) -> None:
    assert fault(url, "", password=False) is None


def test_a_password_of_any_characters_survives() -> None:
    for url, username in (("rtsp://cam/x?a@b", "gu@rd"), ("rtsp://gu%40rd:{password}@cam/x?a@b", ""), ("rtsp://gu%40rd@cam/x?a@b", "")):
        made = with_login(url, username, NASTY)
        login, _, rest = made.removeprefix("rtsp://").partition("@")
        assert rest == "cam/x?a@b" and [unquote(part) for part in login.split(":")] == ["gu@rd", NASTY]
        assert has_login(url, username)


def test_without_a_login_the_url_stays() -> None:
    for url in ("rtsp://cam/x", "rtsp://u:p@cam/x", "udp://@239.0.0.1:1234"):
        assert with_login(url, "", None) == with_login(url, "", "unused") == url
    assert not has_login("rtsp://cam/a@b", "") and not has_login("udp://@239.0.0.1:1234", "")
    assert with_login("rtsp://cam/x", "guard", None) == "rtsp://guard:@cam/x"


def test_host_and_port() -> None:
    assert host_and_port("rtsp://u:p@cam:8554/x:1") == ("cam", 8554)
    assert host_and_port("rtsp://[fe80::1%25eth0]/x") == ("fe80::1%25eth0", None)
    assert camera_address.is_address("rtsp://cam")
    assert not any(map(camera_address.is_address, ("file:///x", "/dev/video0", "clip.mp4")))
