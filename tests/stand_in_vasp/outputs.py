"""All outputs of a calculation, kept in step with each other."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

from tests.stand_in_vasp.bands import invent_bands
from tests.stand_in_vasp.inputs import Inputs
from tests.stand_in_vasp.poscar import Poscar, write_poscar
from tests.stand_in_vasp.potential import SIGMA_TO_ZERO, IonicStep
from tests.stand_in_vasp.textfiles import TABLE, Oszicar, Outcar, electronic_line, ionic_line
from tests.stand_in_vasp.vasprun import Vasprun

VERSION = "6.4.3"
BANNER = f" running on    1 total cores\n vasp.{VERSION} (stand-in for tests) complex\n\n"


def say(text: str) -> None:
    """Write ``text`` to standard output at once, where custodian looks for messages."""
    sys.stdout.write(text)
    sys.stdout.flush()


class Outputs:
    """vasprun.xml, OUTCAR, OSZICAR and CONTCAR of a directory, and standard output.

    Parameters
    ----------
    directory : Path
        Files that an earlier run left there are emptied at once.
    """

    def __init__(self, directory: Path) -> None:
        self.vasprun_path = directory / "vasprun.xml"
        self._contcar_path = directory / "CONTCAR"
        self._contcar_path.write_text("", encoding="utf-8")
        self._vasprun = Vasprun(self.vasprun_path)
        self._outcar = Outcar(directory / "OUTCAR")
        self._oszicar = Oszicar(directory / "OSZICAR")
        self._last: IonicStep | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        for file in (self._vasprun, self._outcar, self._oszicar):
            file.close()

    def head(self, inputs: Inputs, *, backwards: bool) -> None:
        """Everything before the first step; ``backwards`` lists the last ion first."""
        self._inputs = inputs
        self._poscar: Poscar = inputs.poscar.reversed() if backwards else inputs.poscar
        self._bands = invent_bands(inputs)
        self._vasprun.head(inputs, self._poscar, VERSION)
        self._outcar.head(inputs, VERSION)
        types, ions = len(inputs.poscar.groups), len(inputs.poscar.symbols)
        say(f" POSCAR found : {types:2d} types and {ions:7d} ions\n")

    def electronic_steps(
        self, number: int, energies: Sequence[float], *, entropy: float, complete: bool = True
    ) -> None:
        """The electronic steps of ionic step ``number``.

        Parameters
        ----------
        energies : free energy after each, eV
        entropy : what OUTCAR tells of the entropy term, eV
        complete : whether vasprun.xml shows them too
        """
        if self._last is not None:
            self._vasprun.close_step()
        self._vasprun.open_step()
        shift = SIGMA_TO_ZERO * len(self._poscar.symbols)
        lines, before = [TABLE], 0.0
        for cycle, energy in enumerate(energies, start=1):
            if complete:
                self._vasprun.electronic_step(energy, shift)
            self._outcar.electronic_step(
                number, cycle, energy, shift, entropy=entropy, electrons=self._inputs.electrons
            )
            lines.append(electronic_line(cycle, energy, energy - before))
            before = energy
        self._vasprun.flush()
        self._tell("".join(lines))

    def ionic_step(
        self, step: IonicStep, *, converged: bool, seconds: float, complete: bool = True
    ) -> None:
        """The answer for a geometry.

        Parameters
        ----------
        step : in the order of the outputs
        converged : whether its electronic steps did
        seconds : the time that it took
        complete : whether vasprun.xml has forces and stress
        """
        self._vasprun.ionic_step(step, with_forces=complete)
        self._outcar.ionic_step(step, self._bands, converged=converged, seconds=seconds)
        before = 0.0 if self._last is None else self._last.energy
        spins = self._inputs.settings.ispin
        self._tell(ionic_line(step, step.energy - before, spins=spins))
        write_poscar(self._contcar_path, replace(self._poscar, cell=step.cell, scaled=step.scaled))
        self._last = step

    def stopped(self, how: str) -> None:
        """That STOPCAR ended the calculation, in VASP's word for how: soft or hard."""
        self._outcar.stopped(how)
        say(f" {how} stop encountered!  aborting job ...\n")

    def finish(self) -> None:
        """What comes after the last ionic step."""
        assert self._last is not None
        self._vasprun.close_step(self._bands)
        self._vasprun.finish(self._last)
        settings = self._inputs.settings
        self._outcar.finish(self._poscar, projected=settings.lorbit >= 10, spins=settings.ispin)
        say(" writing wavefunctions\n")

    def _tell(self, text: str) -> None:
        self._oszicar.add(text)
        say(text)
