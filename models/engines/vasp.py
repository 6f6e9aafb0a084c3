"""VASP through atomate2 and custodian.

A calculation that fails is repaired by custodian (`handlers`), then tried once more from its
start with safer settings (`vasp_inputs.SAFER`), and refused with both reasons after that. What
is measured never changes on the way: an answer for which a measured tag was changed is refused.
"""

import json
import shlex
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pyrite.config import ReferenceConfig, VaspConfig
from pyrite.documents import Crystal
from pyrite.errors import EngineError, LabelError
from pyrite.machine import Keep, Machine
from pyrite.models.engines import vasp_inputs
from pyrite.models.engines.makers import FMAX_TOLERANCE
from pyrite.models.quiet import quietly
from pyrite.models.reference import RelaxResult, StaticResult
from pyrite.models.taskdocs import Reading, read
from pyrite.models.text import one_line

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
        There is no such program.
    """
    program = shlex.split(machine.vasp_command)[0]
    found = shutil.which(program)
    if found is None:
        raise EngineError(
            f"VASP cannot be started: there is no program {program!r} here; give its command in "
            "the worker's environment, such as PYRITE_VASP_COMMAND='mpirun -n 16 vasp_std'"
        )
    return found


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
class _Calculation:
    """One that gave an answer: what it says, and what :class:`StaticResult` says besides."""

    reading: Reading
    facts: dict[str, Any]
    stopped_by_walltime: bool

    def after(self, first: "_Calculation") -> dict[str, Any]:
        """The facts, with costs and repairs of both."""
        costs = ("calls", "seconds", "scf_cycles")
        before, now = (one.facts["details"]["corrections"] for one in (first, self))
        return {
            **self.facts,
            **{name: (first.facts[name] or 0) + (self.facts[name] or 0) for name in costs},
            "details": {**self.facts["details"], "corrections": [*before, *now]},
        }


@dataclass(frozen=True)
class VaspEngine:
    """VASP calculations, each in a folder of its own inside one directory."""

    config: VaspConfig
    directory: Path
    machine: Machine

    def static(self, crystal: Crystal) -> StaticResult:
        """See :meth:`pyrite.models.reference.ReferenceEngine.static`."""
        found = self._at_most_twice(crystal, vasp_inputs.static_incar(self.config), moves=False)
        return StaticResult(**_numbers(found.reading), **found.facts)

    def relax(self, crystal: Crystal, fmax: float, max_steps: int) -> RelaxResult:
        """See :meth:`pyrite.models.reference.ReferenceEngine.relax`.

        A single point in the last cell gives the numbers, since a relaxation keeps the plane
        waves of the cell that it began with.
        """
        incar = vasp_inputs.relaxation_incar(self.config, fmax, max_steps)
        moved = self._at_most_twice(crystal, incar, moves=True)
        last = self._at_most_twice(
            moved.reading.crystal, vasp_inputs.static_incar(self.config), moves=False
        )
        largest = float(np.linalg.norm(last.reading.forces, axis=1).max())
        return RelaxResult(
            **_numbers(last.reading),
            **last.after(moved),
            crystal=moved.reading.crystal,
            converged=moved.reading.successful and largest <= FMAX_TOLERANCE * fmax,
            interrupted=moved.stopped_by_walltime,
        )

    def _at_most_twice(
        self, crystal: Crystal, incar: Mapping[str, Any], *, moves: bool
    ) -> _Calculation:
        require_potcars(self.config, crystal.to_structure())
        try:
            return self._calculate(crystal, incar, moves=moves)
        except LabelError as first:
            try:
                found = self._calculate(crystal, {**incar, **vasp_inputs.SAFER}, moves=moves)
            except LabelError as second:
                raise LabelError(
                    f"{first}; with safer settings: {second}",
                    calls=first.calls + second.calls,
                    details={
                        name: first.details[name] + second.details[name] for name in first.details
                    },
                ) from second
            details = found.facts["details"]
            details["corrections"] = [f"{first}: safer settings", *details["corrections"]]
            found.facts["calls"] += first.calls
            return found

    def _calculate(
        self, crystal: Crystal, incar: Mapping[str, Any], *, moves: bool
    ) -> _Calculation:
        started = time.perf_counter()
        self.directory.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="vasp-", dir=self.directory))
        failed = True
        try:
            with quietly(folder):
                document = self._run(crystal, incar, relaxation=moves)
            reading = read(document, crystal, moves=moves)
            facts = self._facts(document, folder)
            failed = False
        except LabelError as error:
            raise self._explained(error, folder) from error
        except Exception as error:
            raise self._explained(LabelError(f"VASP failed: {one_line(error)}"), folder) from error
        finally:
            if self.machine.keep is Keep.NONE or (self.machine.keep is Keep.FAILED and not failed):
                shutil.rmtree(folder, ignore_errors=True)
        corrections = facts["details"]["corrections"]
        facts["calls"] = reading.ionic_steps + len([one for one in corrections if one != _WALLTIME])
        facts["scf_cycles"] = reading.scf_cycles
        facts["seconds"] = time.perf_counter() - started
        return _Calculation(reading, facts, stopped_by_walltime=_WALLTIME in corrections)

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
        from monty.os.path import zpath
        from pymatgen.io.vasp.inputs import Incar

        used = Incar.from_file(zpath(folder / "INCAR"))
        original = folder / "INCAR.orig"
        asked = Incar.from_file(zpath(original)) if Path(zpath(original)).exists() else used
        if differences := vasp_inputs.changed(asked, used):
            raise LabelError(f"a repair changed what is measured: {', '.join(differences)}")
        calculation = document.calcs_reversed[0]
        cycles = len(calculation.output.ionic_steps[-1].electronic_steps or ())
        if cycles >= used["NELM"]:
            raise LabelError(f"the electrons did not converge in {cycles} steps")
        return {
            "engine": "vasp",
            "engine_version": str(calculation.vasp_version),
            "settings": {
                "incar": {tag: used[tag] for tag in vasp_inputs.MEASURED if tag in used},
                "potcars": [one.titel for one in calculation.input.potcar_spec],
            },
            "details": {
                "incar": dict(used),
                "kpoints": _mesh(calculation.input),
                "corrections": _corrections(folder),
            },
        }

    def _explained(self, error: LabelError, folder: Path) -> LabelError:
        corrections = _corrections(folder)
        text = str(error)
        if corrections:
            text += f" (custodian tried {', then '.join(corrections)})"
        kept = [] if self.machine.keep is Keep.NONE else [str(folder)]
        return LabelError(text, 1 + len(corrections), {"corrections": corrections, "folders": kept})


def _numbers(reading: Reading) -> dict[str, Any]:
    return {"energy": reading.energy, "forces": reading.forces, "stress": reading.stress}


def _corrections(folder: Path) -> list[str]:
    """Custodian's corrections in order, each as ``error: what was changed``."""
    from monty.io import zopen
    from monty.os.path import zpath

    path = Path(zpath(folder / "custodian.json"))
    if not path.exists():
        return []
    with zopen(path, "rt", encoding="utf-8") as file:
        log = json.load(file)
    return [
        f"{', '.join(one['errors'])}: {_changes(one['actions'])}"
        for job in log
        for one in job["corrections"]
    ]


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
