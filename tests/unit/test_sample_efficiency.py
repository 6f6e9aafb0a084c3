"""The benchmark's bookkeeping: what counts as found, and that rows are kept."""

from pathlib import Path
from typing import Any

import pytest
from tests.unit.builders import caesium_chloride, rocksalt

from benchmarks import efficiency_rows, sample_efficiency, stored
from benchmarks.random_search import GROUND_STATES, TOLERANCE
from pyrite.documents import Crystal, EndedBy
from pyrite.models.known_structures import sought
from pyrite.results import Ledger, RankedCrystal, Result


def ranked(crystal: Crystal, energy: float, rank: int = 1) -> RankedCrystal:
    return RankedCrystal(
        rank=rank,
        candidate_ids=("c00000",),
        energy_ev_per_atom=energy,
        energy_above_lowest_ev_per_atom=0.0,
        space_group_symbol="P1",
        space_group_number=1,
        volume_a3_per_atom=crystal.volume_per_atom,
        converged=True,
        first_found_iteration=0,
        crystal=crystal,
    )


def result(*ranking: RankedCrystal) -> Result:
    return Result(
        search_id="test",
        iterations=1,
        ended_by=EndedBy.CONVERGENCE,
        ranking=ranking,
        ledger=Ledger(),
    )


def test_found_is_the_published_structure_with_its_energy() -> None:
    found = efficiency_rows.is_found
    best, other = ranked(rocksalt(), -3.4), ranked(caesium_chloride(), -3.4, rank=2)
    assert found(result(best), rocksalt(), -3.4)
    assert found(result(other, best), rocksalt(), -3.4 + 0.9 * TOLERANCE)
    assert not found(result(other), rocksalt(), -3.4)
    assert not found(result(best), rocksalt(), -3.4 + 1.1 * TOLERANCE)
    assert not found(result(), rocksalt(), -3.4)


@pytest.mark.parametrize("recipe", ["fast", "paper"])
@pytest.mark.parametrize("system", [*efficiency_rows.SYSTEMS, efficiency_rows.QUICK])
def test_searches_look_for_the_ground_state_of_the_baseline(system: str, recipe: str) -> None:
    config = efficiency_rows.configuration(system, recipe, "sevennet", 7)
    assert config.target is not None
    assert config.target.structure == GROUND_STATES[config.composition]
    assert sought(config) is not None
    assert (config.seed, config.reference.engine) == (7, "sevennet")
    if system in efficiency_rows.SYSTEMS:
        assert config.composition == efficiency_rows.SYSTEMS[system]
        assert config.recipe == ("paper" if recipe == "paper" else "pyrite")


def test_rows_are_kept_and_replaced_by_what_they_are_about(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    row: dict[str, Any] = {"system": "si16", "method": "pyrite", "recipe": "fast"}
    row |= {"reference": "chgnet", "seed": 1, "found": False}
    for one in (row, row | {"seed": 2}, row | {"found": True}):
        stored.update(path, lambda document, one=one: stored.with_row(one, document))
    rows = stored.read(path)["rows"]
    assert [(one["seed"], one["found"]) for one in rows] == [(1, True), (2, False)]
    assert not list(tmp_path.glob("*.part"))


def test_the_ratio_is_to_what_pyrite_needed() -> None:
    pyrite = {"method": "pyrite", "reference_calls_first_found": 40}
    random: dict[str, Any] = {"method": "random", "expected_reference_calls": 600}
    random["expected_reference_calls_at_least"] = None
    lucky = {"method": "cryspy-ea", "reference_calls_first_found": 100, "reference_calls": 100}
    unlucky = lucky | {"reference_calls_first_found": None, "reference_calls": 240}
    assert sample_efficiency.ratios([random, pyrite, lucky, unlucky]) == [
        "random needs 15.0 times Pyrite's calls",
        "cryspy-ea needs 2.5 times Pyrite's calls",
        "cryspy-ea needs more than 6.0 times Pyrite's calls",
    ]
    random |= {"expected_reference_calls": None, "expected_reference_calls_at_least": 80}
    assert "more than 2.0 times" in sample_efficiency.ratios([random, pyrite])[0]
    pyrite["reference_calls_first_found"] = None
    assert sample_efficiency.ratios([random, pyrite]) == ["no ratio: Pyrite did not find it"]
