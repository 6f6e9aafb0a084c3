"""Training of the ensemble's members."""

from typing import ClassVar

from fireworks import explicit_serialize

from pyrite.firetasks.base import SearchTask


@explicit_serialize
class TrainEnsemble(SearchTask):
    """Fit one part of the ensemble's members to all labels so far.

    Each member is saved as soon as it is fitted, so a task that is killed goes on
    with the next one.

    Parameters
    ----------
    search_id, iteration : which cycle
    part : which share of the members
    """

    required_params: ClassVar[list[str]] = ["search_id", "iteration", "part"]

    def work(self) -> None:
        """Fit and save the members that are still missing."""
        from pyrite.models import partition, steps

        search_id, k = self["search_id"], self["iteration"]
        labels = self.store.labels(search_id, upto_iteration=k)
        steps.require_success(self.config, labels, k)
        members = range(self.config.surrogate.members)
        inherited = {
            facts.member: weights for facts, weights in self.store.members(search_id, k - 1)
        }
        done = {facts.member for facts, _ in self.store.members(search_id, k)}
        self.use_threads()
        for member in partition.share(members, self["part"], partition.parts(self.config)):
            if member not in done:
                facts, weights = steps.train(
                    self.config, search_id, k, member, labels, inherited.get(member)
                )
                self.store.put_member(facts, weights)
