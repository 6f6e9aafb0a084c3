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
import os
import platform
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.analysis.structure_matcher import StructureMatcher

from pyrite import __version__
from pyrite.config import PoolConfig, SearchConfig
from pyrite.documents import Crystal, Origin, Role
from pyrite.errors import LabelError
from pyrite.models.engines import make_engine
from pyrite.models.generation import random_candidate
from pyrite.models.known_structures import known_structure
from pyrite.models.reference import ReferenceEngine
from pyrite.models.seeds import stream
from pyrite.reference_config import ReferenceConfig

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
}
FMAX = 0.05  # eV/Å
MAX_STEPS = 300
TOLERANCE = 0.003  # eV/atom
RESAMPLINGS = 10_000


def sample(
    engine: ReferenceEngine, config: SearchConfig, index: int, ground: Crystal, lowest: float
) -> dict[str, Any]:
    """Relax one random crystal."""
    start = random_candidate(config, Role.TRAIN, index).crystal
    try:
        result = engine.relax(start, fmax=FMAX, max_steps=MAX_STEPS)
    except LabelError as error:
        return {"index": index, "calls": error.calls, "success": False, "error": str(error)}
    above = result.energy / len(start.numbers) - lowest
    matches = bool(StructureMatcher().fit(result.crystal.to_structure(), ground.to_structure()))
    return {
        "index": index,
        "calls": result.calls,
        "success": matches and abs(above) <= TOLERANCE,
        "matches": matches,
        "energy_above_ground_ev_per_atom": round(above, 5),
        "converged": result.converged,
        "seconds": round(result.seconds, 2),
    }


def summarise(samples: list[dict[str, Any]], seed: int) -> dict[str, Any]:
    """Expected calls per success with a bootstrap 95 % interval; null means unbounded."""
    calls = np.array([row["calls"] for row in samples], dtype=float)
    hits = np.array([row["success"] for row in samples], dtype=float)
    rng = stream(seed, "bootstrap")
    chosen = rng.integers(len(samples), size=(RESAMPLINGS, len(samples)))
    with np.errstate(divide="ignore"):
        expected = calls.sum() / hits.sum()
        costs = calls[chosen].sum(axis=1) / hits[chosen].sum(axis=1)
    low, high = np.quantile(costs, [0.025, 0.975], method="inverted_cdf")
    return {
        "samples": len(samples),
        "successes": int(hits.sum()),
        "failed": sum("error" in row for row in samples),
        "mean_calls": round(float(calls.mean()), 1),
        "expected_calls": _whole(expected),
        "expected_calls_95": [_whole(low), _whole(high)],
        # With no success in n samples, the share is below 3/n with 95 % confidence.
        "expected_calls_at_least": _whole(calls.sum() / 3) if not hits.any() else None,
    }


def _whole(value: float) -> int | None:
    return round(float(value)) if np.isfinite(value) else None


def _facts(arguments: argparse.Namespace) -> dict[str, Any]:
    engine_package = {"sevennet": "sevenn"}.get(arguments.engine, arguments.engine)
    packages = ("ase", "atomate2", "numpy", "pymatgen", "pyxtal", "torch", engine_package)
    return {
        "system": arguments.system,
        "generator": arguments.generator,
        "engine": arguments.engine,
        "seed": arguments.seed,
        "fmax_ev_per_a": FMAX,
        "max_steps": MAX_STEPS,
        "ground_state": GROUND_STATES[arguments.system],
        "machine": {
            "platform": f"{platform.system()} {platform.machine()}",
            "cpus": os.cpu_count(),
            "threads": os.environ.get("OMP_NUM_THREADS"),
        },
        "versions": {"pyrite": __version__, "python": platform.python_version()}
        | {name: version(name) for name in packages},
    }


def _read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return document


def _store(path: Path, key: str, run: dict[str, Any]) -> None:
    """Replace one run in the file, in one step: a kill leaves the old file or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_read(path) | {key: run}, indent=1)
    scratch = path.with_suffix(".part")
    scratch.write_text(text + "\n")
    scratch.replace(path)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--system", choices=GROUND_STATES, required=True)
    parser.add_argument("--generator", choices=[Origin.P1, Origin.SYMMETRIC], default=Origin.P1)
    parser.add_argument("--engine", choices=("chgnet", "sevennet"), default="chgnet")
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--json", type=Path, default=Path(__file__).parent / "results" / "random_search.json"
    )
    arguments = parser.parse_args(argv)

    pool = PoolConfig(symmetric_share=float(arguments.generator == Origin.SYMMETRIC))
    config = SearchConfig(composition=arguments.system, seed=arguments.seed, pool=pool)
    key = "-".join(str(getattr(arguments, n)) for n in ("system", "generator", "engine", "seed"))

    with tempfile.TemporaryDirectory() as scratch:
        engine = make_engine(ReferenceConfig(engine=arguments.engine), Path(scratch))
        published = Crystal.from_structure(known_structure(GROUND_STATES[arguments.system]))
        best = engine.relax(published, fmax=0.01, max_steps=MAX_STEPS)
        lowest = best.energy / len(published.numbers)

        run = _read(arguments.json).get(key, {"samples": []})
        run = _facts(arguments) | {"ground_state_ev_per_atom": lowest, "samples": run["samples"]}
        for index in range(len(run["samples"]), arguments.samples):
            row = sample(engine, config, index, best.crystal, lowest)
            run["samples"].append(row)
            run["summary"] = summarise(run["samples"], arguments.seed)
            _store(arguments.json, key, run)
            print(key, json.dumps(row), flush=True)
    print(key, json.dumps(run.get("summary")), flush=True)


if __name__ == "__main__":
    main()
