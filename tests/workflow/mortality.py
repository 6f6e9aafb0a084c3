"""Processes that die before any one of their writes to FireWorks' collections."""

from collections.abc import Iterator
from typing import Any

from fireworks import LaunchPad

WRITES = {
    "delete_many",
    "find_one_and_replace",
    "find_one_and_update",
    "insert_many",
    "insert_one",
    "update_one",
}


class Killed(BaseException):
    """Stands for the end of a process."""


class Mortal:
    """A collection whose process dies before its n-th write, counted over all collections."""

    def __init__(self, collection: Any, lives: list[int]) -> None:
        self._collection = collection
        self._lives = lives

    def __getattr__(self, name: str) -> Any:
        if name in WRITES:
            if self._lives[0] <= 0:
                raise Killed
            self._lives[0] -= 1
        return getattr(self._collection, name)


def empty(launchpad: LaunchPad) -> None:
    for collection in (launchpad.fireworks, launchpad.launches, launchpad.workflows):
        collection.delete_many({})


def kill_before_write(launchpad: LaunchPad, writes: int) -> Iterator[list[int]]:
    lives = [writes]
    names = ("fireworks", "launches", "workflows", "fw_id_assigner")
    healthy = {name: getattr(launchpad, name) for name in names}
    for name, collection in healthy.items():
        setattr(launchpad, name, Mortal(collection, lives))
    yield lives
    for name, collection in healthy.items():
        setattr(launchpad, name, collection)
