"""How a search is cut into tasks; light, since workflows are built on login nodes."""

import math
from collections.abc import Sequence

from pyrite.config import SearchConfig

LABELS_OF_A_FORCE_FIELD = 30  # some ten seconds, and most of a minute in large cells


def chunks(config: SearchConfig, picks: int) -> int:
    """Fireworks that ``picks`` labels are spread over."""
    default = LABELS_OF_A_FORCE_FIELD if config.reference.is_force_field else 1
    return math.ceil(picks / (config.execution.labels_per_task or default))


def parts(config: SearchConfig) -> int:
    """Fireworks that the members of the ensemble are spread over."""
    return math.ceil(config.surrogate.members / config.execution.members_per_task)


def members(config: SearchConfig, part: int) -> Sequence[int]:
    """Members that one of these fireworks trains."""
    return share(range(config.surrogate.members), part, parts(config))


def shards(config: SearchConfig, *, larger: bool) -> int:
    """Fireworks that relax the pool, with its larger cells or without."""
    pool = config.pool.size + len(config.pool.files)
    if larger and config.larger is not None:
        pool += config.larger.pool.size + len(config.larger.pool.files)
    return math.ceil((pool + config.relaxation.anchors) / config.execution.candidates_per_task)


def share[T](items: Sequence[T], index: int, count: int) -> Sequence[T]:
    """The ``index``-th of ``count`` interleaved shares."""
    return items[index::count]
