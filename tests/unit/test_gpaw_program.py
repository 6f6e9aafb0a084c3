"""The process that GPAW runs in: how many there are, and what becomes of them."""

import os
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import psutil
import pytest
from tests.unit.gpaw_silicon import engine, needs_gpaw, needs_mpirun, silicon

from pyrite.errors import EngineError, LabelError
from pyrite.machine import Keep, Machine
from pyrite.models.engines import gpaw


@needs_gpaw
@needs_mpirun
def test_processes_that_know_nothing_of_each_other_end_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a GPAW that was built without MPI."""
    launcher = "env OMPI_COMM_WORLD_SIZE=4"
    with pytest.raises(EngineError, match=r"PYRITE_GPAW_LAUNCHER: it started 4.*GPAW sees 1"):
        engine(tmp_path, Machine(gpaw_launcher=launcher)).static(silicon())


@needs_gpaw
@pytest.mark.parametrize("number", ["4", "2(x2)"])
def test_processes_that_started_the_worker_are_not_those_of_the_launcher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: str
) -> None:
    """As in a batch job whose workers Slurm has started."""
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", number)
    launched = engine(tmp_path, Machine(gpaw_launcher="env PMI_SIZE=1"))
    assert launched.static(silicon()).details["processes"] == 1
    with pytest.raises(EngineError, match=r"it started 3 processes.*GPAW sees 1"):
        engine(tmp_path, Machine(gpaw_launcher="env PMI_SIZE=3")).static(silicon())


@needs_gpaw
@needs_mpirun
def test_a_process_that_fails_alone_ends_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMPI_ALLOW_RUN_AS_ROOT", "1")
    monkeypatch.setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
    code = """from pathlib import Path
from gpaw.mpi import world
from pyrite.models.engines import gpaw_program
def calculate(job):
    if world.rank == 1:
        raise MemoryError("out of memory on one node")
    world.barrier()
gpaw_program.calculate = calculate
gpaw_program.main(Path(sys.argv[1]))"""
    stand_in(tmp_path, monkeypatch, code)
    machine = Machine(gpaw_launcher="mpirun --oversubscribe -n 2", frozen_after=60)
    with pytest.raises(LabelError, match="MemoryError: out of memory on one node"):
        engine(tmp_path / "labels", machine).static(silicon())


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Another program in GPAW's place."""
    program = folder / "stand_in.py"
    program.write_text(f"import os, sys, time\n{code}\n")
    monkeypatch.setattr(gpaw, "_PROGRAM", program)


@needs_gpaw
@pytest.mark.parametrize(
    ("code", "message", "frozen_after"),
    [
        ("sys.exit('out of memory')", r"GPAW ended without a result \(out of memory\)", 60),
        ("os.kill(os.getpid(), 9)", r"GPAW ended without a result \(exit status -9\)", 60),
        ("time.sleep(60)", "GPAW wrote nothing for 3 s", 3),
    ],
)
def test_a_program_that_dies_or_hangs_fails_one_label(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
    message: str,
    frozen_after: int,
) -> None:
    stand_in(tmp_path, monkeypatch, code)
    machine = Machine(frozen_after=frozen_after, keep=Keep.NONE)
    with pytest.raises(LabelError, match=f"{message}; with safer settings: {message}") as failed:
        engine(tmp_path / "labels", machine).static(silicon())
    assert failed.value.calls == 2
    assert list((tmp_path / "labels").iterdir()) == []
    assert not running(tmp_path)


@pytest.mark.parametrize("ahead", [-86400, 0, 86400])
def test_silence_is_told_whatever_the_clocks_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    """Those of the file server and of the node may differ, and jump."""
    now = [0.0]
    monkeypatch.setattr(gpaw.time, "monotonic", lambda: now[0])
    log = tmp_path / "log.txt"

    def write(seconds: int) -> None:
        log.touch()
        os.utime(log, (1e9 + ahead + seconds,) * 2)

    write(0)
    silence = gpaw.Silence(tmp_path)
    for seconds in range(0, 600, 60):
        now[0] = seconds
        write(seconds)
        assert silence.seconds() == 0
    now[0] += 3600
    assert silence.seconds() == 3600


def work(folder: Path, launcher: str | None) -> None:
    """A worker that waits for GPAW."""
    gpaw._PROGRAM = folder / "stand_in.py"
    engine(folder / "labels", Machine(gpaw_launcher=launcher)).static(silicon())


@needs_gpaw
@pytest.mark.parametrize(
    "launcher", [None, pytest.param("mpirun --oversubscribe -n 2", marks=needs_mpirun)]
)
def test_a_program_ends_with_its_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, launcher: str | None
) -> None:
    """Also where nobody watches the worker, as rlaunch does not."""
    monkeypatch.setenv("OMPI_ALLOW_RUN_AS_ROOT", "1")
    monkeypatch.setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
    code = """from pathlib import Path
from pyrite.models.engines import gpaw_program
def calculate(job):
    Path("begun").touch()
    time.sleep(60)
gpaw_program.calculate = calculate
gpaw_program.main(Path(sys.argv[1]))"""
    stand_in(tmp_path, monkeypatch, code)
    worker = get_context("spawn").Process(target=work, args=(tmp_path, launcher))
    worker.start()
    wait_for(lambda: any(tmp_path.glob("labels/*/begun")), 60)
    worker.terminate()
    worker.join()
    wait_for(lambda: not running(tmp_path), 20)


def wait_for(happened: Callable[[], bool], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.1)


def running(folder: Path) -> list[list[str]]:
    """Commands of processes that speak of a folder."""
    commands = [one.info["cmdline"] or [] for one in psutil.process_iter(["cmdline"])]
    return [words for words in commands if str(folder) in " ".join(words)]


@needs_gpaw
def test_numbers_that_are_none_fail_the_label(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = """import json
result = dict(energy=float("nan"), forces=[[0, 0, 0]] * 2, stress=[[0] * 3] * 3, version="0",
    positions=[[0, 0, 0]] * 2, cell=[[1, 0, 0], [0, 1, 0], [0, 0, 1]], setups={}, processes=1,
    converged=True, interrupted=False)
open(sys.argv[1] + "/result.json", "w").write(json.dumps(result))"""
    stand_in(tmp_path, monkeypatch, code)
    with pytest.raises(LabelError, match="energy that is not finite"):
        engine(tmp_path / "labels").static(silicon())
    kept = next((tmp_path / "labels").iterdir())
    assert (kept / "job.json").exists(), "what failed can be looked at"
