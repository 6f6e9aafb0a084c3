"""What tasks add to a running search: the one place where tasks know workflows.

Each iteration is a workflow of its own. FireWorks reads and writes a whole workflow with every
firework that is taken or ends, so one workflow of all iterations would make each firework
dearer than the one before it.
"""

from fireworks import FWAction, LaunchPad, Workflow

from pyrite.documents import Iteration
from pyrite.firetasks.base import SearchTask
from pyrite.mongo import insert_new, insert_once, translated

# What somebody has stopped on purpose, with `lpad defuse_wflows` for instance.
_SHELVED = frozenset({"DEFUSED", "PAUSED", "ARCHIVED"})


def iteration(task: SearchTask, following: Iteration) -> FWAction:
    """Save the beginning of an iteration and add its workflow.

    A task that was stopped while it worked adds nothing: it is run again when the search goes
    on. (FireWorks likewise ignores what the ghost of a firework returns.)
    """
    with translated(task.store.address):
        if not _is_shelved(task):
            task.store.put_iteration(following)
            _add(task, following)
    return FWAction()


def is_added(task: SearchTask, k: int) -> bool:
    """Whether an earlier run of a task has added iteration ``k``, or whatever it had to add.

    What that run was killed before is done now.
    """
    if task.already_added():  # the validation, or iterations of searches begun by Pyrite 0.1
        return True
    with translated(task.store.address):
        name = _name(task["search_id"], k)
        if task.launchpad.workflows.find_one({"_id": name}, {"_id": 1}) is None:
            return False
        _add(task, task.store.iteration(task["search_id"], k))
    return True


def validation(task: SearchTask, ended: Iteration) -> FWAction:
    """Add the validation of an iteration that ended the loop, or seems to, to its workflow."""
    from pyrite.workflows.validation import validation_workflow

    return FWAction(
        additions=validation_workflow(
            task.config, ended.search_id, ended.iteration, len(ended.finalists)
        )
    )


def _name(search_id: str, k: int) -> str:
    return f"{search_id}/{k}"


def _is_shelved(task: SearchTask) -> bool:
    mine = task.launchpad.fireworks.find_one({"fw_id": task.fw_id}, {"state": 1})
    return mine is None or mine["state"] in _SHELVED


def _add(task: SearchTask, following: Iteration) -> None:
    from pyrite.workflows.iteration import iteration_workflow

    k = following.iteration
    workflow = iteration_workflow(
        task.config, following.search_id, k, len(following.picks), larger=following.larger_cells
    )
    add_once(task.launchpad, workflow, _name(following.search_id, k))


def add_once(launchpad: LaunchPad, workflow: Workflow, name: str) -> None:
    """Add a workflow of which there is to be one, whoever adds it and however often.

    FireWorks' own ``add_wf`` writes fireworks under new numbers before the workflow that
    lists them: two writers make two of them, and one that dies leaves fireworks that belong
    to nothing. Here the workflow comes first, under a name that only one can have; whoever
    comes later fills in what is missing under the same numbers, and what can be run last.
    """
    fireworks = sorted(workflow.fws, key=lambda one: one.fw_id, reverse=True)  # as they were made
    for root in workflow.root_fw_ids:
        workflow.id_fw[root].state = workflow.fw_states[root] = "READY"
    found = launchpad.workflows.find_one({"_id": name}, {"nodes": 1})
    if found is None:
        first = launchpad.get_new_fw_id(len(fireworks))
        numbers = {one.fw_id: first + n for n, one in enumerate(fireworks)}
        for one in fireworks:
            one.fw_id = numbers[one.fw_id]
        workflow._reassign_ids(numbers)
        insert_once(launchpad.workflows, {"_id": name}, workflow.to_db_dict())
        found = launchpad.workflows.find_one({"_id": name}, {"nodes": 1})
    first = min(found["nodes"])
    documents = [{**one.to_db_dict(), "fw_id": first + n} for n, one in enumerate(fireworks)]
    there = launchpad.fireworks.find(
        {"fw_id": {"$gte": first, "$lt": first + len(fireworks)}}, {"fw_id": 1}
    )
    known = {one["fw_id"] for one in there}
    missing = [one for one in documents if one["fw_id"] not in known]
    insert_new(launchpad.fireworks, sorted(missing, key=lambda one: one["state"] == "READY"))
