"""Where a table of all pairs of atoms stops paying.

    python -m benchmarks.crossover --json FILE

Rocksalt supercells of growing size, five members of the paper's architecture, cutoff 5 Å:
time of one evaluation on folded geometry and by SchNetPack, against pairs for each edge.
`pyrite.models.folded` takes its limits from here.
"""

import argparse
import json
from functools import partial
from pathlib import Path
from typing import Any

from ase.build import bulk

from benchmarks.side_by_side import architecture, machine, networks, seconds
from pyrite.config import Representation
from pyrite.documents import Crystal
from pyrite.models import ensemble as ensemble_module
from pyrite.models.dataset import crystal_inputs
from pyrite.models.ensemble import Ensemble
from pyrite.models.numerics import use_threads

REPEATS = ((2, 2, 2), (3, 3, 3), (4, 4, 4), (5, 5, 5), (6, 6, 6), (7, 7, 7))
CUTOFF = 5.0
SECONDS_AT_MOST = 20.0


def measure(kind: Representation) -> list[dict[str, Any]]:
    """Evaluations of one representation, until one of them takes too long."""
    members = networks(architecture(kind, CUTOFF))
    folded, stock = (Ensemble(members, CUTOFF, fold=fold) for fold in (True, False))
    ensemble_module.worth_folding = lambda *_: True  # type: ignore[assignment]
    rows = []
    for repeat in REPEATS:
        atoms = bulk("NaCl", "rocksalt", a=5.7) * repeat
        atoms.rattle(0.1, seed=1)
        inputs = crystal_inputs([Crystal.from_atoms(atoms)], CUTOFF)
        times = [
            min(seconds(partial(one.evaluate, inputs)) for _ in range(3)) for one in (folded, stock)
        ]
        rows.append(
            {
                "model": str(kind),
                "atoms": len(atoms),
                "pairs_per_edge": round(len(atoms) ** 2 / (2 * len(inputs["_idx_i"])), 2),
                "folded_seconds": round(times[0], 4),
                "stock_seconds": round(times[1], 4),
                "ratio": round(times[1] / times[0], 2),
            }
        )
        print(json.dumps(rows[-1]), flush=True)
        if max(times) > SECONDS_AT_MOST or rows[-1]["ratio"] < 0.5:
            break
    return rows


def main() -> None:
    """Measure PaiNN and SO3net."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    use_threads(1)
    result = {
        "machine": machine(),
        "rows": [*measure(Representation.PAINN), *measure(Representation.SO3NET)],
    }
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
