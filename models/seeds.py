"""Random streams that depend on what they are for, not on when they are drawn.

Every draw of a search comes from a stream keyed by its purpose and place, so a
task that is killed and run again, or run on another machine, draws the same.
"""

import zlib

import numpy as np


def stream(seed: int, *keys: int | str) -> np.random.Generator:
    """Independent generator for ``(seed, *keys)``.

    Parameters
    ----------
    seed : int
        The search's seed, not negative.
    *keys : int or str
        Purpose and place, e.g. ``stream(1, "noise", iteration, candidate_id)``.
    """
    return np.random.default_rng(_sequence(seed, keys))


def integer_seed(seed: int, *keys: int | str) -> int:
    """A 31-bit seed for libraries that want a plain integer."""
    return int(_sequence(seed, keys).generate_state(1)[0] & 0x7FFFFFFF)


def _sequence(seed: int, keys: tuple[int | str, ...]) -> np.random.SeedSequence:
    words = [key if isinstance(key, int) else zlib.crc32(key.encode()) for key in keys]
    return np.random.SeedSequence(entropy=seed, spawn_key=words)
