"""torch_sim, without NVIDIA's neighbor lists where there is no GPU.

torch_sim imports them wherever they are installed, and they are installed with it. They take a
quarter of the start of every process that relaxes (3 of 14 s on one core of an old EPYC), and
complain of a missing GPU. The ensemble makes its own lists, with vesin. Whatever else uses
torch_sim in the same process takes its lists for CPUs then, unless it has imported it before.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch


@contextmanager
def without(package: str) -> Iterator[None]:
    """Within, a package that was not imported before cannot be, as if it were not installed."""
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]  # documented: the import fails
    try:
        yield
    finally:
        sys.modules.pop(package, None)


with nullcontext() if torch.cuda.is_available() else without("nvalchemiops"):
    import torch_sim as ts
    from torch_sim.models.interface import ModelInterface

__all__ = ["ModelInterface", "ts"]
