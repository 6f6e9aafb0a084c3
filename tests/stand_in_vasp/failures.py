"""Failures on demand.

The environment variable ``STAND_IN_VASP_FAIL`` holds one or more of them, joined
by commas, each a mode with conditions:

    mode[:once][:share=X]

``once``
    Only the first run in a directory fails.
``share=X``
    Only the share X of geometries fails (0 to 1). Cell and positions of POSCAR
    decide, rounded, whatever the elements and the order of ions: a second run
    of the same POSCAR fails again. Each mode draws its own share.

Modes:

``scf``
    No ionic step converges within NELM electronic steps; its energy is 0.1 eV/atom too high.
``scf_fast``
    The same, while ALGO is VeryFast, Fast or Normal.
``sloshing``
    The same, unless ALGO mixes densities (VeryFast, Fast, Normal) and AMIX is at most 0.1.
``zbrent``
    A relaxation stops after its second ionic step for want of a bracket, while IBRION is 2
    and NELMIN less than 8.
``edddav``
    The third electronic step breaks down, while ALGO is VeryFast, Fast or Normal.
``entropy``
    The entropy term is -0.8·SIGMA² eV/atom, too large for custodian unless SIGMA is small.
``memory``
    Exit 1 after a message on standard error that there is too little memory.
``crash``
    Exit 1 right after the banner.
``killed``
    SIGKILL in the middle, with half of the outputs written.
``truncated``
    Exit 0, but vasprun.xml is cut in the middle.
``order``
    The outputs list the ions of POSCAR from the last to the first.
``nan``
    Energy, forces and stress are NaN.
``incomplete``
    vasprun.xml lacks electronic steps and forces.
``hang``
    Sleeps before the first electronic step, until it is terminated.
``absurd``
    The energy is 1e6 eV, the forces 1e5 eV/Å.
"""

import hashlib
import os
import signal
import time
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import numpy as np
from tests.stand_in_vasp.incar import Settings
from tests.stand_in_vasp.poscar import Poscar, read_poscar
from tests.stand_in_vasp.potential import IonicStep
from tests.stand_in_vasp.refusal import Refusal

VARIABLE = "STAND_IN_VASP_FAIL"
RUNS = ".stand_in_vasp_runs"
"""Counts the runs in a directory."""

UNCONVERGED = 0.1
"""Error of an energy without convergence, eV/atom."""

_SIMPLE = ("normal", "fast", "veryfast")


class Mode(StrEnum):
    """What can go wrong."""

    SCF = "scf"
    SCF_FAST = "scf_fast"
    SLOSHING = "sloshing"
    ZBRENT = "zbrent"
    EDDDAV = "edddav"
    ENTROPY = "entropy"
    MEMORY = "memory"
    CRASH = "crash"
    KILLED = "killed"
    TRUNCATED = "truncated"
    ORDER = "order"
    NAN = "nan"
    INCOMPLETE = "incomplete"
    HANG = "hang"
    ABSURD = "absurd"


@dataclass(frozen=True)
class Failure:
    """A mode and its conditions."""

    mode: Mode
    once: bool = False
    share: float = 1.0


def parse(text: str) -> list[Failure]:
    """The failures that ``text`` asks for.

    Raises
    ------
    Refusal
        When it does not follow the grammar.
    """
    return [_parse_one(part.strip()) for part in text.split(",") if part.strip()]


def active(directory: Path) -> frozenset[Mode]:
    """The modes of this run in ``directory``, which is counted.

    Raises
    ------
    Refusal
        When the environment variable does not follow the grammar.
    """
    counter = directory / RUNS
    earlier = int(counter.read_text(encoding="utf-8")) if counter.exists() else 0
    counter.write_text(str(earlier + 1), encoding="utf-8")
    failures = [
        failure for failure in parse(os.environ.get(VARIABLE, "")) if not (failure.once and earlier)
    ]
    if all(failure.share == 1.0 for failure in failures):
        return frozenset(failure.mode for failure in failures)
    poscar = read_poscar(directory / "POSCAR")
    return frozenset(f.mode for f in failures if lot(poscar, f.mode) < f.share)


def lot(poscar: Poscar, mode: Mode) -> float:
    """A number from 0 to 1 that the geometry draws for ``mode``."""
    cell = np.round(poscar.cell, 2) + 0.0  # no -0.0
    places = np.round(poscar.scaled % 1.0, 3) % 1.0 + 0.0
    content = cell.tobytes() + places[np.lexsort(places.T)].tobytes()
    digest = hashlib.sha256(mode.encode() + content).digest()
    return int.from_bytes(digest[:6]) / 2**48


def breaks_scf(modes: AbstractSet[Mode], settings: Settings) -> bool:
    """Whether electronic steps do not converge."""
    return (
        Mode.SCF in modes
        or (Mode.SCF_FAST in modes and settings.algo in _SIMPLE)
        or (Mode.SLOSHING in modes and (settings.amix > 0.1 or settings.algo not in _SIMPLE))
    )


def breaks_davidson(modes: AbstractSet[Mode], settings: Settings) -> bool:
    """Whether the electronic steps break down."""
    return Mode.EDDDAV in modes and settings.algo in _SIMPLE


def breaks_line_search(modes: AbstractSet[Mode], settings: Settings, number: int) -> bool:
    """Whether the relaxation stops after ionic step ``number``."""
    searches = settings.relaxes and settings.ibrion == 2 and settings.nelmin < 8
    return Mode.ZBRENT in modes and searches and number == 2


def entropy(modes: AbstractSet[Mode], settings: Settings, tidy: float) -> float:
    """The entropy term that OUTCAR tells, eV/atom; ``tidy`` without a failure."""
    return -0.8 * settings.sigma**2 if Mode.ENTROPY in modes else tidy


def spoil(modes: AbstractSet[Mode], step: IonicStep) -> IonicStep:
    """What the outputs say instead of ``step``."""
    if Mode.ABSURD in modes:
        signs = np.where(np.arange(step.forces.size) % 2, -1.0, 1.0).reshape(step.forces.shape)
        step = replace(step, energy=1e6, forces=1e5 * signs)
    if Mode.NAN in modes:
        nothing = np.full_like(step.forces, np.nan)
        step = replace(step, energy=np.nan, forces=nothing, stress=np.full((3, 3), np.nan))
    return step.reversed() if Mode.ORDER in modes else step


def kill() -> None:
    """End this process as the kernel does when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


def hang() -> None:
    """Do nothing, until a signal ends this process."""
    while True:
        time.sleep(60)


def truncate(path: Path) -> None:
    """Cut the second half of a file off."""
    os.truncate(path, path.stat().st_size // 2)


def _parse_one(part: str) -> Failure:
    name, *conditions = part.split(":")
    try:
        failure = Failure(Mode(name))
        for condition in conditions:
            key, equals, value = condition.partition("=")
            if key == "once" and not equals:
                failure = replace(failure, once=True)
            elif key == "share" and 0 <= float(value) <= 1:
                failure = replace(failure, share=float(value))
            else:
                raise ValueError(condition)
    except ValueError:
        raise Refusal(
            f"{VARIABLE}: {part!r} is not mode[:once][:share=X] with X from 0 to 1 and a mode of "
            + ", ".join(Mode)
        ) from None
    return failure
