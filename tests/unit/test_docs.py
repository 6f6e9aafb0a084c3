"""The documentation says what the program does."""

import importlib.util
import re
import shlex
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer.main

from pyrite.config import SearchConfig
from pyrite.launchers.cli import app
from pyrite.mongo import KINDS
from pyrite.paper import PAPER
from pyrite.search_file import load_search
from pyrite.settings import PREFIX, Settings

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = (ROOT / "README.md", *sorted(DOCS.glob("*.md")))
KEY_ROW = re.compile(r"^\| `([a-z_.]+)` \| (`[^|]*`|–) \|", re.MULTILINE)
SETTING_ROW = re.compile(r"^\| `(PYRITE_[A-Z_]+)` \| `?([^`|]+?)`? \|", re.MULTILINE)
COLLECTION_ROW = re.compile(r"^\| `([a-z_]+)` \| .* \| ([a-z_, ]+) \|$", re.MULTILINE)


def read(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def blocks(language: str) -> list[tuple[str, str]]:
    pattern = re.compile(rf"^```{language}\n(.*?)^```", re.MULTILINE | re.DOTALL)
    return [
        (page.name, block)
        for page in PAGES
        for block in pattern.findall(page.read_text(encoding="utf-8"))
    ]


@pytest.fixture(scope="module")
def writer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("search_file_writer", DOCS / "search_file.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_of_the_search_file_is_current(writer: ModuleType) -> None:
    text = read("search-file.md")
    assert writer.BEGIN in text
    assert writer.END in text
    assert writer.page(text) == text, "run: python docs/search_file.py"


def test_every_key_has_a_row_with_its_meaning(writer: ModuleType) -> None:
    rows = re.findall(
        r"^\| `([a-z_.]+)` \| .*? \| .*? \| (.*) \|$", writer.reference(), re.MULTILINE
    )
    leaves = set(_defaults(SearchConfig(composition="NaCl").model_dump(mode="json")))
    assert {key for key, _ in rows} >= leaves - {"target"}
    assert [key for key, meaning in rows if not meaning.strip()] == []


def test_defaults_that_the_method_names_are_current(writer: ModuleType) -> None:
    defaults = _defaults(SearchConfig(composition="NaCl").model_dump(mode="json"))
    rows = KEY_ROW.findall(read("method.md"))
    assert len(rows) > 20
    assert dict(rows) == {key: writer.shown(defaults[key]) for key, _ in rows}
    paper = {
        f"{section}.{key}": value for section in PAPER for key, value in PAPER[section].items()
    }
    assert {key for key in paper if paper[key] != defaults[key]} == {key for key, _ in rows}


def _defaults(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            found |= _defaults(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


@pytest.mark.parametrize(("page", "text"), blocks("yaml"))
def test_every_search_file_that_is_shown_is_valid(page: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / "search.yaml"
    path.write_text(text)
    assert load_search(path).name


@pytest.mark.parametrize(
    "line",
    sorted(
        {
            line.partition("#")[0].strip()
            for _, block in blocks("sh")
            for line in block.splitlines()
            if line.startswith("pyrite ")
        }
    ),
)
def test_every_command_that_is_shown_can_be_parsed(line: str) -> None:
    command: Any = typer.main.get_command(app)
    words = shlex.split(line)[1:]
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    assert command.make_context("pyrite", words)


def test_every_machine_setting_is_documented_with_its_default() -> None:
    rows = dict(
        re.findall(
            r"^\| `(PYRITE_[A-Z_]+)` \| `?([^`|]+?)`? \|", read("operations.md"), re.MULTILINE
        )
    )
    fields = Settings.model_fields.items()
    expected = {
        PREFIX + name.upper(): "–"
        if field.default is None
        else f"{field.default}".removesuffix(".0")
        for name, field in fields
    }
    assert rows == expected


def test_every_collection_is_documented_with_its_key() -> None:
    rows = dict(
        re.findall(
            r"^\| `([a-z_]+)` \| .* \| ([a-z_, ]+) \|$", read("architecture.md"), re.MULTILINE
        )
    )
    assert rows == {kind.collection: ", ".join(kind.key) for kind in KINDS.values()}
