"""What somebody gets who asks what is held about them; and the commands of backups as an operator types them."""

import json
import stat
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from daemon.__main__ import main
from daemon.edges.store import Store, open_store, sealed_file
from daemon.edges.store.sealed_file import Cost
from tests.fixtures.desk import NOW, TOPIC, command, desk, painted

FACE, OTHER = 120, 220


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed_file, "COST", Cost(4, 8, 1))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "config.toml").write_text(f'site = "s"\nstate_dir = "{tmp_path / "state"}"\n[gates.north]\nsource = "absent"\n')
    (tmp_path / "words").write_text("six words drawn by dice\n")
    (tmp_path / "words").chmod(0o600)
    return tmp_path / "config.toml"


def serving(folder: Path) -> Store:
    """Two people, enrolled by commands; E1042 was suspended too."""
    store = open_store(folder / "state")
    at_desk = desk(store)
    payloads = (
        command("enroll", "E1042", [painted(FACE), painted(FACE - 1)], name="Ada Übel", gates=["north"], consent="form 7"),
        command("enroll", "E10", [painted(OTHER)], issued=1),
        command("suspend", "E1042", issued=2),
        command("enroll", "E7", [painted(FACE)], issued=3),  # refused: it is E1042's face
    )
    for number, payload in enumerate(payloads):
        at_desk.handle("north", "t", payload, False, NOW + number, TOPIC)
    return store


def test_everything_about_one_person_and_nobody_else(tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = serving(tmp_path)
    assert main(["export-person", "E1042", str(tmp_path / "e.zip"), "--config", str(config)]) == 0
    assert "2 templates, 2 answers" in capsys.readouterr().out
    assert stat.S_IMODE((tmp_path / "e.zip").stat().st_mode) == 0o600
    with zipfile.ZipFile(tmp_path / "e.zip") as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    assert set(files) == {
        "README.txt", "record.json", "templates.json", "crops/1.png", "crops/2.png", "commands.json", "audit.jsonl", "messages.json",
    }  # fmt: skip
    record = json.loads(files["record.json"])
    assert (record["name"], record["state"], record["gates"], record["consent"]) == ("Ada Übel", "suspended", ["north"], "form 7")
    templates = json.loads(files["templates.json"])
    held = store.templates_of("E1042")
    assert [
        np.array_equal(np.float32(t["vectors"]["painted-1"]), h.vectors["painted-1"]) for t, h in zip(templates, held, strict=True)
    ] == [True, True]
    assert [(t["created_at"], t["crop"]) for t in templates] == [("2027-01-15T08:00:00.000Z", f"crops/{n}.png") for n in (1, 2)]
    crop = cv2.imdecode(np.frombuffer(files["crops/1.png"], np.uint8), cv2.IMREAD_COLOR)
    assert crop is not None and crop.shape == (112, 112, 3)
    assert [answer["op"] for answer in json.loads(files["commands.json"])] == ["enroll", "suspend"]
    records = [json.loads(line)["record"] for line in files["audit.jsonl"].decode().splitlines()]
    assert [(record["op"], record["pseudonym"]) for record in records] == [(op, store.pseudonym("E1042")) for op in ("enroll", "suspend")]
    assert [message["message"]["op"] for message in json.loads(files["messages.json"])] == ["enroll", "suspend"]
    told = files["README.txt"].decode()
    assert (
        "E1042" in told
        and "never stored" in told
        and "30 days" in told
        and all(name.split("/")[0] in told for name in files if name != "README.txt")
    )
    assert max(map(len, told.splitlines())) <= 140
    assert not [name for name, content in files.items() if b'"E10"' in content]
    store.close()


def test_what_is_damaged_is_told(tmp_path: Path, config: Path) -> None:
    store = serving(tmp_path)
    with store.transaction():
        store.database.connection.execute("UPDATE crops SET sealed = zeroblob(60) WHERE number = 1")
    store.close()
    assert main(["export-person", "E1042", str(tmp_path / "e.zip"), "--config", str(config)]) == 0
    with zipfile.ZipFile(tmp_path / "e.zip") as archive:
        assert b"1 template damaged" in archive.read("README.txt")


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_somebody_unknown_is_one_line_and_no_file(tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    serving(tmp_path).close()
    (tmp_path / "there").write_text("dear")
    for person, file, word in (("E99", "e.zip", "nobody is enrolled as E99"), ("E1042", "there", "there is a file already")):
        assert main(["export-person", person, str(tmp_path / file), "--config", str(config)]) == 1
        said = lines(capsys)
        assert len(said) == 2 and word in said[0] and said[1].startswith("  hint: ")
    assert not (tmp_path / "e.zip").exists() and (tmp_path / "there").read_text() == "dear"
    assert main(["export-person", "E1042", str(tmp_path / "there"), "--force", "--config", str(config)]) == 0
    assert zipfile.is_zipfile(tmp_path / "there")


def test_a_backup_and_back_as_it_is_typed(tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = serving(tmp_path)
    more = ["--passphrase-file", str(tmp_path / "words"), "--config", str(config)]
    assert main(["backup", str(tmp_path / "b"), *more]) == 0
    assert "2 people, 3 templates, gallery revision 3, and the key" in capsys.readouterr().out
    assert main(["backup", str(tmp_path / "b"), *more]) == 1 and "--force" in lines(capsys)[1]
    assert main(["backup", str(tmp_path / "b"), "--force", *more]) == 0
    capsys.readouterr()
    assert main(["restore", str(tmp_path / "b"), "--replace", *more]) == 1 and "in use by another daemon" in lines(capsys)[0]
    store.close()
    (tmp_path / "state").rename(tmp_path / "gone")
    assert main(["restore", str(tmp_path / "b"), *more]) == 0
    out = capsys.readouterr().out
    assert "2 people of the backup of 20" in out and "1 of them suspended" in out and out.count("\n") == 1
    assert main(["restore", str(tmp_path / "b"), *more]) == 1 and "--replace" in lines(capsys)[1]
    assert main(["restore", str(tmp_path / "b"), "--replace", "--active", *more]) == 0
    assert "delete it soon" in capsys.readouterr().out
    (tmp_path / "words").chmod(0o644)
    assert main(["restore", str(tmp_path / "b"), *more]) == 1 and "others may read it" in lines(capsys)[0]
