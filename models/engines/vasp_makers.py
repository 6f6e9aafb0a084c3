"""atomate2's VASP Makers by their dotted paths: their own input sets and handlers, our scruples.

`reference.engine: vasp` is the better choice for random crystals. These are for those who must
repeat a protocol of their own. Limits of relaxations come from the search; labels hold VASP's
version and the POTCARs' titles; a repair that changed what is measured fails the label.
"""

import copy
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pyrite.errors import EngineError, LabelError
from pyrite.models.engines import vasp_inputs
from pyrite.models.engines.adapters import Adapter
from pyrite.models.engines.commands import words
from pyrite.models.engines.vasp import corrections_in, spent_in


class VaspMakers(Adapter):
    """Of Makers derived from atomate2's for VASP."""

    def check(self, field: str, maker: Any) -> None:
        """See :class:`Adapter`."""
        from atomate2 import SETTINGS

        given = getattr(maker, "run_vasp_kwargs", {}).get("vasp_cmd")
        command = words(
            "reference.settings: run_vasp_kwargs.vasp_cmd" if given else "ATOMATE2_VASP_CMD",
            given or SETTINGS.VASP_CMD,
            "mpirun -n 4 vasp_std",
        ) or [""]
        for word in (command[0], command[-1]):
            if shutil.which(word) is None and not Path(word).is_file():
                raise EngineError(
                    f"{field}: there is no program {word!r} here; name it by ATOMATE2_VASP_CMD "
                    "where the workers run, or use reference.engine: vasp"
                )

    def limited(self, maker: Any, fmax: float, max_steps: int) -> Any:
        """A relaxation Maker with ``fmax`` (eV/Å) and a largest number of steps.

        What the user sets by name in ``user_incar_settings`` wins.
        """
        inputs = getattr(maker, "input_set_generator", None)
        if inputs is None:  # a flow of several
            return maker
        limits = {"EDIFFG": -fmax, "NSW": max_steps}
        inputs = copy.deepcopy(inputs)
        inputs.user_incar_settings = {**limits, **inputs.user_incar_settings}
        found = copy.copy(maker)
        found.input_set_generator = inputs
        return found

    def document(self, runs: Sequence[Any]) -> Any:
        """See :class:`Adapter`; raises LabelError where a repair changed what is measured."""
        last = runs[-1]
        asked = getattr(last.orig_inputs, "incar", None)
        used = last.calcs_reversed[0].input.incar
        if asked and (differences := vasp_inputs.changed(asked, used)):
            raise LabelError(f"a repair changed what is measured: {', '.join(differences)}")
        return last

    def program(self, document: Any) -> str:
        """See :class:`Adapter`."""
        calculation = document.calcs_reversed[0]
        titles = ", ".join(str(one.titel) for one in calculation.input.potcar_spec)
        return f"VASP {calculation.vasp_version} with {titles}"

    def reason(self, folders: Iterable[Path]) -> str | None:
        """What custodian tried in vain."""
        tried = [one for folder in _runs(folders) for one in corrections_in(folder)]
        return f"VASP failed (custodian tried {', then '.join(tried)})" if tried else None

    def spent(self, folders: Iterable[Path]) -> tuple[int, int]:
        """See :class:`Adapter`."""
        costs = [spent_in(folder) for folder in _runs(folders)]
        return max(1, sum(calls for calls, _ in costs)), sum(cycles for _, cycles in costs)


def _runs(folders: Iterable[Path]) -> list[Path]:
    """Folders in which VASP has run."""
    outputs = (found for folder in folders for found in folder.rglob("OSZICAR*"))
    return sorted({output.parent for output in outputs})
