"""Variants are searches, and the table says what the rows say."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import ablations, ablations_table, sample_efficiency_table
from benchmarks.efficiency_rows import SYSTEMS, settings_of


@pytest.mark.parametrize("variant", [one for one in ablations.VARIANTS if one != ablations.PRESET])
@pytest.mark.parametrize("system", SYSTEMS)
def test_a_variant_differs_from_the_preset(system: str, variant: str) -> None:
    preset, varied = (
        settings_of(ablations.varied(system, name, "sevennet", 1))
        for name in (ablations.PRESET, variant)
    )
    sections = {name for name in preset if preset[name] != varied[name]}
    assert sections == set(ablations.VARIANTS[variant])


def test_only_rows_of_todays_presets_stand_beside_the_variants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = {"system": "ga8as8", "method": "pyrite", "recipe": "fast", "reference": "sevennet"}
    rows = []
    for seed, labels in ((1, 25), (2, 26)):
        settings = settings_of(ablations.varied("ga8as8", ablations.PRESET, "sevennet", seed))
        settings["selection"] |= {"labels": labels}
        rows.append(about | {"seed": seed, "settings": settings})
    (tmp_path / "sample_efficiency-sevennet.json").write_text(json.dumps({"rows": rows}))
    monkeypatch.setattr(sample_efficiency_table, "RESULTS", tmp_path)
    (row,) = ablations_table.presets("sevennet")
    assert (row["seed"], row["recipe"]) == (1, ablations.PRESET)
    assert row["preset"] == "10 + 50%, 25 labels, patience 4, look ahead"


def test_a_line_for_each_variant_with_all_its_seeds() -> None:
    row: dict[str, Any] = {"system": "si16", "recipe": "networks: 3", "seed": 1, "found": True}
    row |= {"reference_calls_first_found": 100, "reference_calls_converged": 200}
    row |= {"preset": "here"}
    row |= {"reference_calls": 200, "seconds": 300.0, "ground_state_ev_per_atom": -5.4}
    energies = ((50, -5.0), (90, -5.398), (150, -5.3999))
    row["curve"] = [{"reference_calls": k, "lowest_label_ev_per_atom": e} for k, e in energies]
    missed = row | {"seed": 2, "found": False, "seconds": 420.0, "reference_calls": 500}
    missed |= {"reference_calls_first_found": None, "reference_calls_converged": None}
    missed["curve"] = row["curve"][:1]
    preset = row | {"recipe": ablations.PRESET, "reference_calls_known": 120}
    lines = ablations_table.table([row, missed, preset]).splitlines()[2:]
    assert lines == [
        "| Si16 | here | the preset | 1 | 1 of 1 | 120 | 200 | 200 | 5 |",
        "| Si16 | here | networks: 3 | 1, 2 | 1 of 2 | (90), – | 200, – | 200, 500 | 6 |",
    ]
