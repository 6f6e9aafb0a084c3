"""FireWorks' counters and indexes, and ids that are safe with the embedded store.

FireWorks takes ids from a counter as it was *before* it was raised. In SecantusDB
0.7.0b3 that number may be stale, so that two workers can get the same launch id
and overwrite each other's launch (measured: 67 of 300 ids from three processes).
The counter as it is *afterwards* is right there and in MongoDB.
"""

from fireworks import LaunchPad

from pyrite.mongo import DATABASE_NAME, address_of, insert_once, take_numbers, translated

# FireWorks knows no searches. By these, neither taking a firework nor looking for what is
# unfinished of a search (pyrite.launchers.bookkeeping) reads what has been completed.
_FIREWORKS_OF_A_SEARCH = (("spec.search_id", 1), ("state", 1))
_WORKFLOWS_OF_A_SEARCH = (("metadata.search_id", 1), ("state", 1))
_LOCKED_WORKFLOWS = (("locked", 1), ("metadata.search_id", 1))


def _get_new_fw_id(launchpad: LaunchPad, quantity: int = 1) -> int:
    return take_numbers(launchpad.fw_id_assigner, "next_fw_id", quantity)


def _get_new_launch_id(launchpad: LaunchPad) -> int:
    return take_numbers(launchpad.fw_id_assigner, "next_launch_id")


def use_safe_counters() -> None:
    """Let every launchpad of this process take its ids safely.

    A patch rather than a subclass, because FireWorks' own commands make
    launchpads of their own; rlaunch imports our tasks before it takes an id.
    """
    LaunchPad.get_new_fw_id = _get_new_fw_id
    LaunchPad.get_new_launch_id = _get_new_launch_id


def initialise(launchpad: LaunchPad) -> None:
    """Make FireWorks' counters and indexes where there are none; never reset anything.

    Two processes may do so at once: the counters have a fixed id, so that there
    is one document of them at the end.
    """
    with translated(address_of(launchpad.connection)):
        if launchpad.fw_id_assigner.find_one() is None and launchpad.fireworks.find_one() is None:
            counters = {"next_fw_id": 1, "next_launch_id": 1}
            insert_once(launchpad.fw_id_assigner, {"_id": DATABASE_NAME}, counters)
        # The last index that FireWorks makes: a tune-up that was killed is done again.
        made = launchpad.workflows.index_information()
        if "state_-1__id_-1" not in made:
            launchpad.tuneup()
        if "locked_1_metadata.search_id_1" not in made:
            launchpad.fireworks.create_index(_FIREWORKS_OF_A_SEARCH)
            launchpad.workflows.create_index(_WORKFLOWS_OF_A_SEARCH)
            launchpad.workflows.create_index(_LOCKED_WORKFLOWS)
