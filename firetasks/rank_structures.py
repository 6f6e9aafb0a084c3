"""The last task: the final ranking."""

import time
from typing import ClassVar

from fireworks import explicit_serialize

from pyrite.documents import SearchState
from pyrite.firetasks.base import SearchTask


@explicit_serialize
class RankStructures(SearchTask):
    """Merge duplicates among the validated crystals, rank them, close the search.

    Parameters
    ----------
    search_id : name of the search
    """

    required_params: ClassVar[list[str]] = ["search_id"]

    def work(self) -> None:
        """Rank and save."""
        from pyrite.models.validation import conclude_search

        search_id = self["search_id"]
        self.store.put_result(
            conclude_search(
                self.config,
                self.store.iterations(search_id),
                self.store.labels(search_id),
                self.store.members_facts(search_id),
                self.store.shard_costs(search_id),
                self.store.validations(search_id),
            )
        )
        self.store.set_state(search_id, SearchState.DONE, finished=time.time())
