"""How many starts of a large cell become a known crystal by networks that learned on a small one.

    pyrite run --preset si16-fast --name si16 --home HOME
    python -m benchmarks.transfer --home HOME --search si16 --json FILE

The last networks of a finished search relax symmetric starts of the larger cell, drawn and relaxed
as a search with ``target.composition`` does (not rattled, not stopped as uncertain). Only starts
that have the crystal's space group and orbits from the beginning are relaxed, unless ``--all`` is
given: others would have to lose their symmetry on the way. The crystal itself, from its published
geometry, tells the energy to compare with.
"""

import argparse
import math
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import stored
from benchmarks.orbits import symmetry
from pyrite.config import SearchConfig
from pyrite.documents import Crystal, Role
from pyrite.launchers.session import attached
from pyrite.models import steps
from pyrite.models.ensemble import Ensemble
from pyrite.models.generation import random_candidate
from pyrite.models.known_structures import known_structure
from pyrite.models.matching import same_crystal
from pyrite.models.relaxation import Relaxed, relax
from pyrite.models.shards import mean_volume
from pyrite.pool_config import PoolConfig, TargetConfig

RESULTS = Path(__file__).parent / "results" / "transfer.json"


def learned(home: Path, search: str) -> tuple[SearchConfig, Ensemble, int]:
    """Settings and last networks of a search, and how many labels those have learned."""
    with attached(home, create=False) as session:
        store = session.store
        config = store.get_search(search).config
        last = max(one.iteration for one in store.members_facts(search))
        members = store.members(search, last)
    ensemble = steps.make_ensemble(config, [weights for _, weights in members])
    return config, ensemble, members[0][0].labels


def told(one: Relaxed, reference: float) -> dict[str, Any]:
    """Where a relaxation ended; energies in meV/atom."""
    return {
        "above_the_crystal": round(1000 * (one.prediction.energy - reference), 1),
        "spread": round(1000 * one.prediction.energy_spread, 1),
        "uncertainty": round(one.prediction.uncertainty, 2),
        "stop": one.stop.value,
        "steps": one.steps,
    }


def measured(
    given: argparse.Namespace,
    bound: int,
    starts: Sequence[Crystal],
    networks: tuple[SearchConfig, Ensemble, int],
) -> dict[str, Any]:
    """Relax the starts of one bound, or those of them that have the crystal's symmetry.

    Parameters
    ----------
    networks : what `learned` gives
    """
    known = known_structure(given.structure)
    config, ensemble, labels = networks
    how = config.relaxation.model_copy(update={"max_relative_uncertainty": math.inf})
    crystal = Crystal.from_structure(known)
    [best] = relax([crystal], ensemble, how, mean_volume(config))
    wanted = symmetry(known)
    alike = [one for one in starts if symmetry(one.to_structure()) == wanted]
    chosen = starts if given.all else alike
    began = time.perf_counter()
    relaxed = relax(chosen, ensemble, how, mean_volume(config))
    seconds = time.perf_counter() - began
    intact = [one for one in relaxed if not one.stop.broken]
    intact.sort(key=lambda one: one.prediction.energy)
    became = [one for one in intact if same_crystal(one.crystal, crystal)]
    others = [one for one in intact if not same_crystal(one.crystal, crystal)]
    reference = best.prediction.energy
    return {
        "max_orbits": bound,
        "starts": len(starts),
        "with_its_wyckoff_positions": len(alike),
        "relaxed": len(chosen),
        "became_the_crystal": len(became),
        "lowest_others": [told(one, reference) for one in others[:5]],
        "the_crystal": told(best, reference),
        "stops": dict(Counter(one.stop.value for one in relaxed)),
        "steps": sum(one.steps for one in relaxed),
        "seconds": round(seconds, 1),
        "labels": labels,
    }


def main() -> None:
    """Measure for each bound on the inequivalent atoms."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--search", required=True)
    parser.add_argument("--composition", default="Si46")
    parser.add_argument("--structure", default="si-clathrate-i", help="with as many atoms per cell")
    parser.add_argument("--bounds", nargs="+", type=int, default=[3, 4])
    parser.add_argument("--starts", type=int, default=2000)
    parser.add_argument("--all", action="store_true", help="relax all starts")
    parser.add_argument("--json", type=Path, default=RESULTS)
    given = parser.parse_args()
    networks = learned(given.home, given.search)
    rows = []
    for bound in given.bounds:
        pool = PoolConfig(size=given.starts, symmetric_share=1, rattle=0, max_orbits=bound)
        target = TargetConfig(composition=given.composition, pool=pool)
        config = SearchConfig(composition=given.composition, target=target)
        drawn = (random_candidate(config, Role.TARGET, k) for k in range(given.starts))
        rows.append(measured(given, bound, [one.crystal for one in drawn], networks))
        print(rows[-1], flush=True)
    found = {"composition": given.composition, "structure": given.structure}
    results = found | {"rows": rows, "machine": stored.machine()}
    stored.update(given.json, lambda _: results)


if __name__ == "__main__":
    main()
