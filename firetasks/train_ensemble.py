"""Training of the ensemble's members."""

from typing import ClassVar

from fireworks import explicit_serialize

from pyrite.documents import TrainingState
from pyrite.firetasks.base import SearchTask
from pyrite.models.walltime import Deadline
from pyrite.store import Store


@explicit_serialize
class TrainEnsemble(SearchTask):
    """Fit one part of the ensemble's members to all labels so far.

    The state of the training is kept in the database while it lasts, so a task
    that is killed goes on from there, on whatever machine, to the same weights.

    Parameters
    ----------
    search_id, iteration : which cycle
    part : which share of the members
    """

    required_params: ClassVar[list[str]] = ["search_id", "iteration", "part"]

    def work(self) -> None:
        """Fit and save the members unless they have been."""
        from pyrite.models import partition, steps

        search_id, k, part = self["search_id"], self["iteration"], self["part"]
        checkpoint = StoredCheckpoint(self.store, self.deadline, search_id, k, part)
        members = partition.members(self.config, part)
        done = {facts.member for facts, _ in self.store.members(search_id, k)}
        if not done.issuperset(members):
            labels = self.labels(k)
            steps.require_success(self.config, labels, k)
            inherited = {
                facts.member: weights for facts, weights in self.store.members(search_id, k - 1)
            }
            self.use_threads()
            if part == 0 and inherited:
                self.store.put_forecasts(steps.forecast(self.config, k, labels, inherited))
            for facts, weights in steps.train(
                self.config, search_id, k, members, labels, inherited, checkpoint
            ):
                self.store.put_member(facts, weights)
        checkpoint.remove()


class StoredCheckpoint:
    """The state of one part's training, in the database."""

    def __init__(
        self, store: Store, deadline: Deadline, search_id: str, iteration: int, part: int
    ) -> None:
        self.store, self.deadline = store, deadline
        self.state = TrainingState(search_id=search_id, iteration=iteration, part=part)

    def load(self) -> bytes | None:
        """What a killed run of this task left, if anything."""
        return self.store.training_state(self.state)

    def save(self, content: bytes) -> None:
        """Replace it."""
        self.store.put_training_state(self.state, content)

    def require_time(self) -> None:
        """Leave the rest to the next job when this one is about to end."""
        self.deadline.require()

    def remove(self) -> None:
        """The training has ended."""
        self.store.remove_training_state(self.state)
