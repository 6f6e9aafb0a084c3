"""After the loop: the final ranking, or another iteration."""

import time
from typing import ClassVar

from fireworks import FWAction, explicit_serialize

from pyrite.documents import SearchState
from pyrite.firetasks import loop
from pyrite.firetasks.base import SearchTask


@explicit_serialize
class RankStructures(SearchTask):
    """Merge duplicates among the validated crystals, rank them, close the search;
    or add iteration k + 1, if the ensemble was wrong about the crystal that ranks first or
    larger cells have waited for it.

    Parameters
    ----------
    search_id, iteration : which cycle the validations are of
    """

    required_params: ClassVar[list[str]] = ["search_id", "iteration"]

    def work(self) -> FWAction:
        """Judge the validations; rank and save, or go on."""
        from pyrite.models.validation import conclude_search, reopen

        search_id, k = self["search_id"], self["iteration"]
        if loop.is_added(self, k + 1):
            return FWAction()
        labels = self.store.labels(search_id, upto_iteration=k)
        validations = self.store.validations(search_id)
        iteration, following = reopen(
            self.config, self.store.iteration(search_id, k), labels, validations
        )
        self.store.put_iteration(iteration)
        if following is not None:
            return loop.iteration(self, following)
        self.store.put_result(
            conclude_search(
                self.config,
                self.store.iterations(search_id),
                labels,
                self.store.members_facts(search_id),
                self.store.shard_costs(search_id),
                validations,
            )
        )
        self.store.set_state(search_id, SearchState.DONE, finished=time.time())
        return FWAction()
