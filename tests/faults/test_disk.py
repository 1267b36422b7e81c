"""A disk that is full or read-only, a page that is damaged under a serving daemon, a clock that is wrong, a second daemon.

Each is one clear line; nothing that was acknowledged is lost, and nobody is let in.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from daemon.commands.answers import Answer
from daemon.commands.desk import Desk
from daemon.edges.store import StoreError, VaultError, open_store
from tests.conftest import ROOT
from tests.faults import children
from tests.faults.children import killed
from tests.faults.faces import VECTORS, Oracle, need_equal, open_desk, picture
from tests.fixtures.desk import NOW, TOPIC, command


def enroll(person: str, face: int, issued: float = 0.0, now: float = NOW) -> bytes:
    return command("enroll", person, [picture(face, 0)], issued=issued, now=now)


def handled(desk: Desk, payload: bytes, now: float = NOW) -> Answer:
    answer = desk.handle("north", "t", payload, False, now, TOPIC)
    assert isinstance(answer, Answer)
    if answer.result.detail is not None:
        assert "\n" not in answer.result.detail
    return answer


def finds(desk: Desk, face: int) -> bool:
    """Whether the face would be recognised."""
    (match,) = desk.current.serving.gallery.search(VECTORS[face, :1])
    return match.similarity > 0.9


def two(folder: Path) -> Oracle:
    oracle = Oracle()
    desk = open_desk(folder)
    for face, person in ((1, "E1"), (2, "E2")):
        assert handled(desk, enroll(person, face)).durable
        oracle.apply("enroll", person, {"face": face, "pictures": [0], "replace": False, "name": None})
    desk.store.close()
    return oracle


def need_two(folder: Path, oracle: Oracle) -> None:
    desk = open_desk(folder)
    need_equal(desk, oracle)
    desk.store.close()


# ---- full


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    """The kernel refuses every write, as on a full disk; a process of its own, because the limit is the whole process's."""
    payloads = {
        "before": enroll("E1", 1),
        "also before": enroll("E2", 2),
        "enrol on the full disk": enroll("E3", 3),
        "suspend on the full disk": command("suspend", "E2", issued=1),
        "revoke on the full disk": command("revoke", "E1", issued=1),
    }
    said = [word for word in killed(children.on_a_disk_that_fills, tmp_path / "state", payloads, after_s=60.0) if word[0] != "probe"]
    told = [(name, result.status, result.reason, durable, people, found) for name, result, durable, people, found in said]
    both, failed = ["E1", "E2"], ("failed", "not_durable", False)
    assert told == [
        ("before", "done", None, True, ["E1"], 1),
        ("also before", "done", None, True, both, 2),
        ("enrol on the full disk", *failed, both, 2),
        ("suspend on the full disk", *failed, both, 2),
        ("revoke on the full disk", *failed, ["E2"], 1),
        ("revoke on the full disk", "done", None, True, ["E2"], 1),
        ("enrol on the full disk", "done", None, True, ["E2", "E3"], 2),
    ]
    assert all("\n" not in (result.detail or "") for _, result, *_ in said)
    desk = open_desk(tmp_path / "state")
    assert [p.person for p in desk.store.people()] == ["E2", "E3"] and [finds(desk, face) for face in (1, 2, 3)] == [False, True, True]
    desk.store.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one MiB of its own. Skips for whoever may not mount one: the tests above and below need none."""
    folder = tmp_path / "disk"
    folder.mkdir(0o700)
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("mounting needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill_up(folder: Path) -> Path:
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue
    return filler


def test_a_full_disk(small_disk: Path) -> None:
    folder = small_disk / "state"
    two(folder)
    desk = open_desk(folder)
    filler = fill_up(small_disk)
    for payload, people in ((enroll("E3", 3, 1), 2), (command("revoke", "E1", issued=1), 1), (command("suspend", "E2", issued=1), 1)):
        answer = handled(desk, payload)
        assert (answer.result.reason, answer.durable, desk.current.serving.gallery.people) == ("not_durable", False, people), answer
    assert not finds(desk, 1) and desk.current.people["E2"].suspended, "shut out in memory"
    desk.store.close()
    # A restart on the full disk is no way in: it does not serve, or serves what was acknowledged.
    try:
        desk = open_desk(folder)
    except StoreError as error:
        assert "\n" not in error.message
    else:
        assert {p.person for p in desk.store.people()} == {"E1", "E2"}
        desk.store.close()
    filler.unlink()
    desk = open_desk(folder)
    assert {p.person for p in desk.store.people()} == {"E1", "E2"}, "not acknowledged: the broker brings it again"
    assert handled(desk, command("revoke", "E1", issued=2)).durable and handled(desk, enroll("E3", 3, 1)).durable
    assert [finds(desk, face) for face in (1, 2, 3)] == [False, True, True]
    desk.store.close()


# ---- read-only


def test_a_disk_that_became_read_only(tmp_path: Path) -> None:
    oracle = two(tmp_path)
    desk = open_desk(tmp_path)
    desk.store.database.connection.execute("PRAGMA query_only = ON")  # SQLite's answer is then that of a disk remounted after an error
    assert handled(desk, enroll("E3", 3, 1)).result.reason == "not_durable" and not finds(desk, 3)
    assert handled(desk, command("revoke", "E1", issued=1)).result.reason == "not_durable" and not finds(desk, 1)
    with pytest.raises(StoreError, match="readonly"):
        desk.store.probe()
    desk.store.close()
    need_two(tmp_path, oracle)


def test_an_old_revocation_that_comes_again_then_shuts_nobody_out(tmp_path: Path) -> None:
    """It was answered, and the person enrolled again since; only its answer cannot be kept for sending now."""
    oracle = two(tmp_path)
    desk = open_desk(tmp_path)
    revoke = command("revoke", "E1", issued=1)
    assert handled(desk, revoke).durable and handled(desk, enroll("E1", 1, 2)).durable
    desk.store.database.connection.execute("PRAGMA query_only = ON")
    answer = handled(desk, revoke)
    assert (answer.result.status, answer.barred, answer.durable, answer.owed) == ("done", None, False, False) and finds(desk, 1)
    desk.store.close()
    need_two(tmp_path, oracle)


def test_a_start_on_a_read_only_disk(small_disk: Path) -> None:
    oracle = two(small_disk / "state")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises((StoreError, VaultError)) as error:
        open_desk(small_disk / "state")
    assert "\n" not in error.value.message and "Read-only" in error.value.message
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    need_two(small_disk / "state", oracle)


# ---- a page that goes bad while the daemon serves


@pytest.mark.parametrize("table", ["people", "templates", "orders", "results"])
def test_a_page_that_goes_bad_under_a_serving_daemon(tmp_path: Path, table: str) -> None:
    two(tmp_path / "state")
    desk = open_desk(tmp_path / "state")
    (page,) = desk.store.database.connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    with (tmp_path / "state" / "gallery.sqlite").open("r+b") as file:
        file.seek(4096 * (page - 1))
        file.write(np.random.default_rng(1).bytes(4096))
    desk.store.database.connection.execute("PRAGMA shrink_memory")  # what is read next comes from the disk
    answer = handled(desk, command("revoke", "E1", issued=1))
    assert not finds(desk, 1) and "E1" not in desk.current.people, "shut out, whatever the disk says"
    if table in ("people", "results"):
        assert (answer.result.reason, answer.durable) == ("not_durable", False), "no lie about it"
    handled(desk, enroll("E3", 3, 2))
    desk.store.close()
    shutil.copytree(tmp_path / "state", tmp_path / "again")
    try:
        again = open_desk(tmp_path / "again")
    except StoreError as error:
        assert "\n" not in error.message and not answer.durable
    else:
        assert answer.durable and not finds(again, 1)
        again.store.close()


# ---- a clock that is wrong


def test_a_box_that_wakes_in_1970_believes_what_it_knew(tmp_path: Path) -> None:
    """No clock of its own, no network yet: an enrolment that had expired stays so, and revoking works."""
    two(tmp_path)
    desk = open_desk(tmp_path)
    assert handled(desk, command("revoke", "E1", issued=300), NOW + 300).durable
    desk.store.close()
    desk = open_desk(tmp_path)
    for late in (enroll("E3", 3), enroll("E1", 1, 1)):
        assert handled(desk, late, now=60.0).result.reason in ("expired", "superseded") and not finds(desk, 3) and not finds(desk, 1)
    assert handled(desk, command("revoke", "E2", issued=301), now=61.0).result.status == "done" and not finds(desk, 2)
    assert handled(desk, enroll("E3", 3, 302), now=NOW + 302).result.status == "done", "nor does 1970 stay in anybody's way"
    desk.store.close()


def test_a_clock_far_ahead_lets_nothing_in_and_leaves_nothing_behind(tmp_path: Path) -> None:
    oracle = two(tmp_path)
    desk = open_desk(tmp_path)
    assert handled(desk, enroll("E3", 3, 1), now=NOW + 400 * 86_400).result.reason == "expired" and not finds(desk, 3)
    need_equal(desk, oracle)
    assert handled(desk, enroll("E3", 3, 2), now=NOW + 2).result.status == "done"
    desk.store.close()


# ---- a second daemon


def test_a_second_daemon_on_the_folder_is_one_line(tmp_path: Path) -> None:
    oracle = two(tmp_path / "state")
    first = open_store(tmp_path / "state")
    (tmp_path / "config.toml").write_text(f'site = "s"\nstate_dir = "{tmp_path / "state"}"\n[gates.north]\nsource = "{ROOT}"\n')
    done = subprocess.run(
        [sys.executable, "-m", "daemon", "run", "--config", str(tmp_path / "config.toml")],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    lines = [line for line in done.stderr.splitlines() if not line.startswith("INFO")]
    assert done.returncode == 1 and len(lines) == 2 and "in use by another daemon" in lines[0] and "hint" in lines[1], done.stderr
    first.close()
    need_two(tmp_path / "state", oracle)
