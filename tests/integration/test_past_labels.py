"""Labels that a worker keeps from one task to the next."""

from collections.abc import Sequence

import pytest
from tests.integration import records

from pyrite.documents import Label
from pyrite.firetasks.past_labels import PastLabels
from pyrite.store import Store


@pytest.fixture
def written(store: Store) -> Store:
    """A search of four iterations, with two labels in each."""
    store.put_labels([records.label(number, k) for k in range(4) for number in range(2)])
    return store


def test_they_are_those_of_the_store_in_whatever_order_iterations_come(written: Store) -> None:
    search, past = records.search(), PastLabels()
    for k in (0, 0, 1, 2, 3, 3, 1, 3, 0):
        assert past.and_of(written, search, k) == written.labels("s", upto_iteration=k)


def test_labels_of_the_iteration_itself_are_always_read(written: Store) -> None:
    past = PastLabels()
    past.and_of(written, records.search(), 3)
    written.put_labels([records.label(7, 3)])
    assert past.and_of(written, records.search(), 3) == written.labels("s", upto_iteration=3)
    assert past.and_of(written, records.search(), 4) == written.labels("s", upto_iteration=4)


def test_earlier_ones_are_read_once(written: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    past = PastLabels()
    past.and_of(written, records.search(), 2)
    asked: list[tuple[int | None, int | None]] = []
    read = Store.labels

    def labels(
        self: Store, name: str, iteration: int | None = None, upto_iteration: int | None = None
    ) -> Sequence[Label]:
        asked.append((iteration, upto_iteration))
        return read(self, name, iteration, upto_iteration)

    monkeypatch.setattr(Store, "labels", labels)
    past.and_of(written, records.search(), 3)
    past.and_of(written, records.search(), 3)
    assert asked == [(2, None), (3, None), (3, None)]


def test_a_search_of_the_same_name_begins_anew(written: Store) -> None:
    past = PastLabels()
    past.and_of(written, records.search(), 3)
    written.create_search(records.search())
    written.remove_search("s")
    written.put_labels([records.label(5, 0)])
    later = records.search().model_copy(update={"created": 2.5})
    assert past.and_of(written, later, 1) == [records.label(5, 0)]


def test_another_search_takes_their_place(written: Store) -> None:
    written.put_labels([records.label(1, 0, search_id="t")])
    past = PastLabels()
    past.and_of(written, records.search(), 3)
    assert past.and_of(written, records.search("t"), 1) == written.labels("t")
    assert past.and_of(written, records.search(), 3) == written.labels("s", upto_iteration=3)
