"""Failures that say something about the machine, and nothing about the crystal or the task.

A full disk, a directory that cannot be written, memory that ran out, a GPU that is gone: the
same task may succeed elsewhere or later, so it must neither become a failed label, which would
change what the search learns, nor end in a traceback.
"""

import errno
import re
import shutil
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from pyrite.errors import MachineError, PyriteError

type _Kind = Callable[[BaseException], MachineError | None]

_AGAIN = "the same command, or 'pyrite maintain', runs the task again"
_DISK = {errno.ENOSPC: "is full", errno.EDQUOT: "is full up to your quota"}
_CLOSED = {errno.EROFS, errno.EACCES, errno.EPERM}
_AWAY = {errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.ENOTCONN}
_ROOM = 1_000_000  # bytes; programs that find no room break off in their own ways

# torch's errors are known by what they say: their classes change, and many are RuntimeErrors.
_MEMORY = re.compile(r"out of memory|can't allocate memory|cannot allocate memory", re.IGNORECASE)
_OF_A_GPU = re.compile(r"\b(CUDA|HIP|CUDNN|CUBLAS|NVML|GPU)", re.IGNORECASE)
_GPU = re.compile(
    r"\b(CUDA|HIP)( driver)? error|\b(CUDNN|CUBLAS|CUSOLVER|CUFFT)_STATUS_"
    r"|no CUDA GPUs are available|NVIDIA driver|not compiled with CUDA",
    re.IGNORECASE,
)
# These tell of a program that does not fit the GPU, and would do so again.
_OF_THE_PROGRAM = re.compile(
    r"no kernel image|device-side assert|invalid (device function|argument|configuration)",
    re.IGNORECASE,
)
_lost_gpu = False


def gpu_is_lost() -> bool:
    """Whether this process has met a GPU out of order; CUDA fails for the rest of its life."""
    return _lost_gpu


def trouble(error: BaseException) -> MachineError | None:
    """What an exception, or the first one behind it, says of the machine; None for all else."""
    return _first(error, (_of_files, _of_memory, _of_gpus))


def require_sound(error: Exception, directory: Path) -> None:
    """Tell a reference calculation that failed from a machine that does.

    One that wants too much memory fails: collapsed cells do.

    Parameters
    ----------
    directory : where it ran; programs that find their disk full break off in ways of their own

    Raises
    ------
    MachineError
        If the machine is to blame.
    """
    found = _first(error, (_of_files, _of_gpus))
    with suppress(OSError):
        if found is None and shutil.disk_usage(directory).free < _ROOM:
            found = _error(f"the disk that holds {directory} is full", "free some space")
    if found is not None:
        raise found from error


def _first(error: BaseException, kinds: Sequence[_Kind]) -> MachineError | None:
    seen: BaseException | None = error
    while seen is not None:
        for kind in kinds:
            found = kind(seen)
            if found is not None:
                return found
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return None


def _of_memory(error: BaseException) -> MachineError | None:
    said = _said(error)
    if not isinstance(error, MemoryError) and not _MEMORY.search(said):
        return None
    if _OF_A_GPU.search(said):
        return _error(
            f"the GPU has not enough memory ({said})",
            "let fewer workers share it, or run the search's tasks on another one or on CPUs "
            "(CUDA_VISIBLE_DEVICES=)",
        )
    return _error("there is not enough memory", "run fewer workers at once")


def _of_gpus(error: BaseException) -> MachineError | None:
    global _lost_gpu  # noqa: PLW0603  # as CUDA's own state is
    said = _said(error)
    if _MEMORY.search(said) or _OF_THE_PROGRAM.search(said) or not _GPU.search(said):
        return None
    _lost_gpu = True
    return _error(f"the GPU is gone or out of order ({said})", "look at nvidia-smi")


def _said(error: BaseException) -> str:
    if isinstance(error, PyriteError):
        return ""  # ours; what was behind it comes next
    return str(error).partition("\n")[0].strip()[:200]


def _of_files(error: BaseException) -> MachineError | None:
    if not isinstance(error, OSError):
        return None
    where = error.filename or "the launch directory"
    if error.errno in _DISK:
        return _error(f"the disk that holds {where} {_DISK[error.errno]}", "free some space")
    if error.errno in _CLOSED:
        return _error(f"{where} cannot be used ({error.strerror})", "give your workers access")
    if error.errno in _AWAY:
        return _error(f"{where} is out of reach ({error.strerror})", "look at its file system")
    return None


def _error(what: str, remedy: str) -> MachineError:
    return MachineError(f"on {socket.gethostname()}, {what}; {remedy}; {_AGAIN}")
