"""Running failed tasks of a search again, pausing it and resuming it, in one step each."""

from typing import TYPE_CHECKING

from pyrite.documents import Search, SearchState

if TYPE_CHECKING:
    from pyrite.launchers.session import Session

_PAUSABLE = ("WAITING", "READY")


def rerun(session: "Session", name: str) -> list[int]:
    """Set back all failed tasks of a search: its user says that the cause is mended.

    Returns
    -------
    list of int
        The fireworks that will run again.
    """
    from pyrite.launchers.maintenance import rerun_failed
    from pyrite.mongo import translated

    store = session.store
    store.get_search(name)
    with translated(store.address):
        again = rerun_failed(session.launchpad, name)
    if store.get_search(name).state is SearchState.FAILED:
        store.set_state(name, SearchState.RUNNING)
    return again


def is_left_alone(session: "Session", search: Search) -> bool:
    """Whether a search could go on, but nobody is at work on it or has not been heard of for long.

    Jobs that wait in a queue count as being at work.
    """
    from pyrite.launchers.bookkeeping import unfinished
    from pyrite.launchers.upkeep import LOST_AFTER
    from pyrite.mongo import translated

    if search.state is not SearchState.RUNNING:
        return False
    with translated(session.store.address):
        seen = unfinished(session.launchpad, search.search_id)
    running = seen.in_state("RUNNING")
    silent = [one for one in running if one.launch and one.launch.silent_for() > LOST_AFTER]
    if seen.in_state("RESERVED") or len(silent) < len(running):
        return False
    return bool(silent or seen.in_state("READY", "FIZZLED"))  # also failed ones are run again


def pause(session: "Session", name: str) -> list[int]:
    """Let no further task of a search start; those at work go on to their end.

    A task at work may add fireworks, as the last one of an iteration does: those are not paused.

    Returns
    -------
    list of int
        The fireworks that were paused.
    """
    from pyrite.launchers.bookkeeping import unfinished
    from pyrite.mongo import translated

    session.store.get_search(name)
    with translated(session.store.address):
        waiting = unfinished(session.launchpad, name).in_state(*_PAUSABLE)
        # Children before parents: none of them becomes ready in between.
        ids = sorted(one.fw_id for one in waiting if one.state == "WAITING")
        ids += sorted(one.fw_id for one in waiting if one.state == "READY")
        return [fw_id for fw_id in ids if session.launchpad.pause_fw(fw_id) is not None]


def resume(session: "Session", name: str) -> list[int]:
    """Let the paused tasks of a search start again.

    Returns
    -------
    list of int
        The fireworks that were paused.
    """
    from pyrite.launchers.bookkeeping import unfinished
    from pyrite.mongo import translated

    session.store.get_search(name)
    with translated(session.store.address):
        launchpad = session.launchpad
        shelved = unfinished(launchpad, name).in_state("PAUSED", "DEFUSED")
        for one in shelved:
            wake = launchpad.resume_fw if one.state == "PAUSED" else launchpad.reignite_fw
            wake(one.fw_id)
    return [one.fw_id for one in shelved]
