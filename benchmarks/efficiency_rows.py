"""The rows of `benchmarks.sample_efficiency`: one search, or one baseline, each."""

import json
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import random_search, stored
from benchmarks.discovery import Discovery
from benchmarks.minima import MINIMA, columns
from pyrite.config import SearchConfig
from pyrite.documents import (
    Crystal,
    EndedBy,
    Iteration,
    Label,
    LabelStatus,
    Origin,
    Relaxation,
    TrainedMember,
    Validation,
)
from pyrite.errors import LabelError, PyriteError
from pyrite.models.reference import ReferenceEngine, RelaxResult, StaticResult
from pyrite.models.search import run_search
from pyrite.results import RankedCrystal, Result
from pyrite.search_file import load_search

SYSTEMS = {"si16": "Si16", "na8cl8": "Na8Cl8", "ga8as8": "Ga8As8", "al4o6": "Al4O6"}
QUICK = "na4cl4"
# Labels of the small cell only; the large one is searched by what was learned from them.
TRANSFERS = {"si16-si46": "Si46", "al4o6-al16o24": "Al16O24"}
CONTENTS = SYSTEMS | TRANSFERS | {QUICK: "Na4Cl4"}


def configuration(system: str, recipe: str, reference: str, seed: int) -> SearchConfig:
    """The search of one row."""
    preset = system if recipe == "paper" else f"{system}-{recipe}"
    settings = load_search(preset="demo" if system == QUICK else preset).model_dump()
    if system == QUICK:
        settings |= {"composition": CONTENTS[QUICK], "target": "nacl-rocksalt"}
    settings |= {"seed": seed, "name": None}
    settings["reference"]["engine"] = reference
    return SearchConfig.model_validate(settings)


class Counted:
    """An engine that knows what it was asked for: energy-and-force evaluations in ``calls``."""

    def __init__(self, engine: ReferenceEngine) -> None:
        self.engine = engine
        self.calls = 0

    def static(self, crystal: Crystal) -> StaticResult:
        """See :meth:`pyrite.models.reference.ReferenceEngine.static`."""
        try:
            result = self.engine.static(crystal)
        except LabelError as error:
            self.calls += error.calls
            raise
        self.calls += result.calls
        return result

    def relax(self, crystal: Crystal, fmax: float, max_steps: int) -> RelaxResult:
        """See :meth:`pyrite.models.reference.ReferenceEngine.relax`."""
        try:
            result = self.engine.relax(crystal, fmax=fmax, max_steps=max_steps)
        except LabelError as error:
            self.calls += error.calls
            raise
        self.calls += result.calls
        return result


def point_of(iteration: Iteration, labels: Sequence[Label], calls: int) -> dict[str, Any]:
    """What was known after an iteration, and what it had cost.

    Parameters
    ----------
    labels : those so far
    calls : energy-and-force evaluations so far
    """
    ok = [one for one in labels if one.status is LabelStatus.OK and one.energy is not None]
    lowest = min(float(one.energy or 0) / len(one.crystal.numbers) for one in ok)
    verdict = iteration.convergence
    return {
        "iteration": iteration.iteration,
        "reference_calls": calls,
        "lowest_label_ev_per_atom": round(lowest, 5),
        "top_ev_per_atom": [round(one.energy, 4) for one in iteration.top],
        "unchanged": verdict.unchanged if verdict else None,
        "uncertain_share": verdict.uncertain_share if verdict else None,
    }


def calls_of(calculations: Iterable[Label | Validation]) -> int:
    """Energy-and-force evaluations of labels and relaxations."""
    return sum(one.provenance.reference_calls for one in calculations)


class Curve:
    """What was known after each iteration, against what it had cost, validations included."""

    def __init__(self, engine: Counted, discovery: Discovery) -> None:
        self.engine, self.discovery = engine, discovery
        self.points: list[dict[str, Any]] = []

    def __call__(
        self,
        iteration: Iteration,
        relaxations: Sequence[Relaxation],
        labels: Sequence[Label],
        members: Sequence[TrainedMember],
    ) -> None:
        """See :class:`pyrite.models.search.Observer`."""
        before = self.points[-1]["reference_calls"] if self.points else 0
        mine = [one for one in labels if one.iteration == iteration.iteration]
        self.discovery.look(iteration, labels, before + calls_of(mine))
        point = point_of(iteration, labels, self.engine.calls)
        self.points.append(point)
        print(json.dumps(point), flush=True)


def pyrite_row(
    config: SearchConfig, engine: ReferenceEngine, ground: Crystal, lowest: float
) -> dict[str, Any]:
    """One search; ``ground`` and ``lowest`` are what `random_search.ground_state` gives."""
    counted, started = Counted(engine), time.perf_counter()
    discovery = Discovery(engine, ground, lowest, larger=config.larger is not None)
    curve = Curve(counted, discovery)
    row: dict[str, Any]
    try:
        with tempfile.TemporaryDirectory() as scratch:
            result = run_search(config, Path(scratch), engine=counted, observer=curve)
        row = outcome(result, discovery)
    except PyriteError as error:
        row = failure(str(error))
    return row | {
        "reference_calls": counted.calls,
        "seconds": round(time.perf_counter() - started - discovery.seconds, 1),
        "ground_state_ev_per_atom": lowest,
        "curve": curve.points,
        "settings": settings_of(config),
    }


def failure(reason: str) -> dict[str, Any]:
    """What a search came to that ended with an error."""
    row: dict[str, Any] = {"found": False, "reference_calls_first_found": None}
    row |= {"reference_calls_known": None, "reference_calls_converged": None}
    row |= {"ended_by": "error", "error": reason, "minima": []}
    return row


def settings_of(config: SearchConfig) -> dict[str, Any]:
    """What a row depends on."""
    return config.model_dump(mode="json", exclude={"execution", "name"})


def is_of(row: dict[str, Any], config: SearchConfig) -> bool:
    """Whether a row was made with these settings, but for those that came later."""
    return settings_of(SearchConfig.model_validate(row["settings"])) == settings_of(config)


def outcome(result: Result, discovery: Discovery) -> dict[str, Any]:
    """What a search came to.

    ``reference_calls_first_found`` and ``reference_calls_known`` are those of
    `benchmarks.discovery`, all calls where only the end of the search told;
    ``reference_calls_converged`` is null where the loop did not end by itself.
    """
    spent, target = result.ledger, result.ledger.target
    found = is_found(result, discovery.ground, discovery.lowest)
    every = spent.reference_calls
    converged = result.ended_by is EndedBy.CONVERGENCE

    def above(crystal: RankedCrystal) -> float:
        return crystal.energy_ev_per_atom - discovery.lowest

    return {
        "found": found,
        "reference_calls_first_found": (discovery.first_found or every) if found else None,
        "reference_calls_known": (discovery.known or every) if found else None,
        "reference_calls_converged": spent.reference_calls if converged else None,
        "rank": target.rank if target else None,
        "iterations": result.iterations,
        "ended_by": result.ended_by.value,
        "failed_labels": spent.failed_labels,
        "lowest_ev_per_atom": result.ranking[0].energy_ev_per_atom,
        "minima": [
            {
                "energy_above_ground_ev_per_atom": round(above(one), 4),
                "space_group": one.space_group_number,
                "first_found_iteration": one.first_found_iteration,
                # Without the other relaxations of the end.
                "reference_calls_at_least": one.reference_calls_first_found,
            }
            for one in result.ranking
            if one.converged and above(one) <= MINIMA
        ],
    }


def is_found(result: Result, ground: Crystal, lowest: float) -> bool:
    """Whether the ranking holds the published structure with its energy (eV/atom)."""
    return any(
        random_search.is_ground_state(one.crystal, one.energy_ev_per_atom, ground, lowest)
        for one in result.ranking
    )


def random_row(
    system: str, reference: str, seed: int, samples: int, engine: ReferenceEngine, path: Path
) -> dict[str, Any]:
    """Random search at its cheaper generator; ``path`` keeps its samples."""
    runs: dict[str, dict[str, Any]] = {}
    for generator in (Origin.P1, Origin.SYMMETRIC):
        baseline = random_search.Baseline(CONTENTS[system], generator, reference, seed)
        summary = baseline.extend(engine, samples, path)
        relaxed = columns(stored.read(path)[baseline.key]["samples"])
        runs[str(generator)] = summary | {"relaxed": relaxed}
    best = min(runs, key=lambda name: runs[name]["expected_calls"] or float("inf"))
    return {
        "found": runs[best]["successes"] > 0,
        "generator": best,
        "reference_calls_first_found": None,  # turns on the order: the expected cost says more
        "reference_calls_converged": None,  # it has no end of its own
        **expected(runs[best]),
        "generators": runs,
    }


def expected(summary: dict[str, Any]) -> dict[str, Any]:
    """The same numbers as `random_search.summarise` gives, by the names they have in rows."""
    return {
        "expected_reference_calls": summary["expected_calls"],
        "expected_reference_calls_95": summary["expected_calls_95"],
        "expected_reference_calls_at_least": summary["expected_calls_at_least"],
    }


def with_expected(document: dict[str, Any]) -> dict[str, Any]:
    """The document with the expected cost of CrySPY's searches, from all their seeds."""
    rows = document["rows"]
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        if row["method"].startswith("cryspy"):
            groups.setdefault(stored.key(row)[:-1], []).append(row)
    for group in groups.values():
        samples = [one for row in group for one in attempts(row)]
        learns = group[0]["method"] != "cryspy-rs"
        cost = expected(random_search.summarise(samples, seed=1, learns=learns))
        seeds = [row["seed"] for row in group]
        for row in group:
            row.update(cost, expected_from_seeds=seeds)
    return document


def attempts(row: dict[str, Any]) -> list[dict[str, Any]]:
    """What succeeds or fails by itself: the relaxations of a random search, or a search that
    learns from its own."""
    if row["method"] != "cryspy-rs":
        return [{"calls": row["reference_calls"], "success": row["found"]}]
    columns = zip(row["relaxed"]["calls"], row["relaxed"]["success"], strict=True)
    return [{"calls": calls, "success": success} for calls, success in columns]


def with_row(row: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    """The document with a row, and what follows from it for others.

    A search replaces one with the same settings alone: what has been said of earlier ones can
    still be looked up.
    """
    return with_expected(stored.with_row(row, document, repeats))


def repeats(row: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two rows are about the same, those of searches with the same settings."""
    if not stored.is_about(row, other):
        return False
    return row["method"] != "pyrite" or is_of(other, SearchConfig.model_validate(row["settings"]))


def known(
    path: Path, about: dict[str, Any], config: SearchConfig | None = None
) -> dict[str, Any] | None:
    """The row of a file that is about the same; of a search, with these settings."""
    rows = (row for row in stored.read(path).get("rows", ()) if stored.is_about(row, about))
    return next((row for row in rows if config is None or is_of(row, config)), None)
