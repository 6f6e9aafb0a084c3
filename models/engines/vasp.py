"""VASP through atomate2 and custodian.

A calculation that fails is repaired by custodian (`handlers`), then tried once more with safer
settings (`programs`, `vasp_inputs`). What is measured never changes on the way: an answer for
which a measured tag was changed is refused.
"""

import json
import re
import shutil
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monty.io import zopen
from monty.os.path import zpath

from pyrite.documents import Crystal
from pyrite.errors import EngineError, LabelError
from pyrite.machine import Machine
from pyrite.models.engines import vasp_inputs
from pyrite.models.engines.commands import words
from pyrite.models.engines.programs import Calculation, Moves, ProgramEngine
from pyrite.models.quiet import quietly
from pyrite.models.taskdocs import read
from pyrite.models.text import one_line
from pyrite.reference_config import ReferenceConfig, VaspConfig

# Seconds between two looks at a process, and looks between two of custodian's monitors.
_POLLING = {"polling_time_step": 0.5, "monitor_freq": 40}
_REPAIRS = 3
_WALLTIME = "Walltime reached: given up"
_UNPARSED = {
    "parse_dos": False,
    "parse_bandstructure": False,
    "average_locpot": False,
    "store_trajectory": "no",
}


def check(config: ReferenceConfig) -> None:
    """See :mod:`pyrite.models.engines`. Programs and POTCARs are the worker's business."""
    vasp_inputs.check_incar(config.vasp.incar)
    if config.settings:
        raise EngineError(
            "reference.settings goes with force fields and Makers; VASP's settings are those of "
            "reference.vasp, and any INCAR tag goes into reference.vasp.incar"
        )


def make(config: ReferenceConfig, directory: Path, machine: Machine) -> "VaspEngine":
    """See :mod:`pyrite.models.engines`."""
    require_program(machine)
    return VaspEngine(config=config.vasp, directory=directory, machine=machine)


def require_program(machine: Machine) -> str:
    """Where VASP, or what starts it, is.

    Raises
    ------
    EngineError
        It is no command, or there is no such program.
    """
    command = words("PYRITE_VASP_COMMAND", machine.vasp_command, "mpirun -n 16 vasp_std") or [""]
    for word in (command[0], command[-1]):  # what starts VASP, and VASP
        if shutil.which(word) is None and not Path(word).is_file():
            raise EngineError(
                f"VASP cannot be started: there is no program {word!r} here; give its command in "
                "the worker's environment, such as PYRITE_VASP_COMMAND='mpirun -n 16 vasp_std'"
            )
    return shutil.which(command[-1]) or command[-1]


def require_potcars(config: VaspConfig, structure: Any) -> list[str]:
    """The POTCARs of a structure's elements, by symbol.

    Raises
    ------
    EngineError
        One cannot be read.
    """
    try:
        with quietly():
            inputs = vasp_inputs.input_set(config, vasp_inputs.static_incar(config))
            inputs.structure = structure
            return [one.symbol for one in inputs.potcar]
    except Exception as error:
        raise EngineError(
            f"VASP's POTCARs cannot be read ({one_line(error)}); set PMG_VASP_PSP_DIR in the "
            "worker's environment, or name others in reference.vasp.potcars and "
            "reference.vasp.potcar_functional"
        ) from error


@dataclass(frozen=True)
class VaspEngine(ProgramEngine):
    """VASP through atomate2's MatPES Maker."""

    config: VaspConfig
    name = "VASP"

    def run(
        self, crystal: Crystal, moves: Moves | None, folder: Path, *, safer: bool
    ) -> Calculation:
        """See :class:`ProgramEngine`."""
        require_potcars(self.config, crystal.to_structure())
        incar = vasp_inputs.static_incar(self.config)
        if moves is not None:
            incar = vasp_inputs.relaxation_incar(self.config, moves.fmax, moves.max_steps)
        if safer:
            incar |= vasp_inputs.safer_incar(self.config)
        with quietly(folder):
            document = self._run(crystal, incar, relaxation=moves is not None)
        reading = read(document, crystal, moves=moves is not None)
        facts = self._facts(document, folder)
        return Calculation(reading, facts, _WALLTIME in facts["details"]["corrections"])

    def spent(self, folder: Path) -> tuple[int, int]:
        """See :class:`ProgramEngine`."""
        return spent_in(folder)

    def corrections(self, folder: Path) -> list[str]:
        """Custodian's."""
        return corrections_in(folder)

    def _run(self, crystal: Crystal, incar: Mapping[str, Any], *, relaxation: bool) -> Any:
        """Run atomate2's Maker in the working directory; its task document."""
        from atomate2.vasp.jobs.matpes import MatPesGGAStaticMaker

        from pyrite.models.engines.handlers import handlers

        maker = MatPesGGAStaticMaker(
            input_set_generator=vasp_inputs.input_set(self.config, incar),
            run_vasp_kwargs={
                "vasp_cmd": self.machine.vasp_command,
                "vasp_gamma_cmd": self.machine.vasp_command,
                "scratch_dir": None if self.machine.scratch is None else str(self.machine.scratch),
                "handlers": handlers(self.machine, relaxation=relaxation),
                "max_errors": _REPAIRS,
                "custodian_kwargs": dict(_POLLING),
            },
            task_document_kwargs=dict(_UNPARSED),
            stop_children_kwargs={"handle_unsuccessful": False},
        )
        # The undecorated function: a jobflow Job would bring a store of its own.
        make: Any = type(maker).make
        return make.original(maker, crystal.to_structure()).output

    def _facts(self, document: Any, folder: Path) -> dict[str, Any]:
        """What made the numbers; refuses them when a repair changed what was measured."""
        from pymatgen.io.vasp.inputs import Incar

        used = Incar.from_file(zpath(folder / "INCAR"))
        original = folder / "INCAR.orig"
        asked = Incar.from_file(zpath(original)) if Path(zpath(original)).exists() else used
        if differences := vasp_inputs.changed(asked, used):
            raise LabelError(f"a repair changed what is measured: {', '.join(differences)}")
        calls, cycles = spent_in(folder)
        calculation = document.calcs_reversed[0]
        last = len(calculation.output.ionic_steps[-1].electronic_steps or ())
        if last >= used["NELM"]:
            raise LabelError(f"the electrons did not converge in {last} steps")
        return {
            "calls": calls,
            "scf_cycles": cycles,
            "engine": "vasp",
            "engine_version": str(calculation.vasp_version),
            "settings": {
                "incar": {tag: used[tag] for tag in vasp_inputs.MEASURED if tag in used},
                "potcars": [one.titel for one in calculation.input.potcar_spec],
            },
            "details": {
                "incar": dict(used),
                "kpoints": _mesh(calculation.input),
                "corrections": corrections_in(folder),
            },
        }


def spent_in(folder: Path) -> tuple[int, int]:
    """Ionic and electronic steps in a folder, those before each repair included."""
    logs = []
    for archive in sorted(folder.glob("error.*.tar.gz")):
        with tarfile.open(archive) as files:
            for member in files.getmembers():
                content = files.extractfile(member) if "OSZICAR" in member.name else None
                if content is not None:
                    logs.append(content.read().decode(errors="replace"))
    last = Path(zpath(folder / "OSZICAR"))
    # custodian puts away the last run too, before it finds that it has repaired enough.
    if last.exists() and _text(last) not in logs:
        logs.append(_text(last))
    ionic = [len(re.findall(r"^ *\d+ F=", log, re.MULTILINE)) for log in logs]
    electronic = [len(re.findall(r"^[A-Z]{3}: +\d+ ", log, re.MULTILINE)) for log in logs]
    # A run that ended within its first ionic step has cost a calculation all the same.
    return sum(max(1, one) for one in ionic) or 1, sum(electronic)


def _text(path: Path) -> str:
    with zopen(path, "rt", encoding="utf-8", errors="replace") as file:
        return str(file.read())


def corrections_in(folder: Path) -> list[str]:
    """Custodian's corrections in order, each as ``error: what was changed``."""
    path = Path(zpath(folder / "custodian.json"))
    if not path.exists():
        return []
    found = [
        f"{', '.join(one['errors'])}: {_changes(one['actions'])}"
        for job in json.loads(_text(path))
        for one in job["corrections"]
    ]
    # The walltime is noticed again at every look.
    return [one for k, one in enumerate(found) if one != _WALLTIME or one not in found[:k]]


def _changes(actions: list[dict[str, Any]] | None) -> str:
    """What a correction did, in words."""
    said = []
    for one in actions or []:
        for verb, change in one["action"].items():
            what = one.get("dict") or one.get("file")
            if verb == "_set" and what == "INCAR":
                said += [f"{tag} = {value}" for tag, value in change.items()]
            elif verb == "_file_copy":
                said.append(f"{what} to {change['dest']}")
            else:
                said.append(f"{what} {verb.strip('_').replace('_', ' ')}")
    return ", ".join(said) or "given up"


def _mesh(inputs: Any) -> list[int] | None:
    """The grid of k-points, as VASP made it of the spacing."""
    kpoints = getattr(inputs, "kpoints", None)
    if kpoints is None:
        return None
    kpts = kpoints["kpoints"] if isinstance(kpoints, Mapping) else kpoints.kpts
    return [int(one) for one in kpts[0]] if len(kpts) == 1 else None
