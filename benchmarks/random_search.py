"""What a plain random search would cost: relax random crystals with the reference itself.

Draws crystals exactly as a search's pool does, relaxes each with the reference engine,
and counts energy-and-force evaluations until one is the published ground state::

    python -m benchmarks.random_search --system Si6 --generator p1 --samples 100 --json FILE

A relaxation succeeds when its energy is within 3 meV/atom of the published structure
relaxed by the same engine, and pymatgen's StructureMatcher recognises that structure.
Expected cost of one success = mean evaluations per relaxation / share of successes.
Every sample is written at once, so a run that was stopped continues where it was.
"""

import argparse
import json
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pymatgen.analysis.structure_matcher import StructureMatcher

from benchmarks import stored
from benchmarks.minima import HOLE, is_minimum, packed
from pyrite.config import SearchConfig
from pyrite.documents import Crystal, Origin, Role
from pyrite.errors import LabelError
from pyrite.models.engines import make_engine
from pyrite.models.engines.force_fields import OPTIMIZER
from pyrite.models.generation import random_candidate
from pyrite.models.known_structures import known_structure
from pyrite.models.labels import MAX_ENERGY
from pyrite.models.reference import ReferenceEngine, RelaxResult
from pyrite.models.seeds import stream
from pyrite.pool_config import PoolConfig
from pyrite.reference_config import ReferenceConfig

Vector = npt.NDArray[np.float64]

GROUND_STATES = {
    "Si4": "si-diamond",
    "Si6": "si-diamond",
    "Si8": "si-diamond",
    "Si16": "si-diamond",
    "Na4Cl4": "nacl-rocksalt",
    "Na6Cl6": "nacl-rocksalt",
    "Na8Cl8": "nacl-rocksalt",
    "Mg4O4": "mgo-rocksalt",
    "Ga3As3": "gaas-zincblende",
    "Ga4As4": "gaas-zincblende",
    "Ga8As8": "gaas-zincblende",
    "Si3C3": "sic-zincblende",
    "Zn3S3": "zns-zincblende",
    "Al4O6": "al2o3-corundum",
    # Of cells that are not labelled: what is looked for there.
    "Si46": "si-clathrate-i",
    "Al16O24": "al2o3-corundum",
}
RESULTS = Path(__file__).parent / "results" / "random_search.json"
FMAX = 0.05  # eV/Å
MAX_STEPS = 300
TOLERANCE = 0.003  # eV/atom
RESAMPLINGS = 10_000
BOOTSTRAP = "bootstrap"  # what intervals draw random numbers for
REPLACED = ("optimizer", "minimum_distance_scale")  # samples with another one are not continued


def relaxed(
    engine: ReferenceEngine, start: Crystal, ground: Crystal, lowest: float
) -> tuple[dict[str, Any], RelaxResult | None]:
    """Relax a crystal and judge where it ended; no result if the reference failed.

    An absurd energy is a failure, as in our own searches: a force field that knows no repulsion
    of atoms that fall on each other must not make them the best crystal. So is any that lies
    `benchmarks.minima.HOLE` below the ground state, since a baseline would breed from it.

    Parameters
    ----------
    ground, lowest : what :func:`ground_state` gives
    """
    try:
        result = engine.relax(start, fmax=FMAX, max_steps=MAX_STEPS)
    except LabelError as error:
        return {"calls": error.calls, "success": False, "error": str(error)}, None
    above = result.energy / len(start.numbers) - lowest
    if not HOLE <= above <= MAX_ENERGY:
        reason = f"absurd: {above:g} eV/atom above the ground state"
        return {"calls": result.calls, "success": False, "error": reason}, None
    row: dict[str, Any] = {
        "calls": result.calls,
        "success": is_ground_state(result.crystal, above + lowest, ground, lowest),
        "energy_above_ground_ev_per_atom": round(above, 5),
        "converged": result.converged,
    }
    if is_minimum(row):
        row["crystal"] = packed(result.crystal)
    return row, result


def is_ground_state(crystal: Crystal, energy: float, ground: Crystal, lowest: float) -> bool:
    """Whether a crystal is the published structure, with its energy (eV/atom)."""
    return abs(energy - lowest) <= TOLERANCE and is_same(crystal, ground)


def is_same(crystal: Crystal, published: Crystal) -> bool:
    """Whether a crystal has the published structure, by pymatgen's defaults."""
    return bool(StructureMatcher().fit(crystal.to_structure(), published.to_structure()))


def sample(
    engine: ReferenceEngine, config: SearchConfig, index: int, ground: Crystal, lowest: float
) -> dict[str, Any]:
    """Relax one random crystal."""
    start = random_candidate(config, Role.TRAIN, index).crystal
    row, result = relaxed(engine, start, ground, lowest)
    seconds = {} if result is None else {"seconds": round(result.seconds, 2)}
    return {"index": index} | row | seconds


def summarise(samples: list[dict[str, Any]], seed: int, learns: bool = False) -> dict[str, Any]:
    """Expected calls per success with a 95 % interval; null where there is no success.

    Parameters
    ----------
    learns : whether samples are searches that learn, not relaxations; of one, no interval is known
    """
    calls = np.array([row["calls"] for row in samples], dtype=float)
    hits = np.array([row["success"] for row in samples], dtype=float)
    expected: list[int | None] = [None] * 3
    if hits.any():
        expected[0] = round(float(calls.sum() / hits.sum()))
        if not learns:
            costs = plausible(calls, hits, seed, BOOTSTRAP)
        elif len(calls) > 1:
            costs = plausible_of_few(calls, calls, hits, seed, BOOTSTRAP)
        else:
            costs = np.full(1, np.nan)
        expected[1:] = (round(end) if np.isfinite(end) else None for end in interval(costs))
    return {
        "samples": len(samples),
        "successes": int(hits.sum()),
        "failed": sum("error" in row for row in samples),
        "mean_calls": round(float(calls.mean()), 1),
        "expected_calls": expected[0],
        "expected_calls_95": expected[1:],
        "expected_calls_at_least": None if hits.any() else round(at_least(calls)),
    }


def at_least(calls: Vector) -> float:
    """Calls per success if there was none, with 95 % confidence: with a larger share of successes
    than 1 − 0.05^(1/n), n attempts would all have failed in less than one case of twenty."""
    return float(calls.mean() / (1 - 0.05 ** (1 / len(calls))))


def plausible(calls: Vector, hits: Vector, seed: int, purpose: str) -> Vector:
    """What a success may cost, given relaxations whose costs and successes are independent.

    Shares of successes are drawn from their distribution by the binomial law and Jeffreys'
    prior, the mean cost of a relaxation by a bootstrap. (A bootstrap of the successes as well would
    know no share between those of its samples, and may have none.)

    Parameters
    ----------
    calls, hits : numpy.ndarray
        Shape (N,): cost and success of each.
    seed, purpose : int, str
        Of the random numbers.

    Returns
    -------
    numpy.ndarray
        Shape (`RESAMPLINGS`,).
    """
    rng = stream(seed, purpose)
    chosen = rng.integers(len(calls), size=(RESAMPLINGS, len(calls)))
    costs: Vector = calls[chosen].mean(axis=1) / _shares(hits, rng)
    return costs


def plausible_of_few(calls: Vector, whole: Vector, hits: Vector, seed: int, purpose: str) -> Vector:
    """The same of a few searches that learn, of which a bootstrap of three would know no more than
    the cheapest and the dearest.

    A success takes what it has taken on average, a failure a whole search. Both are as uncertain
    as Student's t of the logarithms says. That is the interval of a typical cost (their geometric
    mean); where costs lie far apart that of the mean goes higher.

    Parameters
    ----------
    calls, whole, hits : numpy.ndarray
        Shape (N,), N > 1: what each has spent until success, or in all without; in all; success.
    """
    rng = stream(seed, purpose)
    error = np.log(calls).std(ddof=1) / np.sqrt(len(calls))
    shares = _shares(hits, rng)
    mean = calls[hits > 0].mean() + (1 / shares - 1) * whole.mean()
    with np.errstate(over="ignore"):  # of two, hardly anything is known
        costs: Vector = mean * np.exp(error * rng.standard_t(len(calls) - 1, RESAMPLINGS))
    return costs


def interval(costs: Vector) -> tuple[float, float]:
    """Between which 95 % of what a success may cost lie."""
    low, high = np.quantile(costs, [0.025, 0.975], method="inverted_cdf")  # some may be infinite
    return float(low), float(high)


def _shares(hits: Vector, rng: np.random.Generator) -> Vector:
    """Beta distributed: successes and failures, and a half each."""
    successes = hits.sum()
    return rng.beta(successes + 0.5, len(hits) - successes + 0.5, RESAMPLINGS)


class Baseline(NamedTuple):
    """One run of random search: crystals of one generator, relaxed by one reference."""

    system: str
    generator: str
    reference: str
    seed: int

    @property
    def key(self) -> str:
        """Its name in the file."""
        return "-".join(map(str, self))

    @property
    def pool(self) -> PoolConfig:
        """Where its crystals come from."""
        return PoolConfig(symmetric_share=float(self.generator == Origin.SYMMETRIC))

    def facts(self) -> dict[str, Any]:
        """All that its numbers depend on."""
        package = {"sevennet": "sevenn"}.get(self.reference, self.reference)
        packages = ("ase", "atomate2", "numpy", "pymatgen", "pyxtal", "torch", package)
        return {
            "system": self.system,
            "generator": self.generator,
            "engine": self.reference,
            "seed": self.seed,
            "fmax_ev_per_a": FMAX,
            "max_steps": MAX_STEPS,
            "optimizer": OPTIMIZER["optimizer"],
            "minimum_distance_scale": self.pool.minimum_distance_scale,
            "ground_state": GROUND_STATES[self.system],
            "machine": stored.machine(),
            "versions": {name: version(name) for name in packages},
        }

    def extend(self, engine: ReferenceEngine, samples: int, path: Path) -> dict[str, Any]:
        """Relax until there are ``samples``, those in the file included; the summary.

        Samples of another optimizer or generator are not continued but replaced. Where and with
        what they were made stays in the file, as ``earlier``, with how many there were then.
        """
        config = SearchConfig(composition=self.system, seed=self.seed, pool=self.pool)
        ground, lowest = ground_state(self.system, engine)
        facts, known = self.facts(), stored.read(path).get(self.key, {})
        same = all(known.get(name) == facts[name] for name in REPLACED)
        kept: list[dict[str, Any]] = known["samples"] if same else []
        run = facts | {"ground_state_ev_per_atom": lowest, "samples": kept}
        if kept:
            names = ("machine", "versions", "ground_state_ev_per_atom")
            made = {"samples": len(kept)} | {name: known[name] for name in names}
            run["earlier"] = [*known.get("earlier", []), made]
        for index in range(len(run["samples"]), samples):
            row = sample(engine, config, index, ground, lowest)
            run["samples"].append(row)
            run["summary"] = summarise(run["samples"], self.seed)
            stored.update(path, lambda document: document | {self.key: run})
            print(self.key, json.dumps(row), flush=True)
        summary: dict[str, Any] = summarise(run["samples"], self.seed)
        return summary


def ground_state(system: str, engine: ReferenceEngine) -> tuple[Crystal, float]:
    """The published structure as the reference relaxes it, and its energy in eV/atom."""
    structure = known_structure(GROUND_STATES[system]).get_primitive_structure()
    best = engine.relax(Crystal.from_structure(structure), fmax=0.01, max_steps=MAX_STEPS)
    return best.crystal, best.energy / len(structure)


def positive(text: str) -> int:
    """A number on the command line, at least one."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--system", choices=GROUND_STATES, required=True)
    parser.add_argument("--generator", choices=[Origin.P1, Origin.SYMMETRIC], default=Origin.P1)
    parser.add_argument("--engine", choices=("chgnet", "sevennet"), default="chgnet")
    parser.add_argument("--samples", type=positive, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, default=RESULTS)
    given = parser.parse_args(argv)
    baseline = Baseline(given.system, given.generator, given.engine, given.seed)
    with tempfile.TemporaryDirectory() as scratch:
        engine = make_engine(ReferenceConfig(engine=given.engine), Path(scratch))
        summary = baseline.extend(engine, given.samples, given.json)
    print(baseline.key, json.dumps(summary), flush=True)


if __name__ == "__main__":
    main()
