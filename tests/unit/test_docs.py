"""The documentation says what the program does."""

import importlib
import importlib.util
import json
import re
import shlex
from pathlib import Path
from statistics import mean
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
RUN_ROW = re.compile(r"^\| `([A-Za-z0-9-]+)` \| (\d+) \|.*$", re.MULTILINE)


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


def test_costs_of_random_search_are_those_that_were_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A row may lag behind a run that goes on, but it must be what its samples say."""
    monkeypatch.syspath_prepend(str(ROOT))
    table = importlib.import_module("benchmarks.random_table")
    runs = json.loads(table.RESULTS.read_text(encoding="utf-8"))
    rows = list(RUN_ROW.finditer(read("benchmarks.md")))
    assert rows
    for found in rows:
        key, samples = found[1], int(found[2])
        assert samples <= len(runs[key]["samples"])
        assert found[0] == table.row(key, runs[key], samples), (
            "run: python -m benchmarks.random_table"
        )


def test_savings_in_the_readme_are_those_that_were_measured() -> None:
    results = ROOT / "benchmarks" / "results" / "sample_efficiency-sevennet.json"
    rows = json.loads(results.read_text(encoding="utf-8"))["rows"]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    told = re.findall(
        r"^\| \w+ \| `(\w+)-fast` \| (\d) of 3 \| ([\d, –]+) \| ([\d, ]+) \| (\d+) \| "
        r"(\d+|–) \| (\d+) \|$",
        readme,
        re.MULTILINE,
    )
    assert len(told) == 4
    for system, found, first, total, random, until_found, in_all in told:
        mine = [row for row in rows if row["system"] == system]
        searches = sorted(
            (row for row in mine if row["method"] == "pyrite"), key=lambda row: row["seed"]
        )
        (baseline,) = (row for row in mine if row["method"] == "random")
        calls, every = (
            [row[name] for row in searches]
            for name in ("reference_calls_first_found", "reference_calls_converged")
        )
        assert int(found) == sum(row["found"] for row in searches)
        assert first == ("–" if None in calls else ", ".join(map(str, calls)))
        assert total == ", ".join(map(str, every))
        assert int(random) == baseline["expected_reference_calls"]
        assert until_found == ("–" if None in calls else f"{int(random) / mean(calls):.0f}")
        assert in_all == f"{int(random) / mean(every):.0f}"
