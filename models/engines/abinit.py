"""atomate2's ABINIT Makers: their limits from the search, their documents as VASP's.

Their documents (atomate2 0.1.6) give stress in GPa with tension positive, and count nothing: steps
are read from the output. What ABINIT calls the total energy is the free energy, as forces need it.
"""

import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from ase.units import Bohr, Hartree

from pyrite.errors import EngineError, LabelError
from pyrite.models.engines.adapters import Adapter, digest
from pyrite.models.engines.documents import Document, Output

_KBAR_OF_GPA = -10.0  # compression positive
_INCONSISTENT = re.compile(r"chkinp: ERROR -\s*\n(.+\n.*)")
_OUTPUT, _LOG = "run.abo", "run.log"


class Abinit(Adapter):
    """Of Makers derived from atomate2's for ABINIT."""

    def check(self, field: str, maker: Any) -> None:
        """See :class:`Adapter`."""
        from atomate2 import SETTINGS

        for key in ("abinit_cmd", "mpirun_cmd"):
            variable = f"ABINIT_{key.removeprefix('abinit_').upper()}"
            command = maker.run_abinit_kwargs.get(key) or getattr(SETTINGS, variable)
            if not isinstance(command, str | None):
                raise EngineError(
                    f"reference.settings: run_abinit_kwargs.{key}: {command!r} is no program; "
                    f"name one, or leave it to ATOMATE2_{variable}"
                )
            if command is not None and shutil.which(command) is None:
                raise EngineError(
                    f"{field}: there is no program {command!r} here; install ABINIT (Debian, "
                    "Ubuntu: apt-get install abinit), or name a program without arguments by "
                    f"ATOMATE2_{variable}"
                )
        for path in self._pseudos(maker):
            if not path.is_file():
                raise EngineError(
                    f"reference.settings: input_set_generator.pseudos: there is no file {path}; "
                    "install the data (Debian, Ubuntu: apt-get install abinit-data) or correct it"
                )

    def data(self, maker: Any) -> Mapping[str, Any]:
        """See :class:`Adapter`."""
        return {"pseudos": digest(self._pseudos(maker))}

    def _pseudos(self, maker: Any) -> list[Path]:
        pseudos = maker.input_set_generator.pseudos
        # A name and a colon stand for a table that abipy has installed.
        return [Path(one) for one in pseudos] if isinstance(pseudos, list | tuple) else []

    def limited(self, maker: Any, fmax: float, max_steps: int) -> Any:
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

    def document(self, runs: Sequence[Any]) -> Document:
        """See :class:`Adapter`; raises LabelError where electrons did not converge."""
        last = runs[-1]
        # Of relaxations, atomate2 tells only whether the atoms have come to rest.
        if any("Scf" in type(event).__name__ for event in last.event_report.warnings):
            raise LabelError("ABINIT's electrons did not converge")
        calls, cycles = self.spent(Path(run.dir_name) for run in runs)
        return Document(
            structure=last.structure,
            state=last.state.value,
            program_version=f"ABINIT {last.calcs_reversed[0].abinit_version}",
            output=Output(
                energy=last.output.energy,
                forces=last.output.forces,
                stress=(np.array(last.output.stress) * _KBAR_OF_GPA).tolist(),
                n_steps=calls,
                scf_cycles=cycles,
            ),
        )

    def reason(self, folders: Iterable[Path]) -> str | None:
        """The first error of the run that ABINIT began last."""
        from abipy.flowtk.events import EventsParser

        logs = [log for folder in folders for log in folder.rglob(_LOG)]
        if not logs:
            return None
        last = max(logs, key=lambda log: log.stat().st_mtime)
        # Of inconsistent input, the event says only that it is; the details stand above it.
        details = _INCONSISTENT.search(last.read_text(encoding="utf-8", errors="replace"))
        if details:
            said = details[1]
        else:
            errors = EventsParser().parse(str(last)).errors
            if not errors:
                return None
            said = errors[0].message
        return f"ABINIT: {' '.join(said.split())}"[:300]

    def spent(self, folders: Iterable[Path]) -> tuple[int, int]:
        """See :class:`Adapter`."""
        from abipy.flowtk.abiinspect import Relaxation

        outputs = [path for folder in folders for path in folder.rglob(_OUTPUT)]
        cycles = [
            cycle.num_iterations
            for output in outputs
            for cycle in Relaxation.from_file(str(output)) or ()
        ]
        return max(1, len(cycles)), sum(cycles)
