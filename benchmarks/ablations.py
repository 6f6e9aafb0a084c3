"""What each choice of the loop is worth: searches that differ from a preset in one thing.

    python -m benchmarks.ablations --systems ga8as8 --seeds 1 2
    python -m benchmarks.ablations --variants "clusters: off" "networks: 3"

A search is the preset ``SYSTEM-fast`` with the settings of a variant, the seed and the reference of
the command line, judged as in `benchmarks.sample_efficiency`, whose rows are those of the preset
itself. Every row is written when it is known, so a run that was stopped goes on with what is
missing; rows of another preset than today's stay beside the new ones. At the end
docs/benchmarks.md has the table of all rows; ``--variants`` without a name writes the table alone.
"""

import argparse
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from itertools import product
from operator import itemgetter
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import stored
from benchmarks.efficiency_rows import (
    CONTENTS,
    SYSTEMS,
    configuration,
    is_of,
    pyrite_row,
)
from benchmarks.pages import PAGE, with_section
from benchmarks.random_search import TOLERANCE
from benchmarks.sample_efficiency import RESULTS as PLACE
from benchmarks.sample_efficiency import Reference, known
from pyrite.config import SearchConfig

RESULTS = PLACE / "ablations.json"
BEGIN = "<!-- ablations: written by benchmarks/ablations.py -->\n"
END = "<!-- end of ablations -->\n"
PRESET = "the preset"
REFERENCE = "sevennet"  # of the table
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
HEADER = (
    "| system | preset | variant | seeds | found | calls until a label within 3 meV/atom | "
    "calls until converged | calls in all | minutes |\n|---|---|---|---|---|---|---|---|---|"
)


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


def presets(reference: str) -> list[dict[str, Any]]:
    """The rows of the presets that are as they are today."""
    rows = stored.read(PLACE / f"sample_efficiency-{reference}.json").get("rows", [])
    mine = [row for row in rows if row["method"] == "pyrite" and row["system"] in SYSTEMS]
    return [
        row | {"recipe": PRESET, "preset": name_of(config)}
        for row in mine
        if row["recipe"] == "fast"
        and is_of(row, config := varied(row["system"], PRESET, reference, row["seed"]))
    ]


def table(rows: list[dict[str, Any]]) -> str:
    """All rows, seeds of one variant together, those of a preset first."""
    if not rows:
        return "No rows yet."
    lines = [HEADER]
    order = {name: place for place, name in enumerate(VARIANTS)}
    names = sorted(
        {key(row) for row in rows},
        key=lambda one: (*one[:2], order.get(one[2], len(order)), one[2]),
    )
    for name in names:
        mine = sorted((row for row in rows if key(row) == name), key=lambda row: int(row["seed"]))
        seeds = ", ".join(str(row["seed"]) for row in mine)
        columns = [
            ", ".join("–" if one is None else str(one) for one in map(told, mine))
            for told in (until_near, itemgetter("reference_calls_converged"), all_calls)
        ]
        found = f"{sum(row['found'] for row in mine)} of {len(mine)}"
        minutes = f"{median(row['seconds'] for row in mine) / 60:.0f}"
        lines.append(
            f"| {CONTENTS[name[0]]} | {' | '.join([*name[1:], seeds, found, *columns, minutes])} |"
        )
    return "\n".join(lines)


all_calls: Callable[[dict[str, Any]], int] = itemgetter("reference_calls")


def until_near(row: dict[str, Any]) -> int | None:
    """Calls until a label lay within `random_search.TOLERANCE` of the ground state, of whatever
    crystal; if only the last relaxations did, all of them."""
    limit = row["ground_state_ev_per_atom"] + TOLERANCE
    near = (
        one["reference_calls"] for one in row["curve"] if one["lowest_label_ev_per_atom"] <= limit
    )
    return next(near, all_calls(row) if row["found"] else None)


def key(row: dict[str, Any]) -> tuple[str, str, str]:
    """System, preset and variant."""
    return row["system"], row["preset"], row["recipe"]


def page(text: str) -> str:
    """``text`` with its table brought up to date."""
    rows = [row for row in stored.read(RESULTS).get("rows", []) if row["reference"] == REFERENCE]
    return with_section(text, BEGIN, END, table([*rows, *presets(REFERENCE)]))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    variants = [name for name in VARIANTS if name != PRESET]
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=["ga8as8"])
    parser.add_argument("--variants", nargs="*", choices=variants, default=variants)
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
