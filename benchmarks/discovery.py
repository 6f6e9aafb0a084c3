"""What a search had spent when it had found the ground state, by two counts.

*First found*: one of an iteration's top clusters is the published structure, and the reference
comes to it when it relaxes the top clusters, the lowest first, from where the networks left them.
The calls are all of the search until then, and those of these relaxations up to the successful
one. The benchmark makes them beside the search, which knows nothing of them, with the engine, the
criteria and the success of `benchmarks.random_search`. Attempts that failed in earlier iterations
count as well.

*Known*: a label of the search itself is the published structure with its energy. What relaxations
at the end come to counts when it is labelled in the next iteration, or with the whole search.
"""

import time
from collections.abc import Sequence

from benchmarks import random_search
from pyrite.documents import Crystal, Iteration, Label, LabelStatus
from pyrite.models.reference import ReferenceEngine
from pyrite.models.selection import label_energy


class Discovery:
    """Looks at a search after every iteration.

    Parameters
    ----------
    ground, lowest : what `random_search.ground_state` gives
    larger
        whether it is looked for in a larger cell: then neither labels, nor what is ranked
        before larger cells have joined, are of that cell, though the crystal may be the same

    Attributes
    ----------
    first_found, known : int or None
        Energy-and-force evaluations until then; None as long as it is not.
    seconds : float
        That all this took.
    """

    def __init__(
        self, engine: ReferenceEngine, ground: Crystal, lowest: float, *, larger: bool = False
    ) -> None:
        self.engine, self.ground, self.lowest, self.larger = engine, ground, lowest, larger
        self.first_found: int | None = None
        self.known: int | None = None
        self.seconds = 0.0
        self._attempts = 0  # calls

    def look(self, iteration: Iteration, labels: Sequence[Label], calls: int) -> None:
        """See what an iteration came to.

        Parameters
        ----------
        labels : those so far
        calls : what the search has spent, this iteration's labels included, not its validation
        """
        if self.larger and not iteration.larger_cells:
            return
        began = time.perf_counter()
        mine = (one for one in labels if one.iteration == iteration.iteration)
        if self.known is None and not self.larger and any(map(self._is_it, mine)):
            self.known = calls
        if self.first_found is None and self._is_among(iteration):
            self._attempt(iteration, calls)
        self.seconds += time.perf_counter() - began

    def _is_it(self, label: Label) -> bool:
        return label.status is LabelStatus.OK and random_search.is_ground_state(
            label.crystal, label_energy(label), self.ground, self.lowest
        )

    def _is_among(self, iteration: Iteration) -> bool:
        return any(random_search.is_same(one.crystal, self.ground) for one in iteration.top)

    def _attempt(self, iteration: Iteration, calls: int) -> None:
        for one in sorted(iteration.top, key=lambda one: one.energy):
            row, _ = random_search.relaxed(self.engine, one.crystal, self.ground, self.lowest)
            self._attempts += row["calls"]
            if row["success"]:
                self.first_found = calls + self._attempts
                return
