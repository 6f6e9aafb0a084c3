"""atomate2's ABINIT Makers: their limits from the search, their documents as VASP's.

Their documents (atomate2 0.1.6) give stress in GPa with tension positive, and count nothing: steps
are read from the output. What ABINIT calls the total energy is the free energy, as forces need it.
"""

from collections.abc import Sequence
from dataclasses import fields, replace
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from ase.units import Bohr, Hartree

from pyrite.models.engines.documents import Document, Output
from pyrite.models.text import one_line

_KBAR_OF_GPA = -10.0  # compression positive


def limited(maker: Any, fmax: float, max_steps: int) -> Any:
    """A relaxation Maker with ``fmax`` (eV/Å) and a largest number of steps, restarts included.

    ABINIT compares components of forces, and stresses with a hundredth of that (Ha/Bohr³).
    What the user sets by name in ``user_abinit_settings`` wins.
    """
    from atomate2 import SETTINGS

    inputs = maker.input_set_generator
    if "tolmxf" not in {item.name for item in fields(inputs)}:
        return maker
    steps = max(2, ceil(max_steps / (1 + SETTINGS.ABINIT_MAX_RESTARTS)))  # one would not move
    return replace(
        maker,
        input_set_generator=replace(
            inputs,
            tolmxf=fmax / np.sqrt(3) * Bohr / Hartree,
            user_abinit_settings={"ntime": steps, **inputs.user_abinit_settings},
        ),
    )


def as_vasp(runs: Sequence[Any]) -> Document:
    """The documents of one job and of its restarts, as one in VASP's units."""
    last = runs[-1]
    cycles = [cycle for run in runs for cycle in _cycles(Path(run.dir_name) / "run.abo")]
    return Document(
        structure=last.structure,
        state=last.state.value,
        program_version=f"ABINIT {last.calcs_reversed[0].abinit_version}",
        output=Output(
            energy=last.output.energy,
            forces=last.output.forces,
            stress=(np.array(last.output.stress) * _KBAR_OF_GPA).tolist(),
            n_steps=len(cycles),
            scf_cycles=sum(cycles),
        ),
    )


def reason(folder: Path) -> str | None:
    """The first error of the run that ABINIT began last below ``folder``, in its own words."""
    from abipy.flowtk.events import EventsParser

    logs = sorted(folder.rglob("run.log"), key=lambda log: log.stat().st_mtime)
    errors = EventsParser().parse(str(logs[-1])).errors if logs else []
    return f"ABINIT: {one_line(errors[0].message)}" if errors else None


def _cycles(output: Path) -> list[int]:
    """Electronic steps of each geometry in ABINIT's main output."""
    from abipy.flowtk.abiinspect import Relaxation

    found = Relaxation.from_file(str(output))
    return [cycle.num_iterations for cycle in found or ()]
