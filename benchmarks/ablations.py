"""What each choice of the loop is worth: searches that differ from a preset in one thing.

    python -m benchmarks.ablations --systems ga8as8 --seeds 1 2
    python -m benchmarks.ablations --variants "clusters: off" "networks: 3"

A search is the preset ``SYSTEM-fast`` with the settings of a variant, the seed and the reference of
the command line, judged as in `benchmarks.sample_efficiency`, whose rows are those of the preset
itself. Every row is written when it is known, so a run that was stopped goes on with what is
missing; rows of another preset than today's stay beside the new ones. `benchmarks.ablations_table`
makes the table of docs/ablations.md.
"""

import argparse
import tempfile
from collections.abc import Mapping
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks import sections, stored
from benchmarks.efficiency_rows import (
    SYSTEMS,
    configuration,
    known,
    pyrite_row,
)
from benchmarks.sample_efficiency import Reference
from pyrite.config import SearchConfig

RESULTS = sections.RESULTS / "ablations.json"
PRESET = "the preset"
REFERENCE = "sevennet"  # of the table
VARIANTS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    PRESET: {},
    "labels: score alone": {"selection": {"uncertain_share": 0.0, "low_energy_share": 0.0}},
    "labels: uncertain alone": {"selection": {"uncertain_share": 1.0, "low_energy_share": 0.0}},
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
    "labels: 40 + 25": {"selection": {"first_labels": 40, "growth": None}},
    "labels: 15 + 10": {
        "selection": {"first_labels": 15, "labels": 10, "growth": None},
        "convergence": {"max_iterations": 40},
    },
    "labels: 15 + 10, patience: 10": {
        "selection": {"first_labels": 15, "labels": 10, "growth": None},
        "convergence": {"max_iterations": 40, "patience": 10},
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
    "uncertain above: 2": {"relaxation": {"max_relative_uncertainty": 2.0}},
    "uncertainty floor: 0.1 eV/Å": {"relaxation": {"uncertainty_floor": 0.1}},
    "uncertainty floor: 1 eV/Å": {"relaxation": {"uncertainty_floor": 1.0}},
    "look ahead: off": {"relaxation": {"look_ahead": False}},
    "relaxations from the last geometry": {"relaxation": {"start_from": "last"}},
    "patience: 10": {"convergence": {"patience": 10, "max_iterations": 40}},
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
        "selection": {
            "first_labels": 60,
            "labels": 40,
            "growth": None,
            "noise": 0.2,
            "skip_known": False,
        },
    },
}


def varied(system: str, variant: str, reference: str, seed: int) -> SearchConfig:
    """The preset of a system with the settings of a variant."""
    preset = configuration(system, "fast", reference, seed)
    settings = preset.model_dump()
    for section, changes in VARIANTS[variant].items():
        settings[section] |= changes
    return SearchConfig.model_validate(settings)


def name_of(config: SearchConfig) -> str:
    """By what a preset is known in the table."""
    given, patience = config.selection, config.convergence.patience
    more = f"{given.labels}" if given.growth is None else f"{given.growth:.0%}, {given.labels}"
    ahead = ", look ahead" if config.relaxation.look_ahead else ""
    return f"{given.first_labels} + {more} labels, patience {patience}{ahead}"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    variants = [name for name in VARIANTS if name != PRESET]
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=["ga8as8"])
    parser.add_argument("--variants", nargs="+", choices=variants, default=variants)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--reference", choices=("chgnet", REFERENCE), default=REFERENCE)
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as scratch:
        reference = Reference(given.reference, Path(scratch))
        for seed, system, variant in product(given.seeds, given.systems, given.variants):
            about = {"system": system, "method": "pyrite", "recipe": variant}
            about |= {"reference": given.reference, "seed": seed}
            about["preset"] = name_of(varied(system, PRESET, given.reference, seed))
            config = varied(system, variant, given.reference, seed)
            if known(RESULTS, about, config) is not None:
                continue
            print(*about.values(), flush=True)
            row = pyrite_row(config, reference.engine, *reference.ground(config.composition))
            row = about | row | {"machine": stored.machine()}
            stored.update(RESULTS, partial(stored.with_row, row))


if __name__ == "__main__":
    main()
