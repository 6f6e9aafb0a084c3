"""The first task: create the search and fill its pool."""

import time
from itertools import batched
from typing import ClassVar

from fireworks import explicit_serialize

from pyrite.config import SearchConfig
from pyrite.documents import Crystal, Search, SearchState
from pyrite.firetasks.base import SearchTask

# Candidates kept at once: ten seconds of work, with space groups.
TOGETHER = 500


@explicit_serialize
class GeneratePool(SearchTask):
    """Create the search and its candidates, and choose the first labels.

    Candidates that a killed or interrupted run has kept are not drawn again.

    Parameters
    ----------
    search_id : name of the search
    config : the whole search, as JSON; the one spec that carries more than ids,
        since a workflow file must be complete in itself
    start_structures, target_structures : crystals that were read from the files in
        the config, for the pool and for the target's pool
    """

    required_params: ClassVar[list[str]] = ["search_id", "config"]
    optional_params: ClassVar[list[str]] = ["start_structures", "target_structures"]

    def work(self) -> None:
        """Create, generate, save."""
        from pyrite.models.course import first_iteration
        from pyrite.models.generation import draw_pool

        config = SearchConfig(**self["config"])
        self.store.create_search(
            Search(search_id=self["search_id"], config=config, created=time.time())
        )
        if self.store.iterations(self["search_id"]):
            return  # run twice: iteration 0 may have been concluded since
        self.store.set_state(self["search_id"], SearchState.RUNNING)
        there = set(self.store.candidate_ids(self["search_id"]))
        drawn = draw_pool(
            config, self._crystals("start_structures"), self._crystals("target_structures"), there
        )
        for some in batched(drawn, TOGETHER):
            self.store.put_candidates(some)
            self.deadline.require()
        candidates = self.store.candidates(self["search_id"])
        candidates.sort(key=lambda one: (len(one.candidate_id), one.candidate_id))  # as drawn
        self.store.put_iteration(first_iteration(config, self["search_id"], candidates))

    def _crystals(self, parameter: str) -> list[Crystal]:
        return [Crystal(**one) for one in self.get(parameter, [])]
