from pathlib import Path

import pytest

from daemon.config import ConfigError, read_secret


def test_secrets(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2\n")
    assert read_secret(str(tmp_path / "secret"), "mqtt.password_file") == "hunter2"
    (tmp_path / "empty").write_text("")
    for name in ("empty", "absent"):
        with pytest.raises(ConfigError, match=r"mqtt\.password_file"):
            read_secret(str(tmp_path / name), "mqtt.password_file")
