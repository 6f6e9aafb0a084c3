"""Repairs that custodian may make: those after which a calculation still measures the same.

Left out of atomate2's default list, since each changes the answer or refuses a right one:
KspacingMetalHandler (other k-points for cells without a gap), LargeSigmaHandler and
IncorrectSmearingHandler (another smearing), PositiveEnergyErrorHandler (compressed cells do have
positive energies) and MeshSymmetryErrorHandler (symmetry is off). Of VaspErrorHandler's repairs
those of the tetrahedron method are left out, which change the smearing or the k-points.
"""

from typing import Any

from custodian.custodian import ErrorHandler
from custodian.vasp.handlers import (
    FrozenJobErrorHandler,
    NonConvergingErrorHandler,
    PotimErrorHandler,
    StdErrHandler,
    UnconvergedErrorHandler,
    VaspErrorHandler,
    WalltimeHandler,
)
from custodian.vasp.io import load_vasprun

from pyrite.machine import Machine
from pyrite.models.walltime import margin, seconds_left

_CHANGE_WHAT_IS_MEASURED = {"tet", "tetirr", "dentet"}


class UnconvergedElectrons(UnconvergedErrorHandler):
    """An electronic loop that ended at NELM. Atoms that still move at NSW are an answer."""

    def check(self, directory: str = "./") -> bool:
        """Whether the last electronic loop has not converged."""
        try:
            return not load_vasprun(f"{directory}/{self.output_filename}").converged_electronic
        except Exception:  # no or broken vasprun.xml: the validator's business
            return False


def handlers(machine: Machine, *, relaxation: bool) -> list[ErrorHandler]:
    """Fresh handlers for one calculation: some of them count."""
    messages = [one for one in VaspErrorHandler.error_msgs if one not in _CHANGE_WHAT_IS_MEASURED]
    found: list[Any] = [
        VaspErrorHandler(errors_subset_to_catch=messages),
        UnconvergedElectrons(),
        FrozenJobErrorHandler(timeout=machine.frozen_after),
        StdErrHandler(),
    ]
    if relaxation:
        found += [NonConvergingErrorHandler(), PotimErrorHandler()]
        if machine.walltime is not None and seconds_left(machine) is not None:
            found.append(WalltimeHandler(machine.walltime, margin(machine)))
    return found
