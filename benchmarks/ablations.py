"""What each choice of the loop is worth: searches that differ from a preset in one thing.

    python -m benchmarks.ablations --systems ga8as8 --seeds 1 2
    python -m benchmarks.ablations --variants "clusters: off" "networks: 3"

A search is the preset ``SYSTEM-fast`` with the settings of a variant, the seed and the reference of
the command line, judged as in `benchmarks.sample_efficiency`. Every row is written when it is
known, so a run that was stopped goes on with what is missing; rows of another preset than today's
are made again. At the end docs/benchmarks.md has the table of all rows.
"""

import argparse
import tempfile
from collections.abc import Mapping
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import stored
from benchmarks.efficiency_rows import (
    CONTENTS,
    SYSTEMS,
    configuration,
    pyrite_row,
    settings_of,
)
from benchmarks.pages import PAGE, with_section
from benchmarks.sample_efficiency import Reference, known
from pyrite.config import SearchConfig

RESULTS = Path(__file__).parent / "results" / "ablations.json"
BEGIN = "<!-- ablations: written by benchmarks/ablations.py -->\n"
END = "<!-- end of ablations -->\n"
PRESET = "the preset"
VARIANTS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    PRESET: {},
    "labels: score alone": {"selection": {"uncertain_share": 0.0, "low_energy_share": 0.0}},
    "labels: uncertain alone, at random": {
        "selection": {"uncertain_share": 1.0, "low_energy_share": 0.0}
    },
    "labels: uncertain, two in three": {
        "selection": {"uncertain_share": 0.67, "low_energy_share": 0.0}
    },
    "labels: at random": {
        "selection": {"uncertain_share": 0.0, "low_energy_share": 0.0, "random_share": 1.0}
    },
    "score: ω_F 0.5 Å": {"selection": {"force_weight": 0.5}},
    "known minima labelled again": {"selection": {"skip_known": False}},
    "labels in each iteration: 10": {"selection": {"labels": 10}},
    "labels in each iteration: 50": {"selection": {"labels": 50}},
    "first labels: 15": {"selection": {"first_labels": 15}},
    "first labels: 15, then 10": {
        "selection": {"first_labels": 15, "labels": 10},
        "convergence": {"max_iterations": 40},
    },
    "label noise: 0.2 Å": {"selection": {"noise": 0.2}},
    "label noise: 0.4 Å": {"selection": {"noise": 0.4}},
    "clusters: off": {"selection": {"eps": 1e-9}},
    "networks: 3": {"surrogate": {"members": 3}},
    "networks: 5": {"surrogate": {"members": 5}},
    "networks: 8": {"surrogate": {"members": 8}},
    "networks: fresh in each iteration": {"training": {"warm_start": False}},
    "networks: without ZBL": {"surrogate": {"zbl": False}},
    "networks: SO3net": {"surrogate": {"representation": "so3net"}},
    "energy weight: 0.5": {"training": {"energy_weight": 0.5}},
    "energy weight: 0.001": {"training": {"energy_weight": 0.001}},
    "half the updates": {"training": {"updates": 1000, "warm_updates": 500}},
    "twice the updates": {"training": {"updates": 4000, "warm_updates": 2000}},
    "uncertain above: 0.25": {"relaxation": {"max_relative_uncertainty": 0.25}},
    "uncertain above: 1": {"relaxation": {"max_relative_uncertainty": 1.0}},
    "uncertainty floor: 0.1 eV/Å": {"relaxation": {"uncertainty_floor": 0.1}},
    "uncertainty floor: 1 eV/Å": {"relaxation": {"uncertainty_floor": 1.0}},
    "relaxations from the last geometry": {"relaxation": {"start_from": "last"}},
    "ranking: by labels where there are some": {"convergence": {"label_energies": True}},
    "anchors: none": {"relaxation": {"anchors": 0}},
    "pool: P1 cells": {"pool": {"symmetric_share": 0.0}},
    "pool: space groups": {"pool": {"symmetric_share": 1.0}},
    "pool: 200": {"pool": {"size": 200}},
    "closest approach: 0.75": {"pool": {"minimum_distance_scale": 0.75}},
    "norms of PaiNN: SchNetPack's": {"surrogate": {"norm_epsilon": 1e-8}},
    "defaults until 23 November": {
        "surrogate": {"norm_epsilon": 1e-8},
        "pool": {"minimum_distance_scale": 0.75},
        "training": {
            "energy_weight": 0.5,
            "batch_size": 8,
            "updates": 1000,
            "warm_updates": 600,
            "gradient_clip": 10.0,
            "max_force": 30.0,
        },
        "selection": {"first_labels": 60, "labels": 40, "noise": 0.2, "skip_known": False},
    },
}
HEADER = (
    "| system | variant | found | calls until first found | calls until converged | calls in all | "
    "minutes |\n|---|---|---|---|---|---|---|"
)


def varied(system: str, variant: str, reference: str, seed: int) -> SearchConfig:
    """The preset of a system with the settings of a variant."""
    preset = configuration(system, "fast", reference, seed)
    settings = preset.model_dump()
    for section, changes in VARIANTS[variant].items():
        settings[section] |= changes
    return SearchConfig.model_validate(settings)


def is_of(row: dict[str, Any], config: SearchConfig) -> bool:
    """Whether a row was made with these settings, but for those that came later."""
    return settings_of(SearchConfig.model_validate(row["settings"])) == settings_of(config)


def table(rows: list[dict[str, Any]]) -> str:
    """All rows, seeds of one variant together, those of a preset first."""
    if not rows:
        return "No rows yet."
    lines = [HEADER]
    order = list(VARIANTS)
    names = sorted(
        {(row["system"], row["recipe"]) for row in rows if row["recipe"] in order},
        key=lambda one: (one[0], order.index(one[1])),
    )
    for system, variant in names:
        mine = [row for row in rows if (row["system"], row["recipe"]) == (system, variant)]
        columns = [
            ", ".join("–" if row[name] is None else str(row[name]) for row in mine)
            for name in (
                "reference_calls_first_found",
                "reference_calls_converged",
                "reference_calls",
            )
        ]
        found = f"{sum(row['found'] for row in mine)} of {len(mine)}"
        minutes = f"{median(row['seconds'] for row in mine) / 60:.0f}"
        lines.append(
            f"| {CONTENTS[system]} | {variant} | {found} | {' | '.join([*columns, minutes])} |"
        )
    return "\n".join(lines)


def page(text: str) -> str:
    """``text`` with its table brought up to date."""
    return with_section(text, BEGIN, END, table(stored.read(RESULTS).get("rows", [])))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=["ga8as8"])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--reference", choices=("chgnet", "sevennet"), default="sevennet")
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as scratch:
        reference = Reference(given.reference, Path(scratch))
        for seed, system, variant in product(given.seeds, given.systems, given.variants):
            about = {"system": system, "method": "pyrite", "recipe": variant}
            about |= {"reference": given.reference, "seed": seed}
            config = varied(system, variant, given.reference, seed)
            row = known(RESULTS, about)
            if row is not None and is_of(row, config):
                continue
            print(*about.values(), flush=True)
            row = pyrite_row(config, reference.engine, *reference.ground(config.composition))
            row = about | row | {"machine": stored.machine()}
            stored.update(RESULTS, partial(stored.with_row, row))
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
