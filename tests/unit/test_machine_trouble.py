"""What failures say of the machine, and what they say of a crystal."""

import errno
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tests.unit.builders import rocksalt
from tests.unit.stand_in import pick, settings

from pyrite.documents import LabelStatus
from pyrite.errors import LabelError, MachineError
from pyrite.models import machine_trouble, steps
from pyrite.models.engines.makers import MakerEngine, Makers
from pyrite.models.machine_trouble import gpu_is_lost, trouble
from pyrite.models.networks import choose_device

FULL = OSError(errno.ENOSPC, "No space left on device", "/scratch/INCAR")
# Of the driver and the runtime of CUDA, as torch passes them on.
LOST = (
    RuntimeError("CUDA error: unspecified launch failure\nCUDA kernel errors might be …"),
    RuntimeError("CUDA error: uncorrectable ECC error encountered"),
    RuntimeError("CUDA error: CUDA-capable device(s) is/are busy or unavailable"),
    RuntimeError("No CUDA GPUs are available"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"),
    RuntimeError("CUDA driver error: device lost"),
    RuntimeError("HIP error: the operation cannot be performed in the present state"),
)
TOO_SMALL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has …")


@pytest.fixture(autouse=True)
def _a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_trouble, "_lost_gpu", False)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FULL, ("/scratch/INCAR", "is full", "free some space")),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "/home/x"), ("quota", "/home/x")),
        (OSError(errno.EROFS, "Read-only file system", "/data"), ("/data", "Read-only", "access")),
        (PermissionError(errno.EACCES, "Permission denied", "/data"), ("/data", "denied")),
        (OSError(errno.ESTALE, "Stale file handle", "/nfs"), ("/nfs", "out of reach")),
        (MemoryError(), ("not enough memory", "fewer workers")),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), ("fewer workers",)),
        (TOO_SMALL, ("the GPU has not enough memory", "CUDA_VISIBLE_DEVICES")),
        *((one, ("the GPU is gone or out of order", "nvidia-smi")) for one in LOST),
    ],
)
def test_trouble_is_one_sentence_with_its_remedy(error: Exception, words: tuple[str, ...]) -> None:
    found = trouble(error)
    assert found is not None
    assert "\n" not in str(found)
    assert all(word in str(found) for word in words)
    assert "pyrite maintain" in str(found)
    assert gpu_is_lost() is (error in LOST)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError("CUDA error: no kernel image is available for execution on the device"),
        FileNotFoundError(errno.ENOENT, "No such file or directory", "vasprun.xml"),
        ValueError("the disk of a galaxy is full of stars"),
        LabelError("GPAW ended without a result (out of memory)"),
    ],
)
def test_everything_else_is_no_trouble(error: Exception) -> None:
    assert trouble(error) is None
    assert not gpu_is_lost()


def engine(directory: Path, error: Exception) -> MakerEngine:
    """A reference that fails."""

    def run(*_: Any) -> Any:
        try:
            raise error
        except Exception as first:
            raise LabelError("the program ended early", calls=2) from first

    makers = Makers("stand-in", "1", {}, static=None, relax=lambda *_: None, run=run)
    return MakerEngine(makers, directory)


@pytest.mark.parametrize("error", [FULL, LOST[0]])
def test_a_machine_that_fails_makes_no_failed_label(tmp_path: Path, error: Exception) -> None:
    failing = engine(tmp_path, error)
    with pytest.raises(MachineError, match=r"full|out of order"):
        list(steps.label(settings(), "test", failing, 0, [pick("c0", rocksalt())]))
    with pytest.raises(MachineError, match=r"full|out of order"):
        failing.relax(rocksalt(), 0.05, 10)


def test_a_program_that_finds_its_disk_full_breaks_off_in_its_own_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = engine(tmp_path, ValueError("vasprun.xml ends early"))
    full = SimpleNamespace(free=0)
    monkeypatch.setattr(machine_trouble.shutil, "disk_usage", lambda _: full)
    with pytest.raises(MachineError, match=r"the disk that holds .* is full"):
        list(steps.label(settings(), "test", failing, 0, [pick("c0", rocksalt())]))


@pytest.mark.parametrize("error", [ValueError("no SCF"), MemoryError(), TOO_SMALL])
def test_a_crystal_that_fails_is_a_failed_label(tmp_path: Path, error: Exception) -> None:
    """One that has collapsed wants more memory than there is, on any machine."""
    failing = engine(tmp_path, error)
    (label,) = steps.label(settings(), "test", failing, 0, [pick("c0", rocksalt())])
    assert (label.status, label.reason) == (LabelStatus.FAILED, "the program ended early")
    assert label.provenance.reference_calls == 2


def test_networks_leave_a_gpu_that_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto").type == "cuda"
    trouble(LOST[0])
    assert choose_device("auto").type == "cpu"


def test_a_gpu_that_was_asked_for_and_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto").type == "cpu"
    with pytest.raises(MachineError, match=r"surrogate\.device is cuda, .*gpu_category"):
        choose_device("cuda")
