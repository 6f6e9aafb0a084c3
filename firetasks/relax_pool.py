"""Relaxation of the pool by the ensemble."""

from collections.abc import Sequence
from typing import ClassVar

from fireworks import explicit_serialize

from pyrite.documents import Relaxation, ShardCost
from pyrite.firetasks.base import SearchTask


@explicit_serialize
class RelaxPool(SearchTask):
    """Relax one shard of the pool.

    When the job is about to end, candidates that have ended are kept, and the next job goes
    on with the others. A shard that is killed begins anew, and comes out the same.

    Parameters
    ----------
    search_id, iteration : which cycle
    shard : which share of the pool
    """

    required_params: ClassVar[list[str]] = ["search_id", "iteration", "shard"]

    def work(self) -> None:
        """Relax the shard unless it has been."""
        from pyrite.models import shards, steps

        search_id, k, number = self["search_id"], self["iteration"], self["shard"]
        costs = self.store.shard_costs(search_id, (k, number))
        if any(one.finished for one in costs):
            return
        self.use_threads()
        ensemble = steps.make_ensemble(
            self.config, [weights for _, weights in self.store.members(search_id, k)]
        )
        labels = self.labels(k)
        larger = self.store.iteration(search_id, k).larger_cells
        names, anchors = shards.shard_names(
            self.config, number, self.store.candidate_ids(search_id), labels, larger=larger
        )
        mine = [*self.store.candidates(search_id, names), *anchors]
        before = shards.names_before(self.config, k, mine, labels)
        shard = shards.Shard(
            search_id,
            k,
            number,
            mine,
            previous=self.store.relaxations(search_id, k - 1, before),
            done=self.store.relaxations(search_id, k, [one.candidate_id for one in mine]),
            seconds=sum(one.seconds for one in costs),
        )
        shards.relax_shard(self.config, ensemble, shard, self._keep, self.deadline)

    def _keep(self, relaxations: Sequence[Relaxation], cost: ShardCost) -> None:
        self.store.put_relaxations(relaxations)
        # The cost is written last: it is the mark of a finished shard.
        self.store.put_shard_cost(cost)
