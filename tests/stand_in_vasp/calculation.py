"""A whole calculation: read, compute, write, and fail where that is asked for."""

import os
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tests.stand_in_vasp import failures
from tests.stand_in_vasp.failures import Mode
from tests.stand_in_vasp.incar import Settings
from tests.stand_in_vasp.inputs import Inputs, read_inputs
from tests.stand_in_vasp.outputs import BANNER, Outputs, say
from tests.stand_in_vasp.potential import Floats, IonicStep, crystal, evaluate
from tests.stand_in_vasp.refusal import Refusal, told

SECONDS = "STAND_IN_VASP_SECONDS"
"""Environment variable: how long each ionic step lasts at least."""

CYCLES = 8
"""Electronic steps of an ionic step that converges, unless NELM or NELMIN say otherwise."""

TIDY_ENTROPY = -5e-4
"""Entropy term in OUTCAR, eV/atom.

Less than SIGMA_TO_ZERO implies, for custodian lowers SIGMA above 1 meV/atom.
"""

_STOP = re.compile(r"\b(LSTOP|LABORT)\s*=\s*\.?T", re.IGNORECASE)
_OPTIMIZERS = {1: "BFGS", 2: "LBFGS", 3: "FIRE"}


def run(directory: Path) -> int:
    """Run the calculation whose inputs lie in ``directory``; returns the exit code."""
    say(BANNER)
    with Outputs(directory) as outputs:
        try:
            modes = failures.active(directory)
            if Mode.CRASH in modes:
                return 1
            if Mode.MEMORY in modes:
                sys.stderr.write("Allocation would exceed memory limit\n")
                return 1
            pause = _pause()
            inputs = read_inputs(directory)
        except Refusal as refusal:
            say(told(refusal))
            return 1
        outputs.head(inputs, backwards=Mode.ORDER in modes)
        if Mode.HANG in modes:
            failures.hang()
        code = _compute(inputs, outputs, modes, directory, pause)
    if code == 0 and Mode.TRUNCATED in modes:
        failures.truncate(outputs.vasprun_path)
    return code


def _compute(
    inputs: Inputs, outputs: Outputs, modes: frozenset[Mode], directory: Path, pause: float
) -> int:
    """All ionic steps; returns the exit code."""
    settings, ions = inputs.settings, len(inputs.poscar.symbols)
    converged = settings.nelm > 1 and not failures.breaks_scf(modes, settings)
    entropy = failures.entropy(modes, settings, TIDY_ENTROPY) * ions
    complete = Mode.INCOMPLETE not in modes
    deadly = 2 if settings.relaxes else 1
    for step, finished in _steps(inputs):
        number = step.number
        started = time.perf_counter()
        shown = failures.spoil(modes, step)
        if not converged:
            shown = replace(shown, energy=shown.energy + failures.UNCONVERGED * ions)
        energies = _cycles(settings, shown.energy, ions, converged=converged)
        if failures.breaks_davidson(modes, settings):
            outputs.electronic_steps(number, energies[:3], entropy=entropy)
            say(" Error EDDDAV: Call to ZHEGV failed. Returncode =  12 1 17\n")
            return 1
        outputs.electronic_steps(number, energies, entropy=entropy, complete=complete)
        time.sleep(pause)
        if Mode.KILLED in modes and (number == deadly or finished):
            failures.kill()
        seconds = time.perf_counter() - started
        outputs.ionic_step(shown, converged=converged, seconds=seconds, complete=complete)
        if failures.breaks_line_search(modes, settings, number):
            say(" ZBRENT: fatal error in bracketing\n     please rerun with smaller EDIFF,\n")
            return 1
        if finished and settings.relaxes:
            say(" reached required accuracy - stopping structural energy minimisation\n")
        how = _stop_asked(directory)
        if how and settings.relaxes and not finished:
            outputs.stopped(how)
            break
    outputs.finish()
    return 0


def _steps(inputs: Inputs) -> Iterator[tuple[IonicStep, bool]]:
    """The answers for all geometries, each with whether it meets EDIFFG."""
    settings, poscar = inputs.settings, inputs.poscar
    atoms = crystal(poscar.symbols, poscar.cell, poscar.scaled)
    if not settings.relaxes:
        yield evaluate(atoms, 1), True
        return
    before = np.inf
    for number, forces in enumerate(_relaxation(atoms, settings), start=1):
        step = evaluate(atoms, number)
        finished = _meets(settings.ediffg, forces, abs(step.energy - before))
        yield step, finished
        if finished:
            return
        before = step.energy


def _relaxation(atoms: Any, settings: Settings) -> Iterator[Floats]:
    """Move ``atoms`` NSW − 1 times at most; yields the generalised forces at each geometry."""
    from ase import filters, optimize  # take longer than a static calculation

    with_cell: Any = filters.FrechetCellFilter
    moved = with_cell(atoms) if settings.isif == 3 else atoms
    optimizer = getattr(optimize, _OPTIMIZERS[settings.ibrion])(moved, logfile=None)
    for _ in optimizer.irun(fmax=0.0, steps=settings.nsw - 1):
        yield moved.get_forces()


def _meets(ediffg: float, forces: Floats, change: float) -> bool:
    """Whether forces (eV/Å), or the change of energy (eV), are as small as EDIFFG wants."""
    if ediffg < 0:
        return bool(np.linalg.norm(forces, axis=1).max() < -ediffg)
    return change < ediffg


def _cycles(settings: Settings, energy: float, ions: int, *, converged: bool) -> list[float]:
    """Free energy after each electronic step, eV; the last one is that of the ionic step."""
    if not converged:
        return [energy + 0.1 * ions * (left % 2) for left in reversed(range(settings.nelm))]
    count = min(max(CYCLES, settings.nelmin), settings.nelm - 1)
    errors = np.geomspace(ions, min(settings.ediff, 1.0) / 10, num=count)
    return [*(float(energy + error) for error in errors[:-1]), energy]


def _stop_asked(directory: Path) -> str:
    """VASP's word for how STOPCAR ends the calculation, which takes the file away."""
    path = directory / "STOPCAR"
    if not path.is_file():
        return ""
    wanted = {found[1].upper() for found in _STOP.finditer(path.read_text(encoding="utf-8"))}
    if not wanted:
        return ""
    if path.stat().st_mode & 0o200:  # whoever wants to keep it makes it read-only
        path.unlink()
    return "hard" if "LABORT" in wanted else "soft"


def _pause() -> float:
    text = os.environ.get(SECONDS, "0")
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < np.inf:
        raise Refusal(f"{SECONDS} = {text} is not a number of seconds")
    return seconds
