"""GPAW, as a program of its own for each calculation: real DFT without a licence.

Being a program, it can run under MPI, hang, crash or be killed without its worker, and Pyrite
does not link what is under the GPL.
"""

import contextlib
import importlib.util
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from pyrite.documents import Crystal
from pyrite.errors import EngineError, LabelError
from pyrite.machine import Machine
from pyrite.models.engines import gpaw_inputs
from pyrite.models.engines.commands import words
from pyrite.models.engines.programs import Calculation, Moves, ProgramEngine
from pyrite.models.taskdocs import Reading, finite
from pyrite.models.walltime import margin, seconds_left
from pyrite.reference_config import GpawConfig, ReferenceConfig

_PROGRAM = Path(__file__).with_name("gpaw_program.py")
_LOG = "gpaw.txt"
_POLLING = 0.2  # s
# Where launchers tell a process how many there are: Open MPI, MPICH and Intel MPI, Slurm.
_SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS")


def check(config: ReferenceConfig) -> None:
    """See :mod:`pyrite.models.engines`."""
    for module, distribution in (("gpaw", "gpaw"), ("gpaw_data", "gpaw-data")):
        if importlib.util.find_spec(module) is None:
            raise EngineError(
                f"reference.engine: 'gpaw' needs the package {distribution}, which is not "
                "installed; install libxc and BLAS (Debian, Ubuntu: apt-get install libxc-dev "
                'libopenblas-dev), then run: pip install "pyrite-csp[gpaw]"'
            )
    gpaw_inputs.check_parameters(config.gpaw.parameters)
    if config.settings:
        raise EngineError(
            "reference.settings goes with force fields and Makers; GPAW's settings are those of "
            "reference.gpaw, and any other of its parameters goes into reference.gpaw.parameters"
        )


def make(config: ReferenceConfig, directory: Path, machine: Machine) -> "GpawEngine":
    """See :mod:`pyrite.models.engines`."""
    require_launcher(machine)
    return GpawEngine(config=config.gpaw, directory=directory, machine=machine)


def require_launcher(machine: Machine) -> list[str]:
    """The words that start GPAW's processes; empty for one process.

    Raises
    ------
    EngineError
        It is no command, or there is no such program.
    """
    launcher = words("PYRITE_GPAW_LAUNCHER", machine.gpaw_launcher, "mpirun -n 4")
    if launcher and shutil.which(launcher[0]) is None:
        raise EngineError(
            f"PYRITE_GPAW_LAUNCHER: there is no program {launcher[0]!r} here; name the one that "
            "starts MPI processes, such as: mpirun -n 4, or unset it for one process"
        )
    return launcher


@dataclass(frozen=True)
class GpawEngine(ProgramEngine):
    """Plane waves, PAW and PBE."""

    config: GpawConfig
    name = "GPAW"

    def run(
        self, crystal: Crystal, moves: Moves | None, folder: Path, *, safer: bool
    ) -> Calculation:
        """See :class:`ProgramEngine`."""
        job: dict[str, Any] = {
            "numbers": crystal.numbers,
            "positions": crystal.positions,
            "cell": crystal.cell,
            "launched": bool(require_launcher(self.machine)),
            "worker": _this_process(),
            "inherited": {name: os.environ.get(name) for name in _SIZES},
            "parameters": gpaw_inputs.parameters(self.config, crystal, safer=safer),
        }
        if moves is not None:
            left = seconds_left(self.machine)
            stop_at = None if left is None else time.time() + left - margin(self.machine)
            job |= {"fmax": moves.fmax, "max_steps": moves.max_steps, "stop_at": stop_at}
        (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        self._run_program(folder)
        result = _result(folder)
        calls, cycles = self.spent(folder)
        facts = {
            "calls": calls,
            "scf_cycles": cycles,
            "engine": "gpaw",
            "engine_version": result["version"],
            "settings": {
                **gpaw_inputs.measured(self.config, crystal),
                "setups": result["setups"],
            },
            "details": {
                "kpoints": job["parameters"]["kpts"]["size"],
                "convergence": job["parameters"]["convergence"],
                "processes": result["processes"],
                "corrections": [],
            },
        }
        return Calculation(_reading(result, crystal, calls, cycles), facts, result["interrupted"])

    def spent(self, folder: Path) -> tuple[int, int]:
        """See :class:`ProgramEngine`."""
        log = folder / _LOG
        text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
        steps = re.findall(r"^\|iter: +(\d+)\|", text, re.MULTILINE)
        return max(1, steps.count("1")), len(steps)

    def _run_program(self, folder: Path) -> None:
        """Run it to its end; raises LabelError when it hangs or dies."""
        gpaw = [sys.executable, "-m", "gpaw", "python", str(_PROGRAM), str(folder)]
        output = folder / "output.txt"
        with output.open("wb") as file:
            program = subprocess.Popen(
                [*require_launcher(self.machine), *gpaw],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that a Ctrl-C is ours alone
            )
        try:
            silence = Silence(folder)
            while program.poll() is None:
                if silence.seconds() > self.machine.frozen_after:
                    raise LabelError(f"GPAW wrote nothing for {self.machine.frozen_after} s")
                time.sleep(_POLLING)
        finally:
            _end(program)
        if not (folder / "result.json").exists():
            raise LabelError(f"GPAW ended without a result ({_last_line(output, program)})")


def _this_process() -> dict[str, Any]:
    began = psutil.Process().create_time()
    return {"host": platform.node(), "pid": os.getpid(), "began": began}


def _result(folder: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    if "engine_error" in result:
        raise EngineError(result["engine_error"])
    if "error" in result:
        raise LabelError(result["error"])
    return result


def _reading(result: dict[str, Any], asked: Crystal, calls: int, cycles: int) -> Reading:
    natoms = len(asked.numbers)
    crystal = Crystal(
        numbers=asked.numbers,
        positions=tuple(map(tuple, finite(result["positions"], "positions", (natoms, 3)).tolist())),
        cell=tuple(map(tuple, finite(result["cell"], "cell", (3, 3)).tolist())),
    )
    return Reading(
        energy=float(finite(result["energy"], "energy", ())),
        forces=finite(result["forces"], "forces", (natoms, 3)),
        stress=finite(result["stress"], "stress", (3, 3)),
        crystal=crystal,
        successful=result["converged"],
        ionic_steps=calls,
        scf_cycles=cycles,
    )


class Silence:
    """How long nothing has changed in a folder, whatever the clocks say of it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: set[tuple[str, int]] = set()
        self._since = time.monotonic()

    def seconds(self) -> float:
        """Since a file was last seen to have changed."""
        seen = {("", self._folder.stat().st_mtime_ns)}
        for one in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):  # renamed meanwhile
                seen.add((one.name, one.stat().st_mtime_ns))
        if seen != self._seen:
            self._seen, self._since = seen, time.monotonic()
        return time.monotonic() - self._since


def _end(program: "subprocess.Popen[bytes]") -> None:
    """End the program's processes, whichever still run; MPI's have groups of their own."""
    ending: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        ending = psutil.Process(program.pid).children(recursive=True)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(program.pid, signal.SIGKILL)
    for one in ending:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    psutil.wait_procs(ending, timeout=10)
    program.wait()


def _last_line(output: Path, program: "subprocess.Popen[bytes]") -> str:
    lines = output.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else f"exit status {program.returncode}"
