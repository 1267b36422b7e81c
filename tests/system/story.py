"""The steps of the system test: what deploy/README.md tells an operator to do, and the faults that may come."""

import json
import subprocess
import time
from pathlib import Path

from daemon.demo.frames import FPS, WALK_S, enrolment_photo, jpeg, walking
from tests.conftest import ROOT
from tests.system.machine import Failed, Machine, say

PORT, USER, PASSWORD = 8554, "viewer", "p#ss/w?rd"
CHECK = "sudo -u ostiary ostiaryd check --config /etc/ostiary/config.toml"
INSTALL = "ostiary/deploy/install.sh --wheelhouse /mnt/wheels"
BACKUPS = "/var/lib/ostiary-backup"
NIGHT_S, STANDS_S = 4.0, 5.0
WATCHDOG_S = 30.0


def unpack(machine: Machine) -> None:
    """The source, as somebody would copy it to the gate; the enrolment photo with it."""
    target = machine.root / "root" / "ostiary"
    target.mkdir(parents=True)
    names = ("pyproject.toml", "README.md", "constraints.txt", "daemon", "trainer", "deploy")
    packed = subprocess.Popen(["tar", "--exclude=__pycache__", "-C", str(ROOT), "-c", *names], stdout=subprocess.PIPE)
    subprocess.run(["tar", "-x", "-C", str(target)], stdin=packed.stdout, check=True)
    (machine.root / "etc" / "hostname").write_text("gate1\n")
    (machine.root / "etc" / "hosts").write_text("127.0.0.1 localhost gate1\n::1 localhost gate1\n")
    (machine.root / "root" / "photo.jpg").write_bytes(enrolment_photo("collins"))


def pictures(folder: Path) -> Path:
    """What the camera shows, over and over: nobody, then a woman who walks up and stands, then nobody."""
    folder.mkdir()
    walk, night = int((WALK_S + STANDS_S) * FPS), int(NIGHT_S * FPS)
    shots = [walking(None, n, 1) for n in range(night)] + [walking("collins", n, 2) for n in range(walk)]
    for number, shot in enumerate(shots):
        (folder / f"{number:04}.jpg").write_bytes(jpeg(shot.image, 95))
    return folder


class Story:
    """The steps, in order. Each is what deploy/README.md tells an operator to do, or a fault."""

    def __init__(self, machine: Machine, shown: Path) -> None:
        self.machine, self.sh, self._shown = machine, machine.sh, shown
        self._camera: subprocess.Popen[bytes] | None = None

    def tell(self) -> None:
        """All steps. Raises Failed."""
        try:
            for step in (
                self.install, self.broker, self.configure, self.serve, self.enrol, self.timers, self.restore, self.credentials,
                self.upgrade, self.upgrade_that_the_check_refuses, self.upgrade_that_does_not_come_up, self.rollback, self.hang,
                self.signals, self.reboot, self.remove, self.remove_everything,
            ):  # fmt: skip
                say(f"\n== {step.__name__.replace('_', ' ')}: {(step.__doc__ or '').splitlines()[0]}")
                step()
        finally:
            self._camera_off()

    # ---- from nothing to a guarded gate

    def install(self) -> None:
        """From a bare Debian, without a network."""
        self.sh(f"time {INSTALL}", timeout_s=600)
        self.sh("ostiaryd --version; ostiaryctl schema >/dev/null && ls -l /usr/local/bin /opt/ostiary")
        self.sh("stat -c '%A %U:%G %n' /etc/ostiary/* /var/lib/ostiary/*")
        self.sh("systemctl is-enabled ostiary ostiary-backup.timer ostiary-audit.timer; systemctl list-timers 'ostiary-*' --no-pager")
        self.sh("systemd-analyze verify --man=no /etc/systemd/system/ostiary*.service /etc/systemd/system/ostiary*.timer")
        for unit in ("ostiary", "ostiary-backup", "ostiary-audit"):
            self.sh(f"systemd-analyze security --threshold=15 --no-pager {unit} | tail -n 1")
        self.sh(f"{INSTALL} | tail -n 6")

    def broker(self) -> None:
        """With a login for each role and the access list."""
        self.sh("install -m 644 ostiary/deploy/mosquitto.conf /etc/mosquitto/conf.d/ostiary.conf")
        self.sh("ostiary/deploy/make-acl.sh acme north | sudo install -m 640 -o root -g mosquitto /dev/stdin /etc/mosquitto/ostiary.acl")
        self.sh("ostiary/deploy/make-logins.sh gate-north badge-north door-north display hr admin")
        self.sh("systemctl restart mosquitto && systemctl is-active mosquitto && grep -i warn /var/log/mosquitto/mosquitto.log", ends=1)

    def configure(self) -> None:
        """An RTSP camera with a password that a URL could not carry."""
        self._camera_on()
        self.sh(f"printf '%s\\n' '{PASSWORD}' | install -m 640 -o root -g ostiary /dev/stdin /etc/ostiary/camera-password")
        source = f"rtsp://127.0.0.1:{PORT}/gate"
        edits = (
            f's|^source = .*|source = "{source}"|',
            '0,/^password_file = ""/s||password_file = "/etc/ostiary/camera-password"|',
            f'0,/^username = ""/s||username = "{USER}"|',
            's|^username = ""|username = "gate-{gate}"|',
            '/^username = "gate/,$s|^password_file = ""|password_file = "/etc/ostiary/mqtt-password-{gate}"|',
            's|^trust = .*|trust = "always"|',
        )
        self.sh("sed -i " + " ".join(f"-e '{edit}'" for edit in edits) + " /etc/ostiary/config.toml")
        self.sh("grep -nE '^(source|password_file|username|trust)' /etc/ostiary/config.toml")

    def serve(self) -> None:
        """Every part works, and the unit is ready."""
        self.sh(CHECK)
        self.sh(
            "echo 'a device' | install -m 640 -o root -g video /dev/stdin /run/like-a-camera && systemd-run --quiet --pipe --wait"
            " -p User=ostiary -p PrivateUsers=yes -p PrivateMounts=yes cat /run/like-a-camera"
        )
        self.sh("systemctl start ostiary && systemctl status ostiary --no-pager --lines=8")

    def enrol(self) -> None:
        """From one photo, as the commands stand in README.md; then the camera sees her."""
        self.sh("""tee /etc/ostiary/client.toml <<'END'
site = "acme"
gate = "north"
username = "admin"
password_file = "/etc/ostiary/logins/admin"
END""")
        self.sh("ostiaryctl status")
        self.sh("ostiaryctl --config /etc/ostiary/config.toml enroll E1042 --image photo.jpg --name 'E. Collins'")
        self.accepted()
        self.sh("ostiaryctl list")

    # ---- what runs at night

    def timers(self) -> None:
        """Backups that expire, the audit check, and failures that are seen."""
        self.sh("systemctl start ostiary-backup; systemctl show -p ConditionResult --value ostiary-backup")
        self.sh("openssl rand -base64 24 | install -m 600 /dev/stdin /etc/ostiary/backup-passphrase")
        self.sh(f"install -d -m 700 -o ostiary -g ostiary {BACKUPS} && sudo -u ostiary touch -d '9 days ago' {BACKUPS}/2026-01-01-000000")
        self.sh(f"systemctl start ostiary-backup && journalctl -u ostiary-backup -n 3 -o cat --no-pager && ls -l {BACKUPS}")
        if "2026-01-01" in self.sh(f"ls {BACKUPS}", shown=False):
            raise Failed("a backup of nine days ago is still there")
        self.sh("systemctl start ostiary-audit && journalctl -u ostiary-audit -n 3 -o cat --no-pager")
        self.sh("cp -a /etc/ostiary/backup-passphrase kept && echo short > /etc/ostiary/backup-passphrase")
        self.sh("systemctl start ostiary-backup", ends=1)
        self.machine.until_said("journalctl -p err -o cat --no-pager", "ostiary-backup.service failed")
        self.sh("systemctl --failed --no-pager | head -n 3; journalctl -p err -t ostiary -o cat --no-pager")
        self.sh("journalctl -u ostiary-backup -n 6 -o cat --no-pager")
        self.sh(f"mv kept /etc/ostiary/backup-passphrase; systemctl start ostiary-backup && ls {BACKUPS} | wc -l")

    def restore(self) -> None:
        """The newest backup, in place of the gallery that is there."""
        newest = self.sh(f"ls {BACKUPS} | tail -n 1", shown=False).strip()
        self.sh("systemctl stop ostiary")
        self.sh(
            "systemd-run --quiet --pipe --wait -p User=ostiary -p LoadCredential=words:/etc/ostiary/backup-passphrase sh -c 'ostiaryd"
            f" restore {BACKUPS}/{newest} --replace --passphrase-file $CREDENTIALS_DIRECTORY/words --config /etc/ostiary/config.toml'"
        )
        self.sh("systemctl start ostiary")
        self.accepted()

    def credentials(self) -> None:
        """The key apart from the store, sealed to this machine, as README.md says."""
        self.sh("systemctl stop ostiary && mv /var/lib/ostiary/key /etc/ostiary/ostiary.key && chown root:root /etc/ostiary/ostiary.key")
        plain = "/etc/ostiary/ostiary.key"
        for line in (f"LoadCredential=ostiary.key:{plain}", f"LoadCredentialEncrypted=ostiary.key:{plain}.cred"):
            if "Encrypted" in line:
                self.sh(f"systemd-creds encrypt --name=ostiary.key {plain} {plain}.cred && mv {plain} kept.key")
            for unit in ("ostiary", "ostiary-backup", "ostiary-audit"):
                folder = f"/etc/systemd/system/{unit}.service.d"
                self.sh(f"mkdir -p {folder} && printf '[Service]\\n{line}\\n' > {folder}/override.conf")
            self.sh("systemctl daemon-reload && systemctl restart ostiary && systemctl is-active ostiary")
            self.sh("systemctl start ostiary-backup ostiary-audit && systemctl is-failed ostiary-backup ostiary-audit", ends=1)
        self.accepted()

    # ---- upgrades

    def upgrade(self) -> None:
        """To a new version, which is checked and waited for."""
        self.sh("sed -i 's/^version = .*/version = \"0.1.1\"/' ostiary/pyproject.toml")
        self.sh(f"mkdir -p ostiary/build/lib/daemon && touch ostiary/build/lib/daemon/gone.py && {INSTALL}", timeout_s=600)
        self.serves("0.1.1")
        self.sh("test ! -e /opt/ostiary/venv/lib/python3*/site-packages/daemon/gone.py && ostiary/deploy/install.sh --list")
        self.accepted()

    def upgrade_that_the_check_refuses(self) -> None:
        """A version that cannot work with this configuration: nothing is switched."""
        self.sh("sed -i 's/^version = .*/version = \"0.1.2\"/' ostiary/pyproject.toml")
        self.sh("sed -i 's/^SCHEMA = .*/SCHEMA = 3/' ostiary/daemon/edges/store/schema.py")
        before = self.sh("systemctl show -p ExecMainPID --value ostiary", shown=False)
        self.sh(INSTALL, ends=1, timeout_s=600)
        self.serves("0.1.1")
        if self.sh("systemctl show -p ExecMainPID --value ostiary", shown=False) != before:
            raise Failed("the daemon was restarted although nothing was switched")
        self.sh("sed -i 's/^SCHEMA = .*/SCHEMA = 2/' ostiary/daemon/edges/store/schema.py")

    def upgrade_that_does_not_come_up(self) -> None:
        """A version that passes its check and ends at its start: the version before serves again by itself."""
        self.sh("sed -i 's/^version = .*/version = \"0.1.3\"/' ostiary/pyproject.toml; cp ostiary/daemon/cli/run.py kept.py")
        self.sh("sed -i 's/^    app.run(.*/    raise RuntimeError(\"this version cannot run\")/' ostiary/daemon/cli/run.py")
        self.sh(f"time {INSTALL}", ends=1, timeout_s=600)
        self.sh("cp kept.py ostiary/daemon/cli/run.py")
        self.serves("0.1.1")
        self.sh("ostiaryctl list")

    def rollback(self) -> None:
        """By hand, from the installed files alone."""
        self.sh("/opt/ostiary/venv/share/ostiary/install.sh --rollback")
        self.serves("0.1.0")
        self.accepted()
        self.sh("/opt/ostiary/venv/share/ostiary/install.sh --rollback | tail -n 1")
        self.serves("0.1.1")

    # ---- faults

    def hang(self) -> None:
        """An engine that is stopped is killed by the watchdog and started again."""
        before = self.sh("systemctl show -p NRestarts --value ostiary", shown=False).strip()
        self.sh("kill -STOP $(systemctl show -p ExecMainPID --value ostiary)")
        after = str(int(before) + 1)
        took = self.machine.until_said("systemctl show -p NRestarts --value ostiary", after, 3 * WATCHDOG_S)
        took += self.machine.until_said("systemctl is-active ostiary", "active\n")
        say(f"  … active again after {took:.0f} s")
        self.sh("journalctl -u ostiary -o cat --no-pager | grep -iE 'watchdog' | tail -n 3")
        self.accepted()

    def signals(self) -> None:
        """Killed, ended, and hung up: it always comes back; a configuration that cannot work is not tried again."""
        for signal in ("KILL", "TERM", "HUP"):
            self.sh(f"kill -{signal} $(systemctl show -p ExecMainPID --value ostiary)")
            time.sleep(3)
            took = self.machine.until_said("systemctl is-active ostiary", "active\n") + 3
            say(f"  … active {took:.0f} s later")
        self.sh("cp -a /etc/ostiary/config.toml kept.toml && echo 'sitte = 1' | cat - kept.toml > /etc/ostiary/config.toml")
        self.sh("systemctl restart ostiary", ends=1)
        time.sleep(5)
        self.sh("systemctl show -p ActiveState,NRestarts,ExecMainStatus ostiary; journalctl -u ostiary -n 5 -o cat --no-pager")
        if "failed" not in self.sh("systemctl is-failed ostiary", ends=None, shown=False):
            raise Failed("a configuration that cannot work was tried again")
        self.sh("cp -a kept.toml /etc/ostiary/config.toml && systemctl restart ostiary && systemctl is-active ostiary")

    def reboot(self) -> None:
        """Everything serves again by itself."""
        self._camera_off()
        self.machine.reboot()
        self._camera_on()
        took = self.machine.until_said("systemctl is-active ostiary", "active\n")
        say(f"  … active {took:.0f} s after the system was up")
        self.accepted()

    # ---- taking off

    def remove(self) -> None:
        """Without --purge people and configuration stay, and a new installation serves them."""
        self.sh("ostiary/deploy/uninstall.sh --yes")
        self.sh("ls -A /opt /usr/local/bin; ls -A /etc/ostiary /var/lib/ostiary; id ostiary")
        self.sh(f"{INSTALL} | tail -n 2 && systemctl start ostiary", timeout_s=600)
        self.accepted()

    def remove_everything(self) -> None:
        """With --purge nothing is left."""
        self._camera_off()
        self.sh("ostiary/deploy/uninstall.sh --purge", ends=1)
        self.sh("ostiary/deploy/uninstall.sh --purge --yes")
        self.sh("rm -rf ostiary")
        left = self.sh("find / -xdev -iname '*ostiary*' -not -path '/proc/*'; getent passwd ostiary; getent group ostiary", ends=None)
        if left.strip():
            raise Failed(f"left behind: {left}")
        self.sh("systemctl list-units --all 'ostiary*' --no-pager | tail -n 1; systemctl is-active mosquitto")

    # ---- what the steps share

    def accepted(self) -> None:
        """The woman at the camera is accepted. Raises Failed."""
        said = self.sh("ostiaryctl watch --seconds 60 --count 1 --json", shown=False, ends=None, timeout_s=90)
        deadline = time.monotonic() + 60
        while '"decision":"accept"' not in said.replace(" ", "") and time.monotonic() < deadline:
            said = self.sh("ostiaryctl watch --seconds 30 --count 1 --json", shown=False, ends=None, timeout_s=90)
        try:
            seen = json.loads(said.splitlines()[-1])
            line = {key: seen[key] for key in ("decision", "reason", "person", "live", "similarity", "sequence") if key in seen}
        except (ValueError, IndexError):
            raise Failed(f"no decision: {said}") from None
        say(f"  the gate says: {json.dumps(line)}")
        if seen["decision"] != "accept" or seen["person"] != "E1042":
            raise Failed("she is not accepted")

    def serves(self, version: str) -> None:
        """Which version the running daemon is. Raises Failed for another."""
        self.machine.until_said("systemctl is-active ostiary", "active\n")
        program = self.sh("readlink -f /opt/ostiary/venv; ostiaryctl status --json | tail -n 1", shown=False)
        if f'"version":"{version}"' not in program.replace(" ", ""):
            raise Failed(f"not {version}: {program}")
        say(f"  serves: {program.splitlines()[0]}")

    def _camera_on(self) -> None:
        program = ["/usr/bin/python3", str(ROOT / "tests/system/camera.py"), str(self._shown), str(PORT), str(FPS), USER, PASSWORD]
        self._camera = subprocess.Popen(self.machine.inside(*program, only_network=True))
        self.machine.until_said("ss -ltn", f":{PORT}")

    def _camera_off(self) -> None:
        if self._camera is not None:
            self._camera.kill()
            self._camera.wait(10)
            self._camera = None
