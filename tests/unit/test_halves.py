"""Two runs of pytest that are one: nothing runs twice, nothing is lost in silence."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests import halves

ROOT = Path(__file__).parents[2]
CONFTEST = """
from tests import halves

def pytest_addoption(parser):
    halves.add_options(parser)

def pytest_configure(config):
    if (half := halves.half(config)) is not None:
        config.pluginmanager.register(half)
"""
FILE = """
from pathlib import Path
import time

import pytest

def note():
    with Path("ran").open("a") as ran:
        ran.write(__name__ + " ")
    time.sleep(0.3)

def test_one():
    note()

def test_other():
    note()
"""
NAMES = ["test_a", "test_b", "test_c", "test_d"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text(FILE)
    (tmp_path / "pytest.ini").write_text(f"[pytest]\npythonpath = {ROOT}\n")
    (tmp_path / "shared").mkdir()
    return tmp_path


def start(project: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-pno:dash", *more]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)


def test_two_runs_share_the_files(project: Path) -> None:
    with ThreadPoolExecutor() as both:
        options = [("--shared=shared",), ("--shared=shared", "--second")]
        runs = list(both.map(lambda half: start(project, *half), options))
    assert [run.returncode for run in runs] == [0, 0], runs
    ran = (project / "ran").read_text().split()
    assert sorted(ran) == sorted(NAMES * 2)
    assert all(" passed" in run.stdout and "NOT RUN" not in run.stdout for run in runs), runs


def test_the_second_begins_at_the_end(project: Path) -> None:
    assert start(project, "--shared=shared", "--second").returncode == 0
    assert (project / "ran").read_text().split() == [name for name in NAMES[::-1] for _ in "12"]


def test_what_comes_too_late_is_named(project: Path) -> None:
    (project / "shared" / "test_b.py.taken").touch()  # the other run has it
    late = start(project, "--shared=shared", f"--until={time.time() - 1}")
    assert late.returncode == 0
    assert not (project / "ran").exists()
    assert late.stdout.count("NOT RUN: ") == 6
    assert "test_b.py" not in late.stdout


def test_a_run_can_be_stopped_within_a_file(project: Path) -> None:
    first = project / "test_a.py"
    first.write_text(FILE.replace("time.sleep(0.3)", 'Path("shared/stop").touch()'))
    stopped = start(project, "--shared=shared")
    assert (project / "ran").read_text().split() == ["test_a"]
    assert "NOT RUN: test_a.py::test_other" in stopped.stdout
    assert stopped.stdout.count("NOT RUN: ") == 7


def test_half_a_command_is_refused(project: Path) -> None:
    refused = start(project, "--second")
    assert refused.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--shared" in refused.stderr


def test_the_files_of_either_run_exist() -> None:
    assert all((ROOT / file).is_file() for file in (*halves.LAST, *halves.SECOND))
