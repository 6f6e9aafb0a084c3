"""torch_sim without NVIDIA's neighbor lists, which the ensemble does not use.

torch_sim imports them wherever they are installed, and they are installed with it. They take a
quarter of the start of every process that relaxes (3 of 14 s on one core of an old EPYC), and
complain of a missing GPU. The ensemble makes its own lists, with vesin. To whatever else uses
torch_sim in the same process they are not installed, unless it has imported it before.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


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


with without("nvalchemiops"):
    import torch_sim as ts
    from torch_sim.models.interface import ModelInterface

__all__ = ["ModelInterface", "ts"]
