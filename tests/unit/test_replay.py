"""Searches that are answered by the records of another one."""

from pathlib import Path
from typing import Any

import pytest
from tests.unit.test_run_search import Diary, Morse, ranking, tiny

from pyrite.documents import Crystal
from pyrite.errors import ConfigError, RecordsEnd
from pyrite.models.reference import RelaxResult, StaticResult
from pyrite.models.replay import NoReference, Recorded, require_same_reference
from pyrite.models.search import run_search


class Counting(Morse):
    """Counts what it is asked for."""

    def __init__(self, **how: Any) -> None:
        super().__init__(**how)
        self.asked = 0

    def static(self, crystal: Crystal) -> StaticResult:
        self.asked += 1
        return super().static(crystal)

    def relax(self, crystal: Crystal, fmax: float, max_steps: int) -> RelaxResult:
        self.asked += 1
        return super().relax(crystal, fmax, max_steps)


def test_recorded_labels_are_not_made_again(tmp_path: Path) -> None:
    """Failed ones included; relaxations are not among these records, and are made."""
    seen, again = Diary(), Diary()

    def odd(crystal: Crystal) -> bool:
        return crystal.positions[0][0] % 0.1 < 0.05

    config = tiny(reference={"required_success": 0})
    first = run_search(config, tmp_path, engine=Morse(odd), observer=seen)
    recorded = Recorded.of("tiny", (), seen.labels, ())
    engine = Counting(broken=odd)
    second = run_search(config, tmp_path, engine=engine, observer=again, recorded=recorded)
    assert again.labels == seen.labels
    assert engine.asked == len(seen.iterations[-1].finalists)
    assert ranking(first) == ranking(second)
    assert first.ledger.reference_calls == second.ledger.reference_calls
    assert first.ledger.failed_labels == second.ledger.failed_labels > 0


def test_records_that_end_are_said(tmp_path: Path) -> None:
    seen = Diary()
    run_search(tiny(), tmp_path, engine=Morse(), observer=seen)
    labels = [one for one in seen.labels if one.iteration == 0]
    for kept, what in ((labels, "a label"), (seen.labels, "a reference relaxation")):
        recorded = Recorded.of("tiny", (), kept, ())
        with pytest.raises(RecordsEnd, match=f"asks for {what} that tiny has not made"):
            run_search(tiny(), tmp_path, engine=NoReference("tiny"), recorded=recorded)


def test_other_ways_ask_for_what_is_missing_only(tmp_path: Path) -> None:
    seen, engine = Diary(), Counting()
    run_search(tiny(), tmp_path, engine=Morse(), observer=seen)
    recorded = Recorded.of("tiny", (), seen.labels, ())
    longer = tiny(convergence={"max_iterations": 3, "min_iterations": 3})
    more = Diary()
    run_search(longer, tmp_path, engine=engine, observer=more, recorded=recorded)
    assert more.labels[: len(seen.labels)] == seen.labels
    new = len(more.labels) - len(seen.labels)
    assert engine.asked == new + len(more.iterations[-1].finalists)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"reference": {"engine": "sevennet"}}, "reference.engine is 'sevennet', and 'chgnet'"),
        ({"validation": {"fmax": 0.02}}, r"validation.fmax is 0.02, and 0.05"),
        ({"selection": {"labels": 3}}, None),
        ({"reference": {"required_success": 0.2}}, None),
        ({"validation": {"top_k": 3, "max_steps": 10, "symprec": 0.1}}, None),
    ],
)
def test_records_of_other_methods_are_refused(changes: dict[str, Any], named: str | None) -> None:
    now = tiny(**changes)
    if named is None:
        require_same_reference(now, tiny())
        return
    with pytest.raises(ConfigError, match=named):
        require_same_reference(now, tiny())
