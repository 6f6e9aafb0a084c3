"""A search again, with the reference calculations of an earlier one.

What is asked about a geometry that the earlier search calculated is answered from its records, to
the last digit: the same search again needs no reference, and one that stops or selects by other
rules needs only what its own way leads to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn, Self

from pyrite.config import SearchConfig
from pyrite.documents import Crystal, Iteration, Label, Pick, TopCluster, Validation
from pyrite.errors import ConfigError, RecordsEnd

_CHANGE_NO_RECORD = {
    ("validation", "top_k"),
    ("validation", "symprec"),
    ("reference", "required_success"),
}


@dataclass(frozen=True)
class Recorded:
    """Labels by their geometry, and reference relaxations by where they began."""

    name: str
    labels: Mapping[Crystal, Label]
    validations: Mapping[Crystal, Validation]

    @classmethod
    def of(
        cls,
        name: str,
        iterations: Sequence[Iteration],
        labels: Sequence[Label],
        validations: Sequence[Validation],
    ) -> Self:
        """The records of one search.

        Parameters
        ----------
        name : of the search, for messages
        iterations : those that say where validations began
        """
        starts = {
            (one.iteration, finalist.candidate_id): finalist.crystal
            for one in iterations
            for finalist in one.finalists
        }
        return cls(
            name,
            {one.crystal: one for one in labels},
            {
                starts[one.iteration, one.candidate_id]: one
                for one in validations
                if (one.iteration, one.candidate_id) in starts and not one.interrupted
            },
        )

    def label(self, search_id: str, iteration: int, pick: Pick) -> Label | None:
        """What is known of a geometry, as a label of another search."""
        known = self.labels.get(pick.crystal)
        if known is None:
            return None
        now = {
            "search_id": search_id,
            "iteration": iteration,
            "candidate_id": pick.candidate_id,
            "choice": pick.choice,
        }
        return known.model_copy(update=now)

    def validation(self, iteration: Iteration, finalist: TopCluster) -> Validation | None:
        """What is known of a relaxation that begins here, as a validation of another search."""
        known = self.validations.get(finalist.crystal)
        if known is None:
            return None
        now = {
            "search_id": iteration.search_id,
            "iteration": iteration.iteration,
            "candidate_id": finalist.candidate_id,
        }
        return known.model_copy(update=now)


@dataclass(frozen=True)
class NoReference:
    """In place of a reference, when nothing may be calculated.

    Parameters
    ----------
    name : of the search whose records are all there is
    """

    name: str

    def static(self, crystal: Crystal) -> NoReturn:
        """Refuse."""
        self._refuse("a label")

    def relax(self, crystal: Crystal, fmax: float, max_steps: int) -> NoReturn:
        """Refuse."""
        self._refuse("a reference relaxation")

    def _refuse(self, what: str) -> NoReturn:
        raise RecordsEnd(
            f"the replay asks for {what} that {self.name} has not made; "
            "let the reference make what is missing (--calculate), or compare up to here"
        )


def require_same_reference(now: SearchConfig, recorded: SearchConfig) -> None:
    """Refuse records that another method or other relaxations have made.

    Raises
    ------
    ConfigError
        Naming what differs.
    """
    for section in ("reference", "validation"):
        mine, theirs = getattr(now, section), getattr(recorded, section)
        for name in type(mine).model_fields:
            if (section, name) in _CHANGE_NO_RECORD:
                continue
            if getattr(mine, name) != getattr(theirs, name):
                raise ConfigError(
                    f"{section}.{name} is {getattr(mine, name)!r}, and {getattr(theirs, name)!r} "
                    "in the search whose records are to answer; a replay can change anything else"
                )
