"""What is installed, under which names, and how fast it answers."""

import importlib
import inspect
import os
import pkgutil
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from fireworks import FiretaskBase

import pyrite
import pyrite.firetasks

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("dashboard", "firetasks", "launchers", "models", "workflows")
FOUNDATIONS = ("__init__.py", "config.py", "documents.py", "errors.py", "py.typed")
BUILD_INPUTS = ("pyproject.toml", "LICENSE", "README.md", "MANIFEST.in", "src", *ROOMS)
HEAVY = (
    "ase",
    "atomate2",
    "dash",
    "flask",
    "matplotlib",
    "plotly",
    "pymatgen",
    "schnetpack",
    "sklearn",
    "torch",
)


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    unwanted = ("PYTHONPATH", "PYTHONSAFEPATH", "PYTHONWARNINGS")
    environment = {key: value for key, value in os.environ.items() if key not in unwanted}
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_are_relative_links(room):
    link = ROOT / "src" / "pyrite" / room
    assert link.readlink() == Path("..", "..", room)
    assert link.resolve() == ROOT / room
    assert (link / "__init__.py").is_file()


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_refuse_a_second_name(room):
    assert importlib.import_module(f"pyrite.{room}")
    finished = run(sys.executable, "-c", f"import {room}", cwd=ROOT)
    assert finished.returncode == 1
    assert f"ImportError: import pyrite.{room}, not {room}" in finished.stderr


@dataclass(frozen=True)
class Built:
    """Names of the files in each archive; the sdist's are relative to its top folder."""

    wheel: frozenset[str]
    sdist: frozenset[str]
    wheel_from_sdist: frozenset[str]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Built:
    """Archives built from a clean copy, so that litter of earlier builds cannot help."""
    tree = tmp_path_factory.mktemp("tree")
    litter = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for path in (ROOT / name for name in BUILD_INPUTS):
        if path.is_dir():
            shutil.copytree(path, tree / path.name, symlinks=True, ignore=litter)
        elif path.is_file():
            shutil.copy(path, tree)
    outputs = {"direct": ["--wheel"], "chain": []}  # without a choice: sdist, then wheel from it
    for output, choice in outputs.items():
        command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", output, *choice]
        finished = run(*command, cwd=tree)
        assert finished.returncode == 0, finished.stdout + finished.stderr
        shutil.rmtree(tree / "build", ignore_errors=True)
    (sdist,) = (tree / "chain").glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        assert not [member.name for member in archive if member.issym() or member.islnk()]
        sdist_files = [member.name.partition("/")[2] for member in archive if member.isfile()]
    return Built(
        _wheel_files(tree / "direct"), frozenset(sdist_files), _wheel_files(tree / "chain")
    )


def _wheel_files(folder: Path) -> frozenset[str]:
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return frozenset(archive.namelist())


def _expected_files() -> set[str]:
    """Paths below ``pyrite/`` that every installation must have."""
    modules = (path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
    presets = (ROOT / "workflows" / "presets").glob("*.yaml")
    rooms = {path.relative_to(ROOT).as_posix() for path in (*modules, *presets)}
    return rooms | {path.name for path in (ROOT / "src" / "pyrite").glob("*.py")} | {"py.typed"}


def test_wheel_has_every_file_and_nothing_else_at_the_top(built):
    expected = {f"pyrite/{name}" for name in _expected_files()}
    assert {f"pyrite/{name}" for name in FOUNDATIONS} <= expected
    assert "pyrite/workflows/presets/demo.yaml" in expected
    assert expected <= built.wheel
    tops = {name.partition("/")[0] for name in built.wheel}
    assert tops == {"pyrite", f"pyrite_csp-{pyrite.__version__}.dist-info"}
    assert f"pyrite_csp-{pyrite.__version__}.dist-info/licenses/LICENSE" in built.wheel


def test_sdist_has_every_file_as_a_file(built):
    expected = {f"src/pyrite/{name}" for name in _expected_files()}
    assert expected | {"LICENSE", "README.md", "pyproject.toml"} <= built.sdist
    tops = {name.partition("/")[0] for name in built.sdist}
    assert tops.isdisjoint(ROOMS)


def test_wheel_from_sdist_is_the_same(built):
    assert built.wheel_from_sdist == built.wheel


def test_every_firetask_is_named_under_pyrite():
    names = {}
    for info in pkgutil.walk_packages(pyrite.firetasks.__path__, "pyrite.firetasks."):
        module = importlib.import_module(info.name)
        for _, task in inspect.getmembers(module, inspect.isclass):
            if issubclass(task, FiretaskBase) and task.__module__ == info.name:
                names[f"{info.name}.{task.__qualname__}"] = task.__dict__.get("_fw_name")
    assert names
    assert names == {name: "{{" + name + "}}" for name in names}


def test_help_answers_within_a_second(tmp_path):
    command = str(Path(sysconfig.get_path("scripts"), "pyrite"))
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        finished = run(command, "--help", cwd=tmp_path)
        seconds.append(time.perf_counter() - start)
        assert finished.returncode == 0, finished.stderr
        assert "Usage" in finished.stdout
    assert min(seconds) < 1.0


def test_command_line_loads_nothing_heavy(tmp_path):
    code = "import sys, pyrite.launchers.cli; print(*sys.modules)"
    finished = run(sys.executable, "-c", code, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert not set(HEAVY) & set(finished.stdout.split())
