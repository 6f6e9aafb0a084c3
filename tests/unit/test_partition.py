"""How the work of an iteration is shared out among tasks."""

import pytest
from tests.unit.stand_in import settings

from pyrite.models import partition


@pytest.mark.parametrize("items", [1, 7, 30, 31, 160])
@pytest.mark.parametrize("per_task", [1, 3, 30, 100])
def test_tasks_partition_everything_exactly_once(items: int, per_task: int) -> None:
    config = settings(
        surrogate={"members": min(items, 32) if items > 1 else 2},
        execution={"labels_per_task": per_task, "members_per_task": per_task},
    )
    members = config.surrogate.members
    for count, parts in (
        (items, partition.chunks(config, items)),
        (members, partition.parts(config)),
    ):
        shares = [partition.share(range(count), index, parts) for index in range(parts)]
        assert sorted(one for share in shares for one in share) == list(range(count))
        assert all(0 < len(share) <= per_task for share in shares)


@pytest.mark.parametrize(
    ("engine", "given", "fireworks"),
    [("sevennet", None, 2), ("vasp", None, 40), ("gpaw", 8, 5), ("chgnet", 8, 5)],
)
def test_labels_that_may_take_hours_are_fireworks_of_their_own(
    engine: str, given: int | None, fireworks: int
) -> None:
    config = settings(reference={"engine": engine}, execution={"labels_per_task": given})
    assert partition.chunks(config, 40) == fireworks
