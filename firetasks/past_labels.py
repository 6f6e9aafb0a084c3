"""Labels of earlier iterations, which a worker reads once.

Every task of an iteration needs all labels so far. Those of earlier iterations are final, so a
process that runs one task after another keeps them, of one search at a time.
"""

from dataclasses import dataclass, field

from pyrite.documents import Label, Search
from pyrite.store import Store


@dataclass
class PastLabels:
    """What one process has read of the labels of a search.

    Attributes
    ----------
    of : which search in which database, also if another of the same name was there before
    upto : iteration before which all labels are known
    labels : those, in order
    """

    of: tuple[str, str, str, float] | None = None
    upto: int = 0
    labels: list[Label] = field(default_factory=list)

    def and_of(self, store: Store, search: Search, iteration: int) -> list[Label]:
        """All labels up to an iteration and with it, in order, as the store has them.

        The iteration's own are always read; there must be none left to make in those before it.
        """
        name = search.search_id
        this = (store.address, store.database.name, name, search.created)
        if this != self.of or iteration < self.upto:
            self.of, self.upto, self.labels = this, 0, []
        if self.upto < iteration - 1:
            self.labels = store.labels(name, upto_iteration=iteration - 1)
        elif self.upto == iteration - 1:
            self.labels += store.labels(name, iteration=iteration - 1)
        self.upto = iteration
        return [*self.labels, *store.labels(name, iteration=iteration)]


PAST_LABELS = PastLabels()
