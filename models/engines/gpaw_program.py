"""One calculation by GPAW, as a program of its own: ``python -m gpaw python THIS FOLDER``.

The folder holds ``job.json`` and receives ``result.json``. Under MPI every process runs this; one
that fails alone writes the result and ends the others, who would wait for it.
"""

import json
import os
import platform
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
from ase import Atoms
from ase.filters import FrechetCellFilter
from ase.optimize import LBFGS
from gpaw import GPAW, KohnShamConvergenceError, __version__
from gpaw.mpi import world

from pyrite.errors import EngineError
from pyrite.models.text import one_line
from pyrite.models.watched import WatchedCalculator

MAX_STEP = 0.2  # Å
_POLLING = 1.0  # s


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


def require_all_processes(inherited: dict[str, str | None]) -> None:
    """Make sure that the launcher's processes know of each other.

    ``inherited`` has the variables where launchers tell how many there are, as the worker has
    them: those that are still the same speak of the worker's own launcher.
    """
    told = {name: os.environ.get(name) or "" for name in inherited}
    new = [int(n) for name, n in told.items() if n.isdigit() and n != inherited[name]]
    started = max(new, default=1)
    if started > world.size:
        raise EngineError(
            f"PYRITE_GPAW_LAUNCHER: it started {started} processes, and each calculates alone: "
            f"GPAW sees {world.size}; build GPAW with the MPI that the launcher belongs to (pip "
            "install --force-reinstall --no-cache-dir --no-deps gpaw), or unset the variable"
        )


def end_with(worker: dict[str, Any]) -> None:
    """End this process when the worker that asked for it is gone; MPI then ends the others.

    ``worker`` has its ``host``, ``pid`` and when it ``began``. One of another host is not seen.
    """
    if worker["host"] != platform.node():
        return
    try:
        found = psutil.Process(worker["pid"])
        # Once only: the times of all processes change when the clock is set.
        if abs(found.create_time() - worker["began"]) >= _POLLING:
            return
    except psutil.NoSuchProcess:
        return

    def lives() -> bool:
        try:
            return bool(found.is_running() and found.status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False

    def watch() -> None:
        while lives():
            time.sleep(_POLLING)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main(folder: Path) -> None:
    """Calculate, and write what came of it."""
    os.chdir(folder)
    try:
        job = json.loads(Path("job.json").read_text(encoding="utf-8"))
        end_with(job["worker"])
        if job["launched"]:
            require_all_processes(job["inherited"])
        result, failed = calculate(job), False
    except Exception as error:
        result, failed = _failure(error), True
    if world.rank == 0 or failed:
        unfinished = Path(f"result.json.unfinished.{os.getpid()}")
        unfinished.write_text(json.dumps(result), encoding="utf-8")
        unfinished.replace("result.json")
    if failed and world.size > 1:
        world.abort(1)


def _failure(error: Exception) -> dict[str, str]:
    """What a label says, or the search where the user has to mend something."""
    match error:
        case EngineError():
            return {"engine_error": str(error)}
        case KohnShamConvergenceError():
            return {"error": "the electrons did not converge"}
        case FileNotFoundError() if "PAW dataset" in str(error):
            return {"engine_error": f"GPAW's data are missing: {one_line(error)}"}
        case _:
            return {"error": one_line(error)}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
