"""The package as a user gets it: built, installed in clean environments outside the checkout, and used there."""

from __future__ import annotations

import contextlib
import email
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

import recu_analysis
from tests.cli_runner import Done, run_cli
from tests.messages import says

pytestmark = pytest.mark.install
REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "recu_analysis"
RUN = REPOSITORY / "checkpoints/mask/recu"
#: The Python that runs the tests, which sees what is installed beside it; others get all but PyTorch from PyPI.
THIS = "this Python with PyTorch"
WITHOUT_TORCH = ["3.11", "3.12", "3.13"]
#: They read a run named recu, and write beside it.
COMMANDS = [
    "--version",
    "info recu",
    "verify recu",
    "dead-weights recu",
    "updates recu",
    "flips recu",
    "fit recu",
    "claims recu",
    "watch recu --once",
    "tradeoff",
    "figures recu -o figures",
    "report recu -o page.html",
]
RECORD = """
import torch
import recu_analysis as ra
from recu_analysis.nn import BinaryLinear

model = torch.nn.Sequential(BinaryLinear(12, 4))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
with ra.record(model, optimizer, "recorded", example=torch.ones(2, 12)) as recorder:
    model(torch.ones(2, 12)).sum().backward()
    optimizer.step()
    recorder.mark(epoch=0)
print(len(ra.open_run("recorded").windows), "windows")
"""


class Installed(NamedTuple):
    """A clean environment that has the wheel, and a folder outside the checkout that has a run."""

    venv: Path
    folder: Path
    has_torch: bool

    def call(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment in the folder; a warning is an error."""
        ours = {"COLUMNS": "80", "NO_COLOR": "1", "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error"}
        return call(self.venv / "bin" / program, *arguments, cwd=self.folder, env=outside() | ours)


def outside() -> dict[str, str]:
    """The variables of this process, those left out that show Python the checkout or another environment."""
    return {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}


def call(*words: object, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, **options)


def done(process: subprocess.CompletedProcess[str]) -> str:
    """What a process that did what it should wrote to standard output."""
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


def build(source: Path, folder: Path, *targets: str) -> Path:
    """Build a source tree into a folder, offline; the wheel."""
    pytest.importorskip("hatchling", reason="make test-install installs hatchling")
    done(call(sys.executable, "-m", "hatchling", "build", "-d", folder, *targets, cwd=source))
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the checkout; the sdist lies beside it."""
    return build(REPOSITORY, tmp_path_factory.mktemp("dist"))


def interpreter(version: str) -> str | Path | None:
    """A Python of that version on this machine; a pyenv shim on the PATH may start none."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for python in (shutil.which(f"python{version}"), *sorted(pyenv.glob(f"versions/{version}.*/bin/python"))):
        if python and call(python, "-c", "import ensurepip, venv").returncode == 0:
            return python
    return None


def requirements(wheel: Path) -> list[str]:
    """What the wheel says that it needs, without PyTorch."""
    with zipfile.ZipFile(wheel) as files:
        (path,) = (name for name in files.namelist() if name.endswith("/METADATA"))
        declared = email.message_from_bytes(files.read(path)).get_all("Requires-Dist")
    return [each for each in declared if "extra ==" not in each and not each.startswith("torch")]


@pytest.fixture(scope="module", params=[THIS, *WITHOUT_TORCH])
def installed(request: pytest.FixtureRequest, wheel: Path):
    """An environment, removed after the tests: one without PyTorch takes 0.7 GB."""
    python = sys.executable if request.param == THIS else interpreter(request.param)
    if python is None:
        pytest.skip(f"there is no Python {request.param} here")
    with tempfile.TemporaryDirectory() as folder:
        venv = Path(folder) / "venv"
        done(call(python, "-m", "venv", venv))
        pip = (venv / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        if request.param == THIS:
            (site,) = venv.glob("lib/python*/site-packages")
            # A path in a .pth file is not searched for others, so that an editable install of the checkout is not seen.
            (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
        else:
            declared = requirements(wheel)
            done(call(*pip, "-c", REPOSITORY / "constraints.txt", *declared, env=outside()))
        done(call(*pip, "--no-deps", wheel, env=outside()))
        shutil.copytree(RUN, Path(folder) / "away/recu")
        yield Installed(venv, Path(folder) / "away", request.param == THIS)


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Done]:
    """What each command prints in the checkout."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(RUN, folder / "recu")
    with contextlib.chdir(folder):
        return {command: run_cli(*command.split()) for command in COMMANDS}


def test_the_wheel_holds_every_file_of_the_package(wheel):
    files = {path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    expected = {str(path.relative_to(REPOSITORY)): path.read_bytes() for path in files}
    with zipfile.ZipFile(wheel) as packed:
        held = {name: packed.read(name) for name in packed.namelist() if ".dist-info/" not in name}
        more = {name.partition(".dist-info/")[2] for name in packed.namelist()} - {""}
    assert held == expected
    says(" ".join(held), "/py.typed", "/__init__.pyi", "/page.html", "/page.css", "/chart.js", "/table1_fixed_tau.csv")
    assert more == {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}


def test_the_sdist_builds_the_same_wheel(wheel, tmp_path):
    (packed,) = wheel.parent.glob("*.tar.gz")
    with tarfile.open(packed) as files:
        files.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    assert build(source, tmp_path / "dist", "-t", "wheel").read_bytes() == wheel.read_bytes()


def test_the_package_is_that_of_the_wheel(installed):
    code = "import recu_analysis as ra; print(ra.__file__); print(ra.dead_weights(ra.open_run('recu')).layer.iloc[0])"
    path, layer = done(installed.call("python", "-c", code)).splitlines()
    assert Path(path).is_relative_to(installed.venv)
    assert layer in recu_analysis.open_run(RUN).layer_names
    version = f"recu-analyze, version {recu_analysis.__version__}\n"
    assert done(installed.call("python", "-m", "recu_analysis", "--version")) == version


def test_commands_that_read_print_what_they_print_in_the_checkout(installed, printed):
    for command, expected in printed.items():
        process = installed.call("recu-analyze", *command.split())
        assert (process.returncode, process.stdout, process.stderr) == expected, command
        assert process.stdout + process.stderr
    drawn = [line.split()[1] for line in printed["figures recu -o figures"].stderr.splitlines() if " figures/" in line]
    assert {"figures/fig3.pdf", "figures/magnitude.pdf", "figures/mask.pdf"} <= set(drawn)
    for name in (*drawn, "page.html"):
        assert (installed.folder / name).stat().st_size > 0


def test_what_trains_runs_or_names_pytorch(installed):
    if installed.has_torch:
        assert done(installed.call("python", "-c", RECORD)) == "2 windows\n"
        return
    for arguments in ("-c", "import recu_analysis as ra; ra.record"), ("-m", "recu_analysis", "demo"):
        process = installed.call("python", *arguments)
        assert process.returncode == 1
        says(process.stderr.splitlines()[-1], "Error: PyTorch is not installed", "pip install torch")
    assert not (installed.folder / "runs").exists()
