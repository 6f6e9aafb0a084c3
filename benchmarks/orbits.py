"""How often symmetric starts have the Wyckoff positions of a known crystal, by `pool.max_orbits`.

    python -m benchmarks.orbits --composition Si46 --structure si-clathrate-i --bounds none 6 4

Starts are drawn as a search draws them, without rattling. One counts when its space group and the
sizes of its orbits are those of the published crystal; whether it relaxes to it is another matter.
Starts that reach the crystal from a subgroup are not counted.
"""

import argparse
from pathlib import Path
from typing import Any

from pymatgen.core import Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from benchmarks import stored
from pyrite.config import SearchConfig
from pyrite.documents import Role
from pyrite.models.generation import random_candidate
from pyrite.models.known_structures import known_structure
from pyrite.pool_config import PoolConfig

RESULTS = Path(__file__).parent / "results" / "orbits.json"
SYMPREC = 1e-3  # Å


def symmetry(structure: Structure) -> tuple[int, list[tuple[str, int]]]:
    """Space group, and the element and size of each orbit."""
    analyzer = SpacegroupAnalyzer(structure, symprec=SYMPREC)
    orbits = analyzer.get_symmetrized_structure().equivalent_sites
    return analyzer.get_space_group_number(), sorted(
        (orbit[0].specie.symbol, len(orbit)) for orbit in orbits
    )


def counted(composition: str, name: str, bound: int | None, starts: int) -> dict[str, Any]:
    """How many of the starts have the symmetry of the known crystal."""
    pool = PoolConfig(symmetric_share=1, rattle=0, max_orbits=bound)
    config = SearchConfig(composition=composition, pool=pool)
    wanted = symmetry(known_structure(name))
    drawn = (random_candidate(config, Role.TRAIN, index).crystal for index in range(starts))
    hits = sum(symmetry(crystal.to_structure()) == wanted for crystal in drawn)
    return {"max_orbits": bound, "starts": starts, "with_its_wyckoff_positions": hits}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--composition", default="Si46")
    parser.add_argument("--structure", default="si-clathrate-i", help="with as many atoms per cell")
    parser.add_argument("--bounds", nargs="+", default=["none", "6", "4"])
    parser.add_argument("--starts", type=int, default=300)
    parser.add_argument("--json", type=Path, default=RESULTS)
    given = parser.parse_args()
    rows = []
    for bound in given.bounds:
        most = None if bound == "none" else int(bound)
        rows.append(counted(given.composition, given.structure, most, given.starts))
        print(rows[-1], flush=True)
    found = {"composition": given.composition, "structure": given.structure}
    results = found | {"rows": rows, "machine": stored.machine()}
    stored.update(given.json, lambda _: results)


if __name__ == "__main__":
    main()
