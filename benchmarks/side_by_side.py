"""What the benchmarks of the ensemble have in common: systems, networks, machine, rounds."""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from schnetpack.model import NeuralNetworkPotential

from pyrite import __version__
from pyrite.config import Representation, SearchConfig, SurrogateConfig
from pyrite.documents import Crystal
from pyrite.models.generation import generate_pool
from pyrite.models.networks import build_network
from pyrite.models.numerics import use_threads
from pyrite.pool_config import PoolConfig

SYSTEMS = ("Si16", "Na8Cl8", "Ga8As8", "Al4O6", "Si46")
MEMBERS = 5
# The paper's architecture; the repulsion is left out, since it costs the same on both sides.
MODELS = (
    (Representation.SO3NET, 7.0),
    (Representation.PAINN, 5.0),
    (Representation.PAINN, 7.0),
)
QUICK = {("Si16", Representation.SO3NET, 7.0), ("Si16", Representation.PAINN, 7.0)}


def architecture(kind: Representation, cutoff: float) -> SurrogateConfig:
    """Networks of the paper's size."""
    return SurrogateConfig(
        representation=kind,
        cutoff=cutoff,
        members=MEMBERS,
        features=64,
        interactions=2,
        lmax=2,
        radial_basis=20,
        shared_interactions=True,
        zbl=False,
        device="cpu",
    )


def networks(config: SurrogateConfig) -> list[NeuralNetworkPotential]:
    """Untrained members."""
    return [build_network(config, seed) for seed in range(config.members)]


def crystals(system: str, count: int, seed: int) -> list[Crystal]:
    """Random crystals as a search would draw them."""
    pool = PoolConfig(size=count, symmetric_share=0.0)
    config = SearchConfig(composition=system, seed=seed, pool=pool)
    return [one.crystal for one in generate_pool(config)]


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def matmul_peak() -> float:
    """Largest rate of floating-point operations in a matrix product, 1/s."""
    a = torch.randn(1024, 1024)
    return max(2 * 1024**3 / seconds(lambda: a @ a) for _ in range(10))


def machine() -> dict[str, Any]:
    """Where and with what a benchmark ran."""
    model = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "threads": torch.get_num_threads(),
        "matmul_peak_gflops": round(matmul_peak() / 1e9, 1),
        "allocator": {
            name: os.environ.get(name)
            for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")
        },
        "python": platform.python_version(),
        "pyrite": __version__,
        "versions": {
            name: version(name) for name in ("torch", "schnetpack", "torch-sim-atomistic")
        },
    }


def row(
    system: str, kind: Representation, cutoff: float, rounds: Sequence[tuple[float, float]]
) -> dict[str, Any]:
    """One line of the result from (baseline rate, rate) of several rounds."""
    ratios = sorted(rate / baseline for baseline, rate in rounds)
    return {
        "system": system,
        "model": str(kind),
        "cutoff_angstrom": cutoff,
        "members": MEMBERS,
        "baseline_rate": round(statistics.median(one for one, _ in rounds), 4),
        "rate": round(statistics.median(one for _, one in rounds), 3),
        "ratio": round(statistics.median(ratios), 2),
        "spread": [round(ratios[0], 2), round(ratios[-1], 2)],
    }


def run(
    description: str,
    measure: Callable[[str, SurrogateConfig, int], dict[str, Any]],
    rounds: int = 3,
) -> None:
    """The command line: measure all systems and models, print and write as results come in."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="Si16 at 7 Å only")
    parser.add_argument("--json", type=Path, help="file for the result")
    arguments = parser.parse_args()
    use_threads(1)
    result: dict[str, Any] = {"machine": machine(), "rounds": rounds, "seeds": [1], "rows": []}
    for kind, cutoff in MODELS:
        for system in SYSTEMS:
            if arguments.quick and (system, kind, cutoff) not in QUICK:
                continue
            found = measure(system, architecture(kind, cutoff), rounds)
            result["rows"].append(found)
            print(json.dumps(found), flush=True)
            if arguments.json:
                arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
