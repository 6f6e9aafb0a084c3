"""Reference calls until the ground state is found: Pyrite against random search.

    python -m benchmarks.sample_efficiency --quick
    python -m benchmarks.sample_efficiency --systems si16 al4o6 --methods pyrite --seeds 1 2 3

A Pyrite search is the preset ``SYSTEM-fast`` (``--recipe fast``) or ``SYSTEM`` (``--recipe paper``)
with the seed and the reference of the command line, run in one process. Random search relaxes
crystals of the same generators with the same reference (`benchmarks.random_search`), and its
expected cost is calls per relaxation / share of successes; of the two generators the cheaper one
is the baseline. Success is the same for both: the published structure by pymatgen's
StructureMatcher, its energy within 3 meV/atom of that structure relaxed by the same reference.

Every row is written when it is known, so a run that was stopped goes on with what is missing.
"""

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from pymatgen.analysis.structure_matcher import StructureMatcher

from benchmarks import random_search, stored
from pyrite import __version__
from pyrite.config import SearchConfig
from pyrite.documents import (
    Crystal,
    Iteration,
    Label,
    LabelStatus,
    Origin,
    Relaxation,
    TrainedMember,
)
from pyrite.models.engines import make_engine
from pyrite.models.reference import ReferenceEngine
from pyrite.models.search import run_search
from pyrite.reference_config import ReferenceConfig
from pyrite.results import Result
from pyrite.search_file import load_search

RESULTS = Path(__file__).parent / "results"
SYSTEMS = {"si16": "Si16", "na8cl8": "Na8Cl8", "ga8as8": "Ga8As8", "al4o6": "Al4O6"}
QUICK = "na4cl4"
QUICK_SAMPLES = 8
MINIMA = 0.3  # eV/atom above the lowest


def configuration(system: str, recipe: str, reference: str, seed: int) -> SearchConfig:
    """The search of one row."""
    preset = system if recipe == "paper" else f"{system}-{recipe}"
    settings = load_search(preset="demo" if system == QUICK else preset).model_dump()
    if system == QUICK:
        settings |= {"composition": "Na4Cl4", "target": "nacl-rocksalt"}
        settings["selection"] |= {"first_labels": 24, "labels": 16}
    settings |= {"seed": seed, "name": None}
    settings["reference"]["engine"] = reference
    return SearchConfig.model_validate(settings)


class Curve:
    """What was known after each iteration, against what it had cost."""

    def __init__(self) -> None:
        self.points: list[dict[str, Any]] = []

    def __call__(
        self,
        iteration: Iteration,
        relaxations: Sequence[Relaxation],
        labels: Sequence[Label],
        members: Sequence[TrainedMember],
    ) -> None:
        """See :class:`pyrite.models.search.Observer`."""
        ok = [one for one in labels if one.status is LabelStatus.OK and one.energy is not None]
        lowest = min(float(one.energy or 0) / len(one.crystal.numbers) for one in ok)
        point = {
            "iteration": iteration.iteration,
            "reference_calls": sum(one.provenance.reference_calls for one in labels),
            "lowest_label_ev_per_atom": round(lowest, 5),
            "top_ev_per_atom": [round(one.energy, 4) for one in iteration.top],
        }
        self.points.append(point)
        print(json.dumps(point), flush=True)


def pyrite_row(config: SearchConfig, engine: ReferenceEngine) -> dict[str, Any]:
    """One search."""
    ground, lowest = random_search.ground_state(config.composition, engine)
    curve, started = Curve(), time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        result = run_search(config, Path(scratch), engine=engine, observer=curve)
    spent = result.ledger
    found = is_found(result, ground, lowest)
    target = spent.target
    return {
        "found": found,
        "reference_calls_first_found": target.reference_calls if found and target else None,
        "reference_calls_converged": spent.reference_calls,
        "rank": target.rank if target else None,
        "iterations": result.iterations,
        "ended_by": result.ended_by.value,
        "failed_labels": spent.failed_labels,
        "seconds": round(time.perf_counter() - started, 1),
        "minima": [
            {
                "above_lowest_ev_per_atom": round(one.energy_above_lowest_ev_per_atom, 4),
                "space_group": one.space_group_number,
                "first_found_iteration": one.first_found_iteration,
            }
            for one in result.ranking
            if one.energy_above_lowest_ev_per_atom <= MINIMA
        ],
        "curve": curve.points,
        "settings": config.model_dump(mode="json", exclude={"execution", "name"}),
    }


def is_found(result: Result, ground: Crystal, lowest: float) -> bool:
    """Whether the ranking holds the published structure with its energy (eV/atom)."""
    published = ground.to_structure()
    return any(
        abs(one.energy_ev_per_atom - lowest) <= random_search.TOLERANCE
        and StructureMatcher().fit(one.crystal.to_structure(), published)
        for one in result.ranking
    )


def random_row(
    system: str, reference: str, seed: int, samples: int, engine: ReferenceEngine
) -> dict[str, Any]:
    """Random search at its cheaper generator."""
    content = "Na4Cl4" if system == QUICK else SYSTEMS[system]
    runs = {
        str(generator): random_search.Baseline(content, generator, reference, seed).extend(
            engine, samples, random_search.RESULTS
        )
        for generator in (Origin.P1, Origin.SYMMETRIC)
    }
    best = min(runs, key=lambda name: runs[name]["expected_calls"] or float("inf"))
    return {
        "found": runs[best]["successes"] > 0,
        "generator": best,
        "expected_reference_calls": runs[best]["expected_calls"],
        "expected_reference_calls_95": runs[best]["expected_calls_95"],
        "generators": runs,
    }


def machine() -> dict[str, Any]:
    """Where a row was made."""
    return {
        "platform": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "pyrite": __version__,
        "python": platform.python_version(),
    }


def key(row: dict[str, Any]) -> tuple[str, ...]:
    """What a row is about."""
    return tuple(str(row[name]) for name in ("system", "method", "recipe", "reference", "seed"))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument(
        "--methods", nargs="+", choices=("pyrite", "random"), default=["pyrite", "random"]
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--recipe", choices=("fast", "paper"), default="fast")
    parser.add_argument("--reference", choices=("chgnet", "sevennet"), default="sevennet")
    parser.add_argument("--samples", type=int, default=100, help="relaxations per generator")
    parser.add_argument("--quick", action="store_true", help="one small system, a few minutes")
    parser.add_argument(
        "--json", type=Path, help="default: results/sample_efficiency-REFERENCE.json"
    )
    given = parser.parse_args(argv)
    systems, seeds = ([QUICK], [1]) if given.quick else (given.systems, given.seeds)
    samples = QUICK_SAMPLES if given.quick else given.samples
    path = given.json or RESULTS / f"sample_efficiency-{given.reference}.json"
    rows: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        engine = make_engine(ReferenceConfig(engine=given.reference), Path(scratch))
        for seed, system, method in product(seeds, systems, given.methods):
            recipe = given.recipe if method == "pyrite" else "pool"
            row = {"system": system, "method": method, "recipe": recipe}
            row |= {"reference": given.reference, "seed": seed}
            known = {key(one): one for one in stored.read(path).get("rows", ())}
            if method == "random":
                row |= random_row(system, given.reference, seed, samples, engine)
            elif key(row) in known:
                row = known[key(row)]
            else:
                row |= pyrite_row(configuration(system, recipe, given.reference, seed), engine)
            row["machine"] = machine()
            stored.update(path, partial(with_row, row))
            rows[method] = row
            print(sentence(row), flush=True)
    if given.quick:
        print(ratio(rows))


def with_row(row: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    """The document with a row, in place of one that is about the same."""
    others = [one for one in document.get("rows", ()) if key(one) != key(row)]
    return document | {"rows": sorted([*others, row], key=key)}


def sentence(row: dict[str, Any]) -> str:
    """A row in words."""
    name = f"{row['system']} {row['method']} seed {row['seed']}"
    if row["method"] == "random":
        low, high = row["expected_reference_calls_95"]
        return f"{name}: {row['expected_reference_calls']} calls expected ({low} to {high})"
    if not row["found"]:
        return f"{name}: not found in {row['reference_calls_converged']} calls"
    return (
        f"{name}: found after {row['reference_calls_first_found']} calls, "
        f"converged after {row['reference_calls_converged']}"
    )


def ratio(rows: dict[str, dict[str, Any]]) -> str:
    """Random search's expected cost in units of Pyrite's."""
    spent = rows["pyrite"]["reference_calls_first_found"]
    expected = rows["random"]["expected_reference_calls"]
    if spent is None or expected is None:
        return "no ratio: one of them did not find it"
    return f"random search needs {expected / spent:.1f} times the calls until first found"


if __name__ == "__main__":
    main()
