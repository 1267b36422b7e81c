"""Bad input is one line and a hint."""

from pathlib import Path

import pytest

from daemon.ctl import __main__ as ctl
from tests.ctl.conftest import JPEG
from tests.fixtures.mosquitto import free_port


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["enroll", "E1042", "--image", "nowhere.jpg"], "nowhere.jpg: No such file"),
        (["enroll", "E1042", "--image", "."], "Is a directory"),
        (["enroll", "E1042", "--image", "picture.png"], "picture.png is damaged"),
        (["enroll", "E1042", "--image", "large.jpg"], "large.jpg is damaged"),
        (["enroll", "E1042", "--image", "empty.jpg"], "empty.jpg is empty"),
        (["enroll", "E1042", "--image", "notes.txt"], "notes.txt is not a picture"),
        (["enroll", "E1042", "--image", "phone.heic"], "phone.heic is an HEIC picture"),
        (["enroll", "E1042", *(["--image", "small.jpg"] * 11)], "11 images are too many"),
        (["enroll", "Ada Lovelace", "--image", "small.jpg"], "not an employee number"),
        (["enroll", "E1042", "--image", "small.jpg", "--valid-from", "soon"], "is not a day such as 2026-12-01"),
        (["enroll", "E1042"], "--image"),
        (["enroll", "E1042", "--image", "small.jpg", "--capture", "5"], "not allowed with"),
        (["enroll", "E1042", "--capture", "31"], "not a valid length for a capture"),
        (["enroll", "E1042", "--capture", "0"], "above 0"),
        (["update", "E1042"], "no change is given"),
        (["update", "E1042", "--name", "Ada", "--clear", "name"], "both given and cleared"),
        (["update", "E1042", "--clear", "templates"], "templates"),
        (["list", "--limit", "0"], "is not a number above 0"),
        (["suspend"], "PERSON"),
        (["open", "sesame"], "open"),
        ([], "COMMAND"),
        (["ping", "--site", "a/b"], "is not the name of a site"),
        (["ping", "--gate", "+"], "is not the name of a gate"),
        (["ping", "--gate", "a#"], "is not the name of a gate"),
        (["ping", "--port", "0"], "0 is not a port number"),
        (["ping", "--timeout", "-1"], "above 0"),
        (["ping", "--timeout", "soon"], "above 0"),
        (["ping", "--password-file", "nowhere"], "cannot be read"),
        (["ping", "--ca-file", "nowhere.pem"], "TLS cannot be set up"),
        (["ping", "--config", "nowhere.toml"], "no such file"),
    ],
)
def test_bad_input_is_one_line_and_a_hint(
    args: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("picture.png").write_bytes(b"\x89PNG\r\n")
    Path("small.jpg").write_bytes(JPEG)
    Path("empty.jpg").touch()
    Path("notes.txt").write_text("Alice, gate north")
    Path("phone.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    Path("large.jpg").write_bytes(JPEG + bytes(3_000_000))
    code = ctl.main(["--site", "acme", "--gate", "north", "--host", "127.0.0.1", "--port", str(free_port()), *args])
    out, err = capsys.readouterr()
    assert code == 2
    assert out == ""
    assert says in err
    assert len(err.splitlines()) == 2
    assert err.splitlines()[1].startswith("  hint: ")
