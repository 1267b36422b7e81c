"""The container files: they parse, take what is there, and run as the daemon's user. `python -m tests.system --image` carries them out."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import msgspec

from tests.conftest import ROOT
from tests.fixtures.deployed import DEPLOY
from tests.system import image


def test_the_containerfile_takes_what_is_there_and_ends_as_the_daemons_user() -> None:
    steps = image.steps(DEPLOY / "Containerfile")
    allowed = (ROOT / ".containerignore").read_text("utf-8").splitlines()
    for word, rest in steps:
        if word == "COPY" and not rest.startswith("--from="):
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists() and f"!{source}" in allowed, source
    final = steps[max(n for n, (word, _) in enumerate(steps) if word == "FROM") :]
    assert [rest for word, rest in final if word == "USER"] == ["ostiary"]
    start = [word for kind in ("ENTRYPOINT", "CMD") for word in json.loads(dict(final)[kind])]
    assert start == ["/usr/local/bin/ostiaryd", "run", "--config", "/etc/ostiary/config.toml"]
    assert any("/source/deploy/install.sh" in rest for word, rest in steps if word == "RUN")
    for name in ("g++", "python3-dev"):
        assert not any(name in rest for _, rest in final), "compilers stay behind"


def test_the_compose_file_uses_what_is_there() -> None:
    made = msgspec.yaml.decode((DEPLOY / "compose.yaml").read_bytes())
    assert set(made["services"]) == {"gate", "broker", "prometheus"}
    own = set()
    for name, service in made["services"].items():
        assert service["read_only"] is True and service["cap_drop"] == ["ALL"] and service["restart"] == "always", name
        assert ":" in service["image"] or name == "gate", "a version is pinned"
        assert name == "broker" or service["network_mode"] == "service:broker"
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            if source.startswith("./site"):
                own.add(source.removeprefix("./site").lstrip("/"))
            elif source.startswith("."):
                assert (DEPLOY / source).is_file() and volume.endswith(":ro"), volume
            else:
                assert source in made["volumes"]
    head = (DEPLOY / "compose.yaml").read_text("utf-8").split("\nname:")[0]
    assert own == {"", "ostiary.acl", "ostiary.passwd"} and "make-acl.sh" in head and "make-logins.sh --to site" in head
    build = made["services"]["gate"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).is_file()
    for _, place in re.findall(r"^(password_file|acl_file) (\S+)$", (DEPLOY / "mosquitto.conf").read_text("utf-8"), re.MULTILINE):
        assert any(f":{place}:" in volume for volume in made["services"]["broker"]["volumes"]), place


def test_prometheus_reads_its_configuration(tmp_path: Path) -> None:
    text = (DEPLOY / "containers" / "prometheus.yml").read_text("utf-8")
    assert msgspec.yaml.decode(text.encode())["scrape_configs"][0]["static_configs"] == [{"targets": ["127.0.0.1:9464"]}]
    if shutil.which("promtool") is not None:
        (tmp_path / "alerts.yml").write_bytes((DEPLOY / "alerts.yml").read_bytes())
        (tmp_path / "prometheus.yml").write_text(text.replace("/etc/prometheus/", f"{tmp_path}/"))
        checked = subprocess.run(["promtool", "check", "config", str(tmp_path / "prometheus.yml")], capture_output=True, text=True)
        assert checked.returncode == 0, checked.stderr
