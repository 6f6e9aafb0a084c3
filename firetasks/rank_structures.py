"""The last task: the final ranking."""

import time
from typing import ClassVar

from fireworks import explicit_serialize

from pyrite.documents import Result, SearchState
from pyrite.errors import SearchFailed
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
        from pyrite.models.ranking import ledger, rank

        search_id = self["search_id"]
        iterations = self.store.iterations(search_id)
        validations = self.store.validations(search_id)
        ended = next((one.ended_by for one in reversed(iterations) if one.ended_by), None)
        ranking = rank(validations, iterations, self.config.validation.symprec)
        if ended is None or not ranking:
            reason = validations[0].reason if validations else "no finalist was validated"
            raise SearchFailed(
                f"no finalist of {search_id} could be relaxed by the reference ({reason}); "
                "mend the cause and resume"
            )
        self.store.put_result(
            Result(
                search_id=search_id,
                iterations=len(iterations),
                ended_by=ended,
                ranking=ranking,
                ledger=ledger(
                    self.store.labels(search_id),
                    self.store.members_facts(search_id),
                    self.store.shard_costs(search_id),
                    validations,
                    ranking,
                ),
            )
        )
        self.store.set_state(search_id, SearchState.DONE, finished=time.time())
