"""Rankings as files and tables."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from ase.build import bulk
from ase.io import read
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure
from rich.console import Console

from pyrite.config import SearchConfig
from pyrite.documents import Crystal, EndedBy, Search, SearchState
from pyrite.errors import ConfigError
from pyrite.launchers.export import export
from pyrite.launchers.formats import Format
from pyrite.launchers.tables import ledger_lines, ranking_table, results_document
from pyrite.results import Ledger, RankedCrystal, Result


def ranked(rank: int, structure: str, a: float) -> RankedCrystal:
    return RankedCrystal(
        rank=rank,
        candidate_ids=(f"c{rank}",),
        energy_ev_per_atom=-3.5 + 0.05 * (rank - 1),
        energy_above_lowest_ev_per_atom=0.05 * (rank - 1),
        space_group_symbol="Fm-3m" if rank == 1 else "Pm-3m",
        space_group_number=225 if rank == 1 else 221,
        volume_a3_per_atom=a**3 / 8,
        converged=rank == 1,
        first_found_iteration=2 if rank == 1 else None,
        crystal=Crystal.from_atoms(bulk("NaCl", structure, a=a)),
    )


@pytest.fixture
def result() -> Result:
    return Result(
        search_id="mine",
        iterations=4,
        ended_by=EndedBy.MAX_ITERATIONS,
        ranking=(ranked(1, "rocksalt", 5.6), ranked(2, "cesiumchloride", 3.4)),
        ledger=Ledger(
            reference_calls=300,
            reference_calls_first_found=120,
            reference_seconds=12,
            failed_labels=3,
        ),
    )


@pytest.mark.parametrize(("kind", "ending"), [(Format.CIF, ".cif"), (Format.POSCAR, ".vasp")])
def test_structures_are_read_back(result, tmp_path, kind: Format, ending: str) -> None:
    paths = export(result, kind, tmp_path / "new" / "directory")
    assert [path.name for path in paths] == [f"mine-1{ending}", f"mine-2{ending}"]
    for path, one in zip(paths, result.ranking, strict=True):
        text = path.read_text()
        found = Structure.from_str(text, fmt="cif" if kind is Format.CIF else "poscar")
        assert StructureMatcher(scale=False).fit(found, one.crystal.to_structure())


def test_extxyz_has_all_crystals_with_energies(result, tmp_path) -> None:
    (path,) = export(result, Format.EXTXYZ, tmp_path)
    frames: Any = read(path, index=":")
    assert [frame.info["rank"] for frame in frames] == [1, 2]
    assert frames[0].get_potential_energy() / len(frames[0]) == pytest.approx(-3.5)
    assert frames[1].cell.volume == pytest.approx(3.4**3)


def test_csv_has_a_line_per_crystal(result, tmp_path) -> None:
    (path,) = export(result, Format.CSV, tmp_path)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["formula"] for row in rows] == ["NaCl", "NaCl"]
    assert [row["space_group_number"] for row in rows] == ["225", "221"]
    assert float(rows[1]["energy_above_lowest_ev_per_atom"]) == pytest.approx(0.05)


def test_a_directory_that_cannot_be_made(result, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="choose another directory"):
        export(result, Format.CIF, tmp_path / "file")


def test_table_and_ledger(result) -> None:
    console = Console(file=io.StringIO(), width=120)
    console.print(ranking_table(result))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for words in ("-3.5000", "50.0", "Fm-3m (225)", "21.95", "mine"):
        assert words in text
    lines = " ".join(ledger_lines(result))
    for words in ("max iterations after 4", "300 in all, 120 until", "failed labels: 3"):
        assert words in lines
    assert "SCF" not in lines, "this reference has none"
    ledger = result.ledger.model_copy(update={"scf_cycles": 4500})
    lines = " ".join(ledger_lines(result.model_copy(update={"ledger": ledger})))
    assert "until the first crystal was found, 4500 SCF cycles; failed" in lines


class OneSearch:
    """Stands in for a store."""

    def __init__(self, result: Result | None) -> None:
        self.found = result

    def get_search(self, name: str) -> Search:
        state = SearchState.DONE if self.found else SearchState.RUNNING
        config = SearchConfig(composition="NaCl", name=name)
        return Search(search_id=name, config=config, state=state, created=0.0)

    def result(self, name: str) -> Result | None:
        return self.found

    def nothing(self, name: str) -> list[Any]:
        return []

    iterations = labels = members_facts = shard_costs = validations = nothing


def test_results_document(result) -> None:
    document = json.loads(json.dumps(results_document(OneSearch(result), "mine")))  # type: ignore[arg-type]
    assert list(document) == [
        *("name", "composition", "state", "iterations", "ended_by", "ranking", "ledger")
    ]
    assert document["ended_by"] == "max_iterations"
    assert set(document["ranking"][0]) == {
        "rank",
        "energy_ev_per_atom",
        "energy_above_lowest_ev_per_atom",
        "space_group_symbol",
        "space_group_number",
        "volume_a3_per_atom",
        "converged",
        "residual_stress_gpa",
        "first_found_iteration",
        "reference_calls_first_found",
        "structure",
    }
    structure = Structure.from_dict(document["ranking"][0]["structure"])
    assert structure.composition.reduced_formula == "NaCl"
    assert set(document["ledger"]) == {
        "reference_calls",
        "reference_calls_first_found",
        "scf_cycles",
        "reference_seconds",
        "training_seconds",
        "relaxation_seconds",
        "failed_labels",
        "label_problems",
        "target",
    }


def test_results_before_the_end() -> None:
    document = results_document(OneSearch(None), "mine")  # type: ignore[arg-type]
    assert (document["state"], document["ended_by"]) == ("running", None)
    assert (document["ranking"], document["iterations"]) == ([], 0)
    assert document["ledger"]["reference_calls"] == 0
