"""One calculation by GPAW, as a program of its own: ``python -m gpaw python THIS FOLDER``.

The folder holds ``job.json`` and receives ``result.json``. Under MPI every process runs this.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.filters import FrechetCellFilter
from ase.optimize import LBFGS
from gpaw import GPAW, KohnShamConvergenceError, __version__
from gpaw.mpi import world

from pyrite.errors import EngineError
from pyrite.models.text import one_line
from pyrite.models.watched import WatchedCalculator

MAX_STEP = 0.2  # Å


def calculate(job: dict[str, Any]) -> dict[str, Any]:
    """Energy, forces and stress, of the geometry that was asked about or of a relaxed one."""
    atoms: Any = Atoms(job["numbers"], positions=job["positions"], cell=job["cell"], pbc=True)
    if job["parameters"]["spinpol"]:
        atoms.set_initial_magnetic_moments([1.0] * len(atoms))
    try:
        calculator: Any = GPAW(**job["parameters"], txt="gpaw.txt")
    except (TypeError, ValueError) as error:
        raise EngineError(f"reference.gpaw: GPAW refuses its parameters: {error}") from error
    atoms.calc = WatchedCalculator(calculator)
    how = {"converged": True, "interrupted": False}
    if "fmax" in job:
        how = relax(atoms, **{name: job[name] for name in ("fmax", "max_steps", "stop_at")})
    return {
        # The forces are gradients of the free energy, not of the one extrapolated to no smearing.
        "energy": float(atoms.get_potential_energy(force_consistent=True)),
        "forces": atoms.get_forces().tolist(),
        "stress": atoms.get_stress(voigt=False).tolist(),
        "positions": atoms.positions.tolist(),
        "cell": atoms.cell.tolist(),
        "version": __version__,
        "setups": {one.symbol: one.data.fingerprint for one in calculator.setups},
        "processes": world.size,
        **how,
    }


def relax(atoms: Atoms, fmax: float, max_steps: int, stop_at: float | None) -> dict[str, bool]:
    """Relax cell and atoms; ends three steps before ``stop_at``, in seconds since 1970."""
    moving: Any = FrechetCellFilter(atoms)
    optimizer: Any = LBFGS(moving, maxstep=MAX_STEP, logfile=os.devnull)
    longest, last = 0.0, time.time()
    for converged in optimizer.irun(fmax=fmax, steps=max_steps):
        now = time.time()
        longest, last = max(longest, now - last), now
        out_of_time = stop_at is not None and now + 3 * longest > stop_at
        # All processes must come to the same decision: one that is late ends them all.
        if world.max_scalar(int(out_of_time)) and not converged:
            return {"converged": False, "interrupted": True}
    return {"converged": bool(converged), "interrupted": False}


def main(folder: Path) -> None:
    """Calculate, and write what came of it."""
    os.chdir(folder)
    try:
        result = calculate(json.loads(Path("job.json").read_text(encoding="utf-8")))
    except EngineError as error:
        result = {"engine_error": str(error)}
    except KohnShamConvergenceError:
        result = {"error": "the electrons did not converge"}
    except FileNotFoundError as error:
        result = {"engine_error": f"GPAW's data are missing: {one_line(error)}"}
    except Exception as error:
        result = {"error": one_line(error)}
    if world.rank == 0:
        unfinished = Path("result.json.unfinished")
        unfinished.write_text(json.dumps(result), encoding="utf-8")
        unfinished.replace("result.json")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
