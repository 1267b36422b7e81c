"""A disk that is full, tried with a limit on the size of files: the file is named, what was there stays, and nothing half is left."""

import errno
import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from daemon.edges import files
from tests.conftest import ROOT

LIMIT = 20_000


def limited(code: str, *arguments: Path, limit: int = LIMIT) -> subprocess.CompletedProcess[str]:
    """Run a program in which no file may grow beyond the limit: then a write fails as it does on a full disk."""
    start = "import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    start += f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
    command = [sys.executable, "-c", start + textwrap.dedent(code), *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_the_writer_of_files_names_its_file_and_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "bundle.onnx"
    target.write_bytes(b"the old one")
    done = limited(
        """
        import sys
        from pathlib import Path
        from daemon.edges.files import replace
        try:
            replace(Path(sys.argv[1]), bytes(100_000))
        except OSError as error:
            print(error.filename, error.errno)
        """,
        target,
    )
    assert done.stdout.split() == [str(target), str(errno.EFBIG)], done
    assert target.read_bytes() == b"the old one" and list(tmp_path.iterdir()) == [target]


def test_another_failure_leaves_nothing_half_either(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), files.replacing(tmp_path / "a") as file:
        file.write(b"half")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError) as told:
        files.replace(tmp_path / "no" / "a", b"")
    assert told.value.filename == str(tmp_path / "no" / "a")


COMMANDS = {
    "checkpoint": (
        "import numpy as np\nfrom daemon.edges.files import replacing",
        "with replacing(Path(sys.argv[1])) as file:\n    np.savez(file, a=np.random.default_rng(1).normal(size=9999), b=np.zeros(9999))",
    ),
    "report": (
        "from trainer.reports import page, measure",
        "import numpy as np\n"
        "from trainer.measure import metrics\n"
        "from trainer.people.data import Crops\n"
        "person = np.repeat(np.arange(8), 3)\n"
        "crops = Crops(np.random.default_rng(1).integers(0, 256, (24, 112, 112, 3)).astype(np.uint8), tuple('abcdefgh'), person,"
        " tuple(map(str, range(24))), '')\n"
        "vectors = np.random.default_rng(2).normal(size=(24, 8)).astype(np.float32)\n"
        "vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)\n"
        "page.write(Path(sys.argv[1]), measure.measure(vectors, crops, None, metrics.cosine, (), None, model='m', on='o'), crops)",
    ),
    "bundle": ("from daemon.edges.files import replace", "replace(Path(sys.argv[1]), bytes(100_000))"),
}


@pytest.mark.parametrize("what", COMMANDS)
def test_one_line_names_the_file(what: str, tmp_path: Path) -> None:
    """Through the command's own end, which turns an OSError into a line."""
    load, work = COMMANDS[what]
    done = limited(
        f"import sys, types\nfrom pathlib import Path\nimport trainer.__main__ as main\n{load}\n"
        f"def run(options):\n{textwrap.indent(work, '    ')}\n"
        "sys.modules['trainer.commands.compare'] = types.SimpleNamespace(run=run)\n"
        "sys.exit(main.main(['compare', 'x']))\n",
        tmp_path / "out",
    )
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    said = done.stderr[done.stderr.index("ostiary-train: ") :].splitlines()  # TensorFlow may have written before
    assert str(tmp_path / "out") in said[0] and "File too large" in said[0] and "hint: " in said[1]
    assert [path for path in left if path.suffix in (".tmp", ".part", "")] == []
    for path in left:
        json.loads(path.read_text())  # the report's figures, which were written whole before its page
