"""Rules of the house that no linter knows."""

import ast
import importlib
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import pyrite

ROOT = Path(__file__).resolve().parents[2]
CODE_FOLDERS = (
    "benchmarks",
    "dashboard",
    "firetasks",
    "launchers",
    "models",
    "tests",
    "workflows",
)
MAX_LINES = 400
PICKLING_MODULES = {"cloudpickle", "dill", "joblib", "pickle", "shelve"}
MARKDOWN_LINK = re.compile(r"!?\[[^\]]*\]\(<?([^)\s>]+)>?[^)]*\)")
CODE_BLOCK = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def code_files() -> list[Path]:
    rooms = [path for folder in CODE_FOLDERS for path in (ROOT / folder).rglob("*.py")]
    return sorted([*(ROOT / "src" / "pyrite").glob("*.py"), *rooms])


def pages() -> list[Path]:
    return sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def pins() -> dict[str, Version]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if not line.startswith("#")]
    return {canonicalize_name(name): Version(version) for name, version in pairs}


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda x: x.stem)
def test_benchmarks_know_what_they_import(path: Path) -> None:
    """Many are run by hand only."""
    try:
        importlib.import_module(f"benchmarks.{path.stem}")
    except ModuleNotFoundError as error:
        if error.name != "gpaw":  # needs more than pip
            raise


def test_version_is_the_changelogs_latest():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## \[([^\]]+)\]", changelog, re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert headings[1] == pyrite.__version__
    assert headings[1:] == sorted(headings[1:], key=Version, reverse=True)


def test_constraints_are_plain_pins():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    plain = re.compile(r"#.*|[A-Za-z0-9][A-Za-z0-9._-]*==[0-9][A-Za-z0-9.!]*")
    assert [line for line in lines if not plain.fullmatch(line)] == []
    names = [canonicalize_name(line.split("==")[0]) for line in lines if not line.startswith("#")]
    assert len(names) == len(set(names))


def test_constraints_leave_torchs_accelerator_to_torch():
    accelerator = re.compile(r"nvidia-(?!ml-py3$).*|cuda-.*|triton")
    assert [name for name in pins() if accelerator.fullmatch(name)] == []


def test_constraints_pin_every_dependency_within_its_bounds():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    lines = [*project["dependencies"], *(line for extra in extras for line in extra)]
    wanted = [Requirement(line) for line in lines]
    pinned = pins()
    outside = [
        str(requirement)
        for requirement in wanted
        if requirement.name != project["name"]
        and not requirement.specifier.contains(
            pinned[canonicalize_name(requirement.name)], prereleases=True
        )
    ]
    assert outside == []


def test_every_import_is_a_declared_dependency():
    """What reaches us only because another library happens to need it may go at any time."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    engines = (
        extras[name] for name in ("abinit", "benchmarks", "chgnet", "dashboard", "gpaw", "sevennet")
    )
    lines = chain(project["dependencies"], *engines)
    declared = {canonicalize_name(Requirement(line).name) for line in lines}
    declared.add("pydantic-core")  # one thing with pydantic, which pins it exactly
    homes = packages_distributions()
    undeclared = {
        name: relative(path)
        for path in code_files()
        if "tests" not in path.parts
        for name in _imported(ast.parse(path.read_text(encoding="utf-8")))
        if name not in sys.stdlib_module_names | {"pyrite", "benchmarks"}
        and declared.isdisjoint(canonicalize_name(home) for home in homes.get(name, [name]))
    }
    assert undeclared == {}


def _imported(tree: ast.AST) -> Iterator[str]:
    """Top-level names of the packages that a module imports, at once or later."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (name.name.partition(".")[0] for name in names)
            case ast.ImportFrom(module=str(module)):
                yield module.partition(".")[0]


def test_modules_stay_readable():
    lengths = {
        relative(path): len(path.read_text(encoding="utf-8").splitlines())
        for path in code_files()
        if "tests" not in path.parts
    }
    assert {path: length for path, length in lengths.items() if length >= MAX_LINES} == {}


def _pickling(tree: ast.AST) -> Iterator[ast.AST]:
    """Nodes that pickle: imports, loads that may run code, arrays of objects."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                if any(name.name.partition(".")[0] in PICKLING_MODULES for name in names):
                    yield node
            case ast.ImportFrom(module=str(module)):
                if module.partition(".")[0] in PICKLING_MODULES:
                    yield node
            case ast.Call(keywords=keywords):
                options = {
                    option.arg: option.value.value
                    for option in keywords
                    if isinstance(option.value, ast.Constant)
                }
                name = ast.unparse(node.func)
                if name == "torch.load" and options.get("weights_only") is not True:
                    yield node
                if options.get("allow_pickle"):
                    yield node


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("import pickle", 1),
        ("import numpy, joblib.memory", 1),
        ("from dill import loads", 1),
        ("torch.load(path)", 1),
        ("torch.load(path, weights_only=False)", 1),
        ("torch.load(path, weights_only=True)", 0),
        ("np.load(path, allow_pickle=True)", 1),
        ("np.load(path, allow_pickle=False)", 0),
        ("json.load(file)", 0),
    ],
)
def test_pickles_are_recognised(source, count):
    assert len(list(_pickling(ast.parse(source)))) == count


def test_nothing_is_pickled():
    found = [
        f"{relative(path)}:{node.lineno}"
        for path in code_files()
        for node in _pickling(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert found == []


def test_the_one_loop_is_lazy():
    """Only one module of the tasks knows workflows, and it imports them when it is called."""
    importers = {
        (relative(path), node.col_offset > 0)
        for path in (ROOT / "firetasks").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom) and "pyrite.workflows" in ast.unparse(node)
    }
    assert importers == {("firetasks/loop.py", True)}


def test_links_between_pages_resolve():
    broken = []
    links = 0
    for page in pages():
        text = CODE_BLOCK.sub("", page.read_text(encoding="utf-8"))
        for target in MARKDOWN_LINK.findall(text):
            if re.match(r"[a-z]+:|#", target):
                continue
            links += 1
            if not (page.parent / target.partition("#")[0]).exists():
                broken.append(f"{relative(page)}: {target}")
    assert broken == []
    assert links > 0
