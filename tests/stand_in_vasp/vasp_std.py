"""A stand-in for the program vasp_std, for tests.

    python tests/stand_in_vasp/vasp_std.py

It reads INCAR, POSCAR, POTCAR and KPOINTS (or KSPACING) in the working
directory, refuses what does not fit together, and answers with energies, forces
and stress of ASE's effective medium theory (Al, Cu, Ag, Au, Ni, Pd, Pt; H, C, N, O)
in vasprun.xml, OUTCAR, OSZICAR and CONTCAR. It does static calculations and
relaxations (IBRION 1, 2, 3; ISIF 2, 3), heeds STOPCAR, and writes neither charges
nor wave functions. Functional, cutoff and k-points change no number.

Energies count from free atoms (:mod:`tests.stand_in_vasp.potential`); the free
energy is the one whose gradient the forces are, and energy(sigma->0) lies
0.01 eV/atom above it. Bands are invented: metals have no gap.

Environment:

STAND_IN_VASP_FAIL
    Failures, such as ``scf_fast`` or ``killed:once,nan:share=0.3``; see
    :mod:`tests.stand_in_vasp.failures`.
STAND_IN_VASP_SECONDS
    How long each ionic step lasts at least.
"""

import sys
from pathlib import Path


def main() -> int:
    """Run in the working directory; returns the exit code."""
    # At once, for custodian's monitors judge whatever lies there while imports take their time.
    for name in ("vasprun.xml", "OUTCAR", "OSZICAR", "CONTCAR"):
        Path(name).write_text("", encoding="utf-8")
    # Run by path, Python looks beside this file, not where the package `tests` is.
    sys.path[0] = str(Path(__file__).absolute().parents[2])
    from tests.stand_in_vasp.calculation import run

    return run(Path.cwd())


if __name__ == "__main__":
    sys.exit(main())
