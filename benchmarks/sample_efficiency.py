"""Reference calls until the ground state is found: Pyrite, random search and CrySPY.

    python -m benchmarks.sample_efficiency --quick
    python -m benchmarks.sample_efficiency --systems si16 al4o6 --methods pyrite --seeds 1 2 3
    python -m benchmarks.sample_efficiency --systems si16-si46 --methods pyrite
    python -m benchmarks.sample_efficiency --methods cryspy-rs cryspy-ea --budget 100

A Pyrite search is the preset ``SYSTEM-fast`` (``--recipe fast``) or ``SYSTEM`` (``--recipe paper``)
with the seed and the reference of the command line, run in one process. Random search relaxes
crystals of the same generators with the same reference (`benchmarks.random_search`), and its
expected cost is calls per relaxation / share of successes; of the two generators the cheaper one
is the baseline. CrySPY (`benchmarks.cryspy_search`) has two recipes, relaxations as ours
(``free``) and as in its authors' examples (``authors``), and ends with its first success. Success
is the same for all: the published structure by pymatgen's StructureMatcher, its energy within
3 meV/atom of that structure relaxed by the same reference.

``si16-si46`` and ``al4o6-al16o24`` find large cells by networks that learned from small ones; their
calls are those of the small cells and of the relaxations that confirm the large one.

Every row is written when it is known, so a run that was stopped goes on with what is missing, and
with rows of Pyrite whose preset has changed since (the old ones stay); random search and CrySPY go
on with the next relaxation. `python -m benchmarks.pages` makes the tables and the plots.
"""

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cached_property, partial
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks import stored
from benchmarks.cryspy_search import Search, cryspy_row
from benchmarks.efficiency_rows import (
    CONTENTS,
    QUICK,
    SYSTEMS,
    TRANSFERS,
    configuration,
    known,
    pyrite_row,
    random_row,
    with_row,
)
from benchmarks.random_search import ground_state, positive
from benchmarks.sections import RESULTS, ROOT
from pyrite.config import SearchConfig
from pyrite.documents import Crystal
from pyrite.models.engines import make_engine
from pyrite.models.reference import ReferenceEngine
from pyrite.reference_config import ReferenceConfig

WORK = ROOT / ".pyrite-benchmarks"
METHODS = ("pyrite", "random", "cryspy-rs", "cryspy-ea")
CRYSPY_RECIPES = ("free", "authors")
QUICK_METHODS = ("pyrite", "random", "cryspy-rs")
QUICK_SAMPLES = 4  # relaxations per generator
QUICK_BUDGET = 8  # relaxations


class Reference:
    """The reference, loaded when it is first needed."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.directory = directory
        self.grounds: dict[str, tuple[Crystal, float]] = {}

    @cached_property
    def engine(self) -> ReferenceEngine:
        """What relaxes."""
        return make_engine(ReferenceConfig(engine=self.name), self.directory)

    def ground(self, content: str) -> tuple[Crystal, float]:
        """See `benchmarks.random_search.ground_state`."""
        if content not in self.grounds:
            self.grounds[content] = ground_state(content, self.engine)
        return self.grounds[content]


def recipes(method: str, given: argparse.Namespace) -> tuple[str, ...]:
    """The ways in which a method is run."""
    match method:
        case "pyrite":
            return (given.recipe,)
        case "random":
            return ("pool",)
    return tuple(given.cryspy_recipes)


def wanted(given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """What the rows of a command line are about, one seed after another."""
    for seed, system, method in product(given.seeds, given.systems, given.methods):
        for recipe in recipes(method, given):
            row = {"system": system, "method": method, "recipe": recipe}
            yield row | {"reference": given.reference, "seed": seed}


def searched(about: dict[str, Any]) -> SearchConfig | None:
    """The search of a row, where it is one of ours."""
    names = ("system", "recipe", "reference", "seed")
    return configuration(*(about[name] for name in names)) if about["method"] == "pyrite" else None


def is_done(row: dict[str, Any], budget: int) -> bool:
    """Whether there is nothing to add to a row that is known."""
    match row["method"]:
        case "pyrite":
            return True
        case "random":
            return False
    return bool(row["ended_by"] != "budget" or row["settings"]["budget"] >= budget)


def made(row: dict[str, Any], given: argparse.Namespace, reference: Reference) -> dict[str, Any]:
    """A row with its results."""
    system, method, seed = row["system"], row["method"], row["seed"]
    if method == "random":
        samples = given.work / "random_search.json" if given.quick else given.samples_json
        results = random_row(system, reference.name, seed, given.samples, reference.engine, samples)
    elif method == "pyrite":
        config = configuration(system, row["recipe"], reference.name, seed)
        results = pyrite_row(config, reference.engine, *reference.ground(CONTENTS[system]))
    else:
        content = CONTENTS[system]
        search = Search(
            content,
            "RS" if method == "cryspy-rs" else "EA",
            reference.name,
            seed,
            row["recipe"],
        )
        results = cryspy_row(
            search, given.budget, given.work, reference.engine, *reference.ground(content)
        )
    return row | results | {"machine": stored.machine()}


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The command line, with what ``--quick`` decides."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS | TRANSFERS, default=list(SYSTEMS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, help="default: pyrite random")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--recipe", choices=("fast", "paper"), default="fast", help="of Pyrite")
    parser.add_argument(
        "--cryspy-recipes", nargs="+", choices=CRYSPY_RECIPES, default=list(CRYSPY_RECIPES)
    )
    parser.add_argument(
        "--reference", choices=("chgnet", "sevennet"), help="default: sevennet, or chgnet (quick)"
    )
    parser.add_argument("--samples", type=positive, default=100, help="relaxations per generator")
    parser.add_argument(
        "--budget", type=positive, default=100, help="relaxations of a CrySPY search"
    )
    parser.add_argument("--quick", action="store_true", help="one small system, a few minutes")
    parser.add_argument("--work", type=Path, default=WORK, help="where CrySPY's searches stay")
    parser.add_argument(
        "--json", type=Path, help="default: results/sample_efficiency-REFERENCE.json"
    )
    given = parser.parse_args(argv)
    given.samples_json = RESULTS / "random_search.json"
    if given.quick:
        given.systems, given.seeds, given.cryspy_recipes = [QUICK], [1], ["authors"]
        given.samples, given.budget = QUICK_SAMPLES, QUICK_BUDGET
    given.methods = given.methods or list(QUICK_METHODS if given.quick else METHODS[:2])
    if given.methods != ["pyrite"] and (alone := sorted(TRANSFERS.keys() & set(given.systems))):
        parser.error(f"{alone[0]} has no baseline: add --methods pyrite")
    given.reference = given.reference or ("chgnet" if given.quick else "sevennet")
    return given


def main(argv: list[str] | None = None) -> None:
    given = parse(argv)
    rows = []
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if given.quick:  # measured anew each time
            given.work = scratch
        path = given.json or (
            scratch / "quick.json"
            if given.quick
            else RESULTS / f"sample_efficiency-{given.reference}.json"
        )
        reference = Reference(given.reference, scratch)
        for about in wanted(given):
            config = searched(about)
            row = known(path, about, config)
            if row is None or not is_done(row, given.budget):
                stored.update(path, partial(with_row, made(about, given, reference)))
                row = known(path, about, config)
            assert row is not None
            rows.append(row)
            print(sentence(row), flush=True)
    if given.quick:
        print("\n".join(ratios(rows)))


def sentence(row: dict[str, Any]) -> str:
    """A row in words."""
    name = f"{row['system']} {row['method']} ({row['recipe']}) seed {row['seed']}"
    words = []
    if row["method"] != "random":
        first, calls = row["reference_calls_first_found"], row["reference_calls"]
        after = f"not found in {calls} calls" if first is None else f"found after {first} calls"
        words += [after, f"ended by {row['ended_by']} after {calls}"]
    if "expected_reference_calls" in row:
        low, high = ("∞" if x is None else x for x in row["expected_reference_calls_95"])
        if row["expected_reference_calls"] is None:
            words.append(f"more than {row['expected_reference_calls_at_least']} calls expected")
        else:
            words.append(f"{row['expected_reference_calls']} calls expected ({low} to {high})")
    return f"{name}: {', '.join(words)}"


def price(row: dict[str, Any]) -> tuple[int | None, int | None]:
    """What finding the ground state costs a baseline, or what it costs at least (95 %)."""
    if "expected_reference_calls" in row:
        return row["expected_reference_calls"], row["expected_reference_calls_at_least"]
    return row["reference_calls_first_found"], row["reference_calls"]


def ratios(rows: list[dict[str, Any]]) -> list[str]:
    """The baselines' cost in units of Pyrite's until first found."""
    spent = next(
        (row["reference_calls_first_found"] for row in rows if row["method"] == "pyrite"), None
    )
    if spent is None:
        return ["no ratio: Pyrite did not find it"]
    lines = []
    for row in rows:
        if row["method"] == "pyrite":
            continue
        cost, at_least = price(row)
        if cost is None and at_least is None:
            continue
        more = "" if cost is not None else "more than "
        times = (at_least if cost is None else cost) / spent
        lines.append(f"{row['method']} needs {more}{times:.1f} times Pyrite's calls")
    return lines


if __name__ == "__main__":
    main()
