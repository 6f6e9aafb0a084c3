"""Where a search stands, for live views."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from pyrite.documents import LabelStatus, Role, SearchState
from pyrite.errors import kind_of_problem

type Document = dict[str, Any]

ITERATION_FIELDS = ("iteration", "picks.candidate_id", "top.energy", "convergence", "larger_cells")
LABEL_FIELDS = ("iteration", "status", "reason", "provenance.reference_calls")
VALIDATION_FIELDS = ("provenance.reference_calls",)


@dataclass(frozen=True)
class Progress:
    """What a live view shows of one search.

    Attributes
    ----------
    state
        of the search
    candidates
        generated so far
    to_relax
        those that the current iteration relaxes
    iteration
        the current one, None before the first
    labels_wanted, labels_done
        of the current iteration
    labels_ok, reference_calls
        of the whole search; the calls include validation
    label_problems
        failed and absurd labels by kind, the most frequent first
    trained, relaxed
        networks and candidates finished in the current iteration
    validated
        reference relaxations finished
    lowest_energy
        ensemble mean of the best cluster of the last finished iteration, eV/atom
    agreement
        (agreeing, compared) top clusters of every finished iteration, in order
    verdict
        whether the last of them has changed the top clusters, and why the loop goes on
    """

    state: SearchState
    candidates: int
    to_relax: int
    iteration: int | None
    labels_wanted: int
    labels_done: int
    labels_ok: int
    label_problems: tuple[tuple[str, int], ...]
    reference_calls: int
    trained: int
    relaxed: int
    validated: int
    lowest_energy: float | None
    agreement: tuple[tuple[int, int], ...]
    verdict: str | None

    @property
    def labels_failed(self) -> int:
        """Labels that cannot be learned from."""
        return sum(count for _, count in self.label_problems)

    @classmethod
    def of(
        cls,
        state: SearchState,
        iterations: Sequence[Document],
        labels: Sequence[Document],
        validations: Sequence[Document],
        *,
        candidates: Mapping[Role, int],
        trained: int,
        relaxed: int,
    ) -> Self:
        """Sum up parts of documents, with the fields named above; iterations in order.

        Parameters
        ----------
        candidates : generated so far of each role
        """
        finished = [document for document in iterations if document["convergence"]]
        current = iterations[-1] if iterations else None
        energies = [top["energy"] for top in finished[-1]["top"]] if finished else []
        bad = [label for label in labels if label["status"] != LabelStatus.OK]
        problems = Counter(kind_of_problem(label["reason"]) for label in bad)
        return cls(
            state=state,
            candidates=sum(candidates.values()),
            to_relax=sum(
                count
                for role, count in candidates.items()
                if role is Role.TRAIN or current is None or current.get("larger_cells", True)
            ),
            iteration=current["iteration"] if current else None,
            labels_wanted=len(current["picks"]) if current else 0,
            labels_done=sum(label["iteration"] == current["iteration"] for label in labels)
            if current
            else 0,
            labels_ok=len(labels) - len(bad),
            label_problems=tuple(problems.most_common()),
            reference_calls=sum(
                document["provenance"]["reference_calls"] for document in (*labels, *validations)
            ),
            trained=trained,
            relaxed=relaxed,
            validated=len(validations),
            lowest_energy=min(energies, default=None),
            agreement=tuple(
                (document["convergence"]["agreeing"], document["convergence"]["compared"])
                for document in finished
            ),
            verdict=finished[-1]["convergence"]["reason"] if finished else None,
        )
