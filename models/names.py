"""Names of a pool's candidates, which are numbered."""

import re
from collections.abc import Mapping

from pyrite.documents import Role

SHOWN = 1500
"""Candidates of a pool that are looked at together, in figures, where there are more."""

_PREFIX = {Role.TRAIN: "c", Role.TARGET: "t"}


def candidate_name(role: Role, number: int) -> str:
    """Name of a candidate of the pool, ``c00017`` or ``t00017``."""
    return f"{_PREFIX[role]}{number:05d}"


def role_of(name: str) -> Role:
    """What a candidate may be used for; labelled geometries are of the small cell."""
    return Role.TARGET if name.startswith(_PREFIX[Role.TARGET]) else Role.TRAIN


def of_pool(name: str) -> bool:
    """Whether a candidate is one of the pool's own, not a labelled geometry beside them."""
    return re.fullmatch(r"[ct]\d{5,}", name) is not None


def spread(sizes: Mapping[Role, int], limit: int = SHOWN) -> list[str]:
    """At most about ``limit`` names spread evenly over a pool.

    Parameters
    ----------
    sizes : number of candidates of each role
    """
    total = max(sum(sizes.values()), 1)
    names = []
    for role, size in sizes.items():
        share = min(size, round(limit * size / total))
        names += [candidate_name(role, index * size // share) for index in range(share)]
    return names
