"""The end of an iteration: go round again, or validate."""

from typing import ClassVar

from fireworks import FWAction, explicit_serialize

from pyrite.firetasks.base import SearchTask


@explicit_serialize
class CheckConvergence(SearchTask):
    """Add iteration k + 1 to the workflow, or the validation.

    Parameters
    ----------
    search_id, iteration : which cycle
    """

    required_params: ClassVar[list[str]] = ["search_id", "iteration"]

    def work(self) -> FWAction:
        """Judge, save, and add what comes next."""
        from pyrite.models import steps

        # The loop of the house is real: what this task adds is built of tasks.
        from pyrite.workflows.iteration import iteration_workflow
        from pyrite.workflows.validation import validation_workflow

        search_id, k = self["search_id"], self["iteration"]
        iteration = steps.conclude(
            self.config,
            self.store.iteration(search_id, k),
            self.store.relaxations(search_id, k),
            self.store.labels(search_id, upto_iteration=k),
        )
        self.store.put_iteration(iteration)
        if self._already_added():
            return FWAction()
        if iteration.ended_by is not None:
            return FWAction(
                additions=validation_workflow(self.config, search_id, k, len(iteration.finalists))
            )
        following = steps.next_iteration(iteration)
        self.store.put_iteration(following)
        return FWAction(
            additions=iteration_workflow(self.config, search_id, k + 1, len(following.picks))
        )

    def _already_added(self) -> bool:
        """Whether an earlier run of this very task has done its additions."""
        workflow = self.launchpad.get_wf_by_fw_id_lzyfw(self.fw_id)
        return bool(workflow.links.get(self.fw_id))
