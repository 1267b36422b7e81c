"""The guide's programs where something is wrong: a line says what, the exit status says of which kind, and nothing hangs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.core import signing
from tests.fixtures.deployed import deployed, run
from tests.fixtures.gate_says import KEY
from tests.fixtures.integrators import Site, shown
from tests.fixtures.mosquitto import free_port

ASKERS = {"enrol.py": "hr", "signed.py": "hr", "badge.py": "badge-north"}
LISTENERS = {"watch.py": "display", "verify_signature.py": "display", "time_tracking.py": "display"}


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory, mosquitto_installed: None) -> Iterator[int]:
    """A broker without a gate."""
    with deployed(tmp_path_factory.mktemp("broker")) as running:
        yield running.port


@pytest.fixture
def trouble(tmp_path: Path, port: int) -> Site:
    """Settings with which every program could work, if there were a gate."""
    site = Site(tmp_path, port)
    (site.folder / "hr-1.key").write_text("hr-1 " + "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n")
    site.add("hr", 'key = "hr-1.key"')
    site.add("display", f'gate_key = ["{signing.public_text(KEY)}"]')
    return site


@pytest.mark.broker
def test_a_wrong_password_is_said(trouble: Site) -> None:
    for program, login in (ASKERS | LISTENERS).items():
        (trouble.folder / f"{login}-password").write_text("wrong\n")
        done = trouble.run(program)
        assert done.returncode == (3 if program in ASKERS else 1), done
        assert done.stderr.splitlines() in (
            ["the broker refused the login: Not authorized"],
            ["the broker refused the login: Bad user name or password"],
        ), done


@pytest.mark.broker
def test_a_login_that_may_not_is_told(trouble: Site) -> None:
    trouble.add("door-north", 'key = "hr-1.key"')
    for program, topic in (("enrol.py", "enrolment"), ("signed.py", "revoke"), ("badge.py", "verify")):
        done = trouble.run(program, "door-north.toml", *shown(program)[1:])
        assert done.returncode == 3 and f"this login may not write to ostiary/v1/acme/north/command/{topic}" in done.stderr, done


@pytest.mark.broker
def test_a_broker_that_is_not_there_is_named(trouble: Site) -> None:
    nowhere = free_port()
    for login in ("hr", "badge-north", "display"):
        path = trouble.folder / f"{login}.toml"
        path.write_text(path.read_text().replace(f"port = {trouble.port}", f"port = {nowhere}"))
    for program in ASKERS:
        done = trouble.run(program)
        assert done.returncode == 3 and f"no broker at 127.0.0.1:{nowhere}" in done.stderr, done
    for program in LISTENERS:
        with trouble.listening(program) as until:
            until(f"no broker at 127.0.0.1:{nowhere}; trying again")


@pytest.mark.broker
def test_a_gate_that_does_not_answer_is_named(trouble: Site) -> None:
    trouble.add("hr", "timeout = 1")
    trouble.add("badge-north", "timeout = 1")
    done = trouble.run("enrol.py")
    assert done.returncode == 3 and "no answer from ostiary/v1/acme/north within 1 s" in done.stderr, done
    done = trouble.run("badge.py")
    assert done.returncode == 3 and "no decision" in done.stderr, done


@pytest.mark.broker
def test_over_tls_a_certificate_is_the_login(tmp_path: Path, mosquitto_installed: None) -> None:
    certificates = tmp_path / "certificates"
    for what in (("ca", "acme"), ("broker", "127.0.0.1"), ("login", "hr"), ("login", "door-north")):
        run("make-certificates.sh", str(certificates), *what)
    (tmp_path / "broker").mkdir()
    with deployed(tmp_path / "broker", certificates=certificates) as broker:
        for login, status_code, said in (
            ("hr", 3, "no answer from"),
            ("door-north", 3, "this login may not write to"),
            ("nobody", 2, "cannot be used"),
        ):
            (tmp_path / "tls.toml").write_text(
                f'site = "acme"\ngate = "north"\nport = {broker.port}\ntimeout = 1\nca_file = "certificates/ca.crt"\n'
                f'cert_file = "certificates/{login}.crt"\nkey_file = "certificates/{login}.key"\n'
            )
            done = Site(tmp_path, broker.port).run("enrol.py", "tls.toml", "E1", "photo.jpg")
            assert done.returncode == status_code and said in done.stderr, done


@pytest.mark.broker
def test_bad_input_is_said_in_a_line(trouble: Site) -> None:
    (trouble.folder / "photo.png").write_bytes(b"\x89PNG\r\n")
    (trouble.folder / "large.jpg").write_bytes(b"\xff\xd8\xff" + bytes(1_500_000))
    (trouble.folder / "broken.toml").write_text("site = ")
    for line in (
        "enrol.py hr.toml E1 photo.png", "enrol.py hr.toml E1 large.jpg", "enrol.py hr.toml E1 none.jpg", "enrol.py hr.toml E1",
        "signed.py hr.toml dismiss E1", "signed.py broken.toml revoke E1", "badge.py none.toml E1", "badge.py badge-north.toml",
    ):  # fmt: skip
        done = trouble.run(*line.split())
        assert done.returncode == 2 and "Traceback" not in done.stderr and done.stderr, done
    for program in LISTENERS:
        done = trouble.run(program, "broken.toml", *shown(program)[1:])
        assert (done.returncode == 1 and "the settings" in done.stderr) or "settings or table" in done.stderr, done
