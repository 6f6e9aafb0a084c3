"""OUTCAR and OSZICAR, written as the calculation goes."""

import time
from pathlib import Path

import numpy as np
from tests.stand_in_vasp.bands import Bands
from tests.stand_in_vasp.inputs import Inputs
from tests.stand_in_vasp.poscar import Poscar
from tests.stand_in_vasp.potential import IonicStep
from tests.stand_in_vasp.vasprun import KBAR

TABLE = (
    "       N       E                     dE             d eps       ncg     rms          rms(c)\n"
)


def electronic_line(cycle: int, energy: float, change: float) -> str:
    """A line of the table that OSZICAR and standard output show."""
    return f"DAV: {cycle:3d}  {energy:18.12E}  {change:13.5E}  {change:12.5E}   100 0.100E-01\n"


def ionic_line(step: IonicStep, change: float, *, spins: int) -> str:
    """The line that ends an ionic step in OSZICAR and on standard output; energies in eV."""
    moment = "  mag=     0.0000" if spins == 2 else ""
    return (
        f"{step.number:4d} F= {step.energy:.8E} E0= {step.sigma_to_zero:.8E}"
        f"  d E ={change:.6E}{moment}\n"
    )


class Outcar:
    """A growing OUTCAR, which is truncated at once."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")
        self._started = time.perf_counter()

    def head(self, inputs: Inputs, version: str) -> None:
        """What readers look for before the first step."""
        settings, points = inputs.settings, len(inputs.kpoints.points)
        self._write(
            f" vasp.{version} (stand-in for tests) complex",
            " running on    1 total cores",
            *(f" POTCAR:    {entry.titel}" for entry in inputs.potcar),
            "",
            f"   k-points           NKPTS = {points:6d}   k-points in BZ     NKDIM = {points:6d}"
            f"   number of bands    NBANDS= {inputs.bands:6d}",
            f"   number of dos      NEDOS =    301   number of ions     NIONS = "
            f"{len(inputs.poscar.symbols):6d}",
            "   total plane-waves  NPLWV =  32768",
            f"   ISPIN  = {settings.ispin:6d}    spin polarized calculation?",
            "   LNONCOLLINEAR =      F non collinear calculations",
            "   LSORBIT =      F    spin-orbit coupling",
            f"   NELM   = {settings.nelm:6d};   NELMIN= {settings.nelmin:3d}; NELMDL=  -5",
            f"   EDIFF  = {settings.ediff:.1E}   stopping-criterion for ELM",
            f"   EDIFFG = {settings.ediffg:.1E}   stopping-criterion for IOM",
            f"   NSW    = {settings.nsw:6d}    number of steps for IOM",
            f"   IBRION = {settings.ibrion:6d}    ionic relax: 0-MD 1-quasi-New 2-CG",
            f"   ISIF   = {settings.isif:6d}    stress and relaxation",
            f"   ISMEAR = {settings.ismear:6d};   SIGMA  = {settings.sigma:7.2f}  broadening in eV",
            f"   NELECT = {inputs.electrons:12.4f}    total number of electrons",
            "   LEPSILON=      F    determine dielectric tensor",
            "",
        )
        self._file.flush()

    def electronic_step(
        self,
        number: int,
        cycle: int,
        energy: float,
        shift: float,
        *,
        entropy: float,
        electrons: float,
    ) -> None:
        """Energies in eV: free, half the entropy term, and what is told of the entropy."""
        rule = "-" * 39
        self._write(
            f"{rule} Iteration {number:6d}({cycle:4d})  {rule}",
            "",
            "      LOOP:  cpu time    0.0100: real time    0.0100",
            f" number of electron {electrons:12.7f} magnetization {0.0:12.7f}",
            " Free energy of the ion-electron system (eV)",
            f"  entropy T*S    EENTRO = {entropy:18.8f}",
            "  ---------------------------------------------------",
            f"  free energy    TOTEN  = {energy:18.8f} eV",
            "",
            f"  energy without entropy = {energy + 2 * shift:18.8f}"
            f"  energy(sigma->0) = {energy + shift:18.8f}",
            "",
        )

    def ionic_step(self, step: IonicStep, bands: Bands, *, converged: bool, seconds: float) -> None:
        """The answer for a geometry; ``seconds`` is the time that it took."""
        reason = "because EDIFF is reached" if converged else "EDIFF was not reached (unconverged)"
        kbar = -KBAR * step.stress
        components = (kbar[i, j] for i, j in ((0, 0), (1, 1), (2, 2), (0, 1), (1, 2), (2, 0)))
        places = step.scaled @ step.cell
        rule = " " + "-" * 83
        self._write(
            f"{f' aborting loop {reason} ':-^107}",
            "",
            f" E-fermi : {bands.fermi:8.4f}     XC(G=0):  -9.0000     alpha+bet : -9.0000",
            "",
            "  FORCE on cell =-STRESS in cart. coord.  units (eV):",
            "  Direction    XX          YY          ZZ          XY          YZ          ZX",
            "  in kB  " + "".join(f"{x:12.5f}" for x in components),
            f"  external pressure = {np.trace(kbar) / 3:11.2f} kB  Pullay stress =        0.00 kB",
            "",
            f"  volume of cell : {abs(np.linalg.det(step.cell)):11.2f}",
            "",
            " POSITION                                       TOTAL-FORCE (eV/Angst)",
            rule,
            *(
                "".join(f"{x:13.5f}" for x in place) + "  " + "".join(f"{x:14.6f}" for x in force)
                for place, force in zip(places, step.forces, strict=True)
            ),
            rule,
            "    total drift:                           "
            + "".join(f"{x:14.6f}" for x in step.forces.sum(axis=0)),
            "",
            "  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)",
            "  ---------------------------------------------------",
            f"  free  energy   TOTEN  = {step.energy:18.8f} eV",
            "",
            f"  energy  without entropy= {step.without_entropy:18.8f}"
            f"  energy(sigma->0) = {step.sigma_to_zero:18.8f}",
            "",
            f"     LOOP+:  cpu time {seconds:9.4f}: real time {seconds:9.4f}",
            "",
        )
        self._file.flush()

    def stopped(self, how: str) -> None:
        """That STOPCAR ended the calculation, softly or hard."""
        self._write(f" {how} stop encountered!  aborting job ...", "")

    def finish(self, poscar: Poscar, *, projected: bool, spins: int) -> None:
        """Charges and moments (of no meaning) if they are asked for, and the timing."""
        if projected:
            self._per_ion("total charge", len(poscar.symbols), 0.5)
            if spins == 2:
                self._per_ion("magnetization (x)", len(poscar.symbols), 0.0)
        seconds = time.perf_counter() - self._started
        self._write(
            "",
            " General timing and accounting informations for this job:",
            " ========================================================",
            "",
            f"                  Total CPU time used (sec): {seconds:12.3f}",
            f"                            User time (sec): {seconds:12.3f}",
            f"                          System time (sec): {0.0:12.3f}",
            f"                         Elapsed time (sec): {seconds:12.3f}",
            "",
            "                   Maximum memory used (kb):       10000.",
            "                   Average memory used (kb):           0.",
        )

    def close(self) -> None:
        """Close the file, whatever it lacks."""
        self._file.close()

    def _per_ion(self, title: str, ions: int, value: float) -> None:
        rule = "-" * 42
        row = f"{value:8.3f}" * 3
        self._write("", f" {title}", "", "# of ion       s       p       d       tot", rule)
        self._write(*(f"{n:5d}      {row}{3 * value:8.3f}" for n in range(1, ions + 1)))
        if ions > 1:
            self._write(rule, f"tot        {f'{ions * value:8.3f}' * 3}{3 * ions * value:8.3f}")
        self._write("")

    def _write(self, *lines: str) -> None:
        self._file.write("\n".join(lines) + "\n")


class Oszicar:
    """A growing OSZICAR, which is truncated at once."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")

    def add(self, text: str) -> None:
        """Write some lines, and flush them."""
        self._file.write(text)
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
