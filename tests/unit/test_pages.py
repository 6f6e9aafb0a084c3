"""Tables of the README and the docs are what stored results say."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from benchmarks import generations_table, readme_table, sample_efficiency_table, stored
from benchmarks.efficiency_rows import configuration, settings_of
from benchmarks.pages import WRITERS
from benchmarks.sections import COMMAND, RESULTS, Section


@pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: writer.SECTION.name)
def test_a_page_says_what_the_results_say(writer: ModuleType) -> None:
    assert writer.SECTION.is_current(writer.body()), f"run: {COMMAND}"


def test_a_page_without_marks_is_refused(tmp_path: Path) -> None:
    section = Section(tmp_path / "page.md", "sums")
    section.page.write_text(f"a\n{section.begin}old\n{section.end}z")
    assert not section.is_current("new")
    section.write("new")
    assert section.page.read_text() == f"a\n{section.begin}\nnew\n\n{section.end}z"
    assert section.is_current("new")
    with pytest.raises(ValueError, match=r"page.md has not both marks of 'sums'"):
        section.put(f"a\n{section.end}", "new")


def test_savings_are_told_with_all_seeds() -> None:
    about = {"system": "na8cl8", "reference": "sevennet"}

    def search(seed: int, first: int | None, every: int) -> dict[str, Any]:
        row = about | {"method": "pyrite", "recipe": "fast", "seed": seed, "found": True}
        row |= {"reference_calls": every, "reference_calls_converged": every}
        row |= {"reference_calls_known": first and 2 * first}
        return row | {"reference_calls_first_found": first}

    relaxed = {"calls": [150, 50], "success": [True, False]}
    random = about | {"method": "random", "recipe": "pool", "seed": 1}
    random |= {"generators": {"p1": {"relaxed": relaxed}}}
    told = readme_table.table([search(2, 10, 50), search(1, 30, 150), random]).splitlines()[2:]
    cells = [cell.strip() for cell in told[0].strip("|").split("|")]
    assert cells[2:7] == ["2 of 2", "30, 10", "60, 20", "150, 50", "200"]
    assert [cell.partition(" ")[0] for cell in cells[7:]] == ["10", "5", "2"], "200 calls by 20"
    told = readme_table.table([search(1, None, 150), random]).splitlines()[2:]
    assert told[0].endswith("| 150 | 200 | – | – | 1 |"), "of one search no spread is known"


def test_generations_are_told_where_there_is_a_second_one() -> None:
    about = {"system": "si16", "recipe": "authors", "reference": "sevennet"}
    first = [0.5] * 19 + [None]

    def row(method: str, seed: int, *then: float | None) -> dict[str, Any]:
        above = {"energy_above_ground_ev_per_atom": [*first, *then]}
        return about | {"method": method, "seed": seed, "relaxed": above}

    rows = [row("cryspy-ea", 1, 0.1, 0.2, 0.4), row("cryspy-rs", 1, None), row("cryspy-ea", 2, 0.1)]
    rows += [row("cryspy-ea", 3), row("cryspy-rs", 3, 0.1)]
    told = generations_table.table(rows).splitlines()
    assert told[2:] == ["| Si16 | authors | 1 | 500, 500 (19) | – | 100, 200 (3) |"]


def test_a_row_of_other_settings_than_todays_says_so() -> None:
    about = {"system": "na8cl8", "method": "pyrite", "recipe": "fast", "seed": 1}
    row: dict[str, Any] = about | {"reference": "sevennet"}
    row["settings"] = settings_of(configuration("na8cl8", "fast", "sevennet", 1))
    assert sample_efficiency_table.told(row) == row
    row["settings"]["selection"]["labels"] += 1
    assert sample_efficiency_table.told(row)["recipe"] == "fast, earlier settings"


def test_seeds_that_chose_nothing_are_held_out() -> None:
    about = {"system": "na8cl8", "method": "pyrite", "recipe": "fast", "reference": "sevennet"}
    rows = []
    for labels in (25, 26):
        settings = settings_of(configuration("na8cl8", "fast", "sevennet", 4))
        settings["selection"]["labels"] = labels
        rows.append(about | {"seed": 4, "settings": settings})
    recipes = [sample_efficiency_table.told(row)["recipe"] for row in rows]
    assert recipes == ["fast, held out", "fast, earlier settings, held out"]


@pytest.mark.parametrize(
    "path", sorted(RESULTS.glob("sample_efficiency-*.json")), ids=lambda path: path.stem
)
def test_every_stored_row_says_what_it_is_about_and_what_it_cost(path: Path) -> None:
    always = {"system", "method", "recipe", "reference", "seed", "found"}
    always |= {"reference_calls_first_found", "reference_calls_converged"}
    baselines = {"expected_reference_calls", "expected_reference_calls_95"}
    for row in stored.read(path)["rows"]:
        wanted = always if row["method"] == "pyrite" else always | baselines
        assert wanted <= row.keys(), stored.key(row)
