"""How torch computes in a task."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def use_threads(count: int) -> None:
    """Compute with some threads, and take numbers below 1e-38 for zero.

    The number of threads shapes the last digits. Such small numbers come from the
    tails of Gaussians; they change no result, but a CPU takes tenfold for them.
    """
    torch.set_num_threads(count)
    torch.set_flush_denormal(True)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """`use_threads` for a while."""
    before = torch.get_num_threads()
    use_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        torch.set_flush_denormal(False)
