"""Which plane-wave cutoff each element needs in GPAW.

    python -m benchmarks.gpaw_cutoffs [Si O Fe ...]

Two atoms in a strained diamond cell at the distance of a covalent bond, which is as close as
atoms of a random crystal come, at rising cutoffs. Printed is the error against the largest
one: of the stress, and of the energy difference between this cell and one of 20 % more volume.
"""

import argparse

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.data import atomic_numbers, covalent_radii
from ase.units import GPa
from gpaw import GPAW

ELEMENTS = (
    *("H", "B", "C", "N", "O", "F", "Na", "Mg", "Al", "Si", "P", "S", "Cl", "K", "Ca", "Ti"),
    *("Fe", "Ni", "Cu", "Zn", "Ga", "Ge", "As", "Se", "Br", "Sr", "Zr", "Mo", "Ag", "Sn", "I"),
    *("Ba", "W", "Pt", "Pb"),
)
CUTOFFS = (300, 350, 400, 500, 600, 700, 800)
REFERENCE = 1200
STRAIN = np.array([[1.03, 0.02, 0.0], [0.0, 0.98, 0.01], [0.0, 0.0, 1.01]])
MIN_DISTANCE = 1.4  # Å; the grid of a smaller cell has too few points for GPAW
MAX_STRESS = 1.0  # GPa
MAX_ENERGY = 0.01  # eV/atom


def measure(atoms: Atoms, cutoff: float) -> tuple[float, float]:
    """Energy in eV and mean stress in GPa."""
    atoms.calc = GPAW(
        mode={"name": "pw", "ecut": cutoff},
        xc="PBE",
        kpts={"size": (2, 2, 2)},
        symmetry={"point_group": False},
        occupations={"name": "fermi-dirac", "width": 0.1},
        convergence={"energy": 1e-4, "density": 1e-4},
        txt=None,
    )
    energy = float(atoms.get_potential_energy(force_consistent=True))
    return energy, float(atoms.get_stress()[:3].mean() / GPa)


def errors(symbol: str) -> dict[int, tuple[float, float]]:
    """Errors of stress (GPa) and energy difference (eV/atom) at each cutoff."""
    distance = max(2 * covalent_radii[atomic_numbers[symbol]], MIN_DISTANCE)
    close = bulk(symbol, "diamond", a=distance * 4 / np.sqrt(3))
    close.set_cell(close.cell @ STRAIN, scale_atoms=True)
    wide = close.copy()
    wide.set_cell(close.cell * 1.2 ** (1 / 3), scale_atoms=True)

    def at(cutoff: float) -> tuple[float, float]:
        energy, stress = measure(close, cutoff)
        return stress, (energy - measure(wide, cutoff)[0]) / len(close)

    stress, difference = at(REFERENCE)
    found = {cutoff: at(cutoff) for cutoff in CUTOFFS}
    return {cutoff: (one[0] - stress, one[1] - difference) for cutoff, one in found.items()}


def main() -> None:
    """Print a line for each element."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("elements", nargs="*", default=ELEMENTS)
    for symbol in parser.parse_args().elements:
        found = errors(symbol)
        good = [
            cutoff
            for cutoff in CUTOFFS
            if all(
                abs(found[one][0]) < MAX_STRESS and abs(found[one][1]) < MAX_ENERGY
                for one in CUTOFFS
                if one >= cutoff
            )
        ]
        line = "  ".join(f"{cutoff}: {a:.2f}/{1000 * b:.0f}" for cutoff, (a, b) in found.items())
        print(f"{symbol:3}{good[0] if good else 'more'}  {line}  (GPa/(meV/atom))", flush=True)


if __name__ == "__main__":
    main()
