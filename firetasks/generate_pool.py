"""The first task: create the search and fill its pool."""

import time
from typing import ClassVar

from fireworks import explicit_serialize

from pyrite.config import SearchConfig
from pyrite.documents import Crystal, Iteration, Search, SearchState
from pyrite.firetasks.base import SearchTask


@explicit_serialize
class GeneratePool(SearchTask):
    """Create the search and its candidates, and choose the first labels.

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
        from pyrite.models.generation import generate_pool
        from pyrite.models.selection import first_picks

        config = SearchConfig(**self["config"])
        self.store.create_search(
            Search(search_id=self["search_id"], config=config, created=time.time())
        )
        if self.store.iterations(self["search_id"]):
            return  # run twice: iteration 0 may have been concluded since
        self.store.set_state(self["search_id"], SearchState.RUNNING)
        candidates = generate_pool(
            config, self._crystals("start_structures"), self._crystals("target_structures")
        )
        self.store.put_candidates(candidates)
        self.store.put_iteration(
            Iteration(
                search_id=self["search_id"], iteration=0, picks=first_picks(candidates, config)
            )
        )

    def _crystals(self, parameter: str) -> list[Crystal]:
        return [Crystal(**one) for one in self.get(parameter, [])]
