"""Relaxation of the pool by the ensemble."""

from typing import ClassVar

from fireworks import explicit_serialize

from pyrite.firetasks.base import SearchTask


@explicit_serialize
class RelaxPool(SearchTask):
    """Relax one shard of the pool.

    A shard is the unit that is done or not done: batches shape the last digits
    of a relaxation, so half a shard cannot be continued with the same result.

    Parameters
    ----------
    search_id, iteration : which cycle
    shard : which share of the pool
    """

    required_params: ClassVar[list[str]] = ["search_id", "iteration", "shard"]

    def work(self) -> None:
        """Relax the shard unless it has been."""
        from pyrite.models import steps

        search_id, k, shard = self["search_id"], self["iteration"], self["shard"]
        costs = self.store.shard_costs(search_id)
        if any((one.iteration, one.shard) == (k, shard) for one in costs):
            return
        self.use_threads()
        ensemble = steps.make_ensemble(
            self.config, [weights for _, weights in self.store.members(search_id, k)]
        )
        labels = self.store.labels(search_id, upto_iteration=k)
        names, anchors = steps.shard_names(
            self.config, shard, self.store.candidate_ids(search_id), labels
        )
        mine = [*self.store.candidates(search_id, names), *anchors]
        before = steps.names_before(self.config, k, mine, labels)
        relaxations, cost = steps.relax_shard(
            self.config,
            search_id,
            k,
            shard,
            ensemble,
            mine,
            self.store.relaxations(search_id, k - 1, before),
        )
        self.store.put_relaxations(relaxations)
        # The cost is written last: it is the mark of a finished shard.
        self.store.put_shard_cost(cost)
