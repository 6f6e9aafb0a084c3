"""FireWorks' finding and modifying, as it is done on the embedded store."""

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from pyrite.errors import StoreError
from pyrite.point_writes import PointWrites, use_point_writes

if TYPE_CHECKING:
    from fireworks import LaunchPad

READY: dict[str, Any] = {"$or": [{"worker": {"$exists": False}}, {"worker": "w"}], "state": "READY"}


@pytest.fixture
def collections(launchpad: "LaunchPad") -> list[Any]:
    """FireWorks' own way, and ours."""
    plain = launchpad.db["plain"], launchpad.db["ours"]
    for one in plain:
        one.delete_many({})
        one.insert_many(
            {"_id": n, "n": n, "state": "READY", "rank": -n, "worker": "wv"[n % 2]}
            for n in range(6)
        )
    return [plain[0], PointWrites(plain[1])]


def test_the_embedded_stores_launchpad_uses_them(launchpad: "LaunchPad") -> None:
    use_point_writes(launchpad)
    for name in ("fireworks", "launches", "workflows"):
        assert isinstance(getattr(launchpad, name), PointWrites)


@pytest.mark.parametrize(
    ("method", "arguments", "options"),
    [
        ("find_one", (READY,), {"sort": [("rank", 1)]}),
        ("find_one", (READY, {"n": 1}), {"sort": [("rank", -1), ("n", 1)]}),
        ("find_one", ({"n": 3},), {"projection": ["state"]}),
        ("find_one", ({**READY, "n": 3}, {"state": 0, "_id": 0}), {}),
        ("find_one", ({"state": "READY", "rank": {"$exists": False}},), {}),
        ("find_one", ({"state": "READY", "other": {"$exists": False}},), {"sort": [("n", -1)]}),
        ("find_one", ({"state": "READY", "n": {"$ne": 0, "$exists": True}},), {}),
        ("find_one", ({"state": "READY", "n": {"$in": [4, 5]}},), {"sort": [("n", -1)]}),
        ("find_one", ({"state": "READY", "n": {"$gt": 2}},), {"sort": [("n", 1)]}),
        ("find_one", (), {"sort": [("n", -1)]}),
        ("find_one", ({**READY, "state": "LOST"},), {}),
        ("find_one_and_update", (READY, {"$set": {"state": "TAKEN"}}), {"sort": [("rank", 1)]}),
        ("find_one_and_update", ({"n": 9}, {"$set": {"state": "TAKEN"}}), {}),
        ("find_one_and_update", ({"n": 9}, {"$set": {"x": 1}}), {"upsert": True}),
        ("find_one_and_replace", ({"n": 2}, {"n": 2, "new": True}), {}),
        ("find_one_and_replace", ({"n": 2}, {"n": 2, "new": True}), {"upsert": True}),
        ("find_one_and_replace", ({"n": 9}, {"n": 9, "new": True}), {"upsert": True}),
    ],
)
def test_they_do_what_pymongo_does(
    collections: list[Any], method: str, arguments: tuple[Any, ...], options: dict[str, Any]
) -> None:
    answers = [getattr(one, method)(*arguments, **options) for one in collections]
    assert answers[0] == answers[1]
    left = [[{**one, "_id": one["n"]} for one in two.find(sort=[("n", 1)])] for two in collections]
    assert left[0] == left[1]


@pytest.mark.parametrize(
    ("query", "indexed"),
    [
        ({"s": "x", "files": {"$exists": False}, "state": "READY"}, {"s": "x", "state": "READY"}),
        ({"nodes": 4, "locked": {"$ne": True}}, {"nodes": 4}),
        ({"$or": [{"a": 1}], "n": {"$in": [1, 2]}}, {"n": {"$in": [1, 2]}}),
    ],
)
def test_what_an_index_finds_is_asked_for_first(
    query: dict[str, Any], indexed: dict[str, Any]
) -> None:
    """In a stage of its own: together with the rest, SecantusDB 0.7.0b3 would read everything."""
    stages: list[dict[str, Any]] = []

    class Recorder:
        def aggregate(self, asked: list[dict[str, Any]]) -> list[Any]:
            stages.extend(asked)
            return []

    assert PointWrites(Recorder()).find_one(query) is None
    assert stages[0] == {"$match": indexed}
    assert {**stages[0]["$match"], **stages[1]["$match"]} == query


def test_who_is_never_quick_enough_is_told(collections: list[Any]) -> None:
    ours = collections[1]
    taken = SimpleNamespace(matched_count=0)
    with pytest.raises(StoreError, match="others were quicker"):
        ours._write(READY, lambda _query: taken)


def test_two_never_take_the_same(collections: list[Any]) -> None:
    ours = collections[1]
    ours.insert_many({"_id": n, "n": n, "state": "READY", "worker": "w"} for n in range(6, 60))

    def take(worker: int) -> list[int]:
        taken = []
        change = {"$set": {"state": "TAKEN"}}
        while (found := ours.find_one_and_update(READY, change, sort=[("n", 1)])) is not None:
            taken.append(found["n"])
        return taken

    with ThreadPoolExecutor(4) as pool:
        taken = [n for some in pool.map(take, range(4)) for n in some]
    assert sorted(taken) == [0, 2, 4, *range(6, 60)]
