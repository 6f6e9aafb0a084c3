"""What tasks add to a running search: the one place where tasks know workflows."""

from fireworks import FWAction

from pyrite.documents import Iteration
from pyrite.firetasks.base import SearchTask


def iteration(task: SearchTask, following: Iteration) -> FWAction:
    """Save the beginning of an iteration and add its fireworks."""
    from pyrite.workflows.iteration import iteration_workflow

    task.store.put_iteration(following)
    return FWAction(
        additions=iteration_workflow(
            task.config, following.search_id, following.iteration, len(following.picks)
        )
    )


def validation(task: SearchTask, ended: Iteration) -> FWAction:
    """Add the validation of an iteration that ended the loop."""
    from pyrite.workflows.validation import validation_workflow

    return FWAction(
        additions=validation_workflow(
            task.config, ended.search_id, ended.iteration, len(ended.finalists)
        )
    )
