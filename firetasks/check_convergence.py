"""The end of an iteration: go round again, or validate."""

from typing import ClassVar

from fireworks import FWAction, explicit_serialize

from pyrite.firetasks import loop
from pyrite.firetasks.base import SearchTask


@explicit_serialize
class CheckConvergence(SearchTask):
    """Add iteration k + 1, a workflow of its own, or the validation to this one.

    Parameters
    ----------
    search_id, iteration : which cycle
    """

    required_params: ClassVar[list[str]] = ["search_id", "iteration"]

    def work(self) -> FWAction:
        """Judge, save, and add what comes next."""
        from pyrite.models import course, steps

        search_id, k = self["search_id"], self["iteration"]
        if loop.is_added(self, k + 1):
            return FWAction()
        iteration = steps.conclude(
            self.config,
            self.store.iteration(search_id, k),
            self.store.relaxations(search_id, k),
            self.labels(k),
            [one for one in self.store.validations(search_id) if one.iteration < k],
        )
        self.store.put_iteration(iteration)
        if iteration.ended_by is not None:
            return loop.validation(self, iteration)
        return loop.iteration(self, course.next_iteration(self.config, iteration))
