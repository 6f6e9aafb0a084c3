"""Where the time went, and what the reference was asked."""

from collections import Counter, defaultdict
from dataclasses import dataclass

from pyrite.documents import LabelStatus
from pyrite.errors import kind_of_problem
from pyrite.views import Views

KINDS = ("reference labels", "training", "relaxation", "validation")


@dataclass(frozen=True)
class Costs:
    """What a search has spent so far.

    Attributes
    ----------
    seconds
        wall time of tasks by kind (`KINDS`) and iteration
    calls, labels, failed
        reference calls (with validation), labels, and labels that cannot be learned from, by
        iteration
    problems
        why labels failed, the most frequent first
    """

    seconds: dict[str, dict[int, float]]
    calls: dict[int, int]
    labels: dict[int, int]
    failed: dict[int, int]
    problems: tuple[tuple[str, int], ...]

    def of_kind(self, kind: str) -> float:
        """Seconds of one kind in all iterations."""
        return sum(self.seconds[kind].values())

    @property
    def total_seconds(self) -> float:
        """Seconds of all kinds."""
        return sum(self.of_kind(kind) for kind in KINDS)

    @property
    def iterations(self) -> list[int]:
        """Iterations in which anything was spent."""
        return sorted({k for parts in self.seconds.values() for k in parts} | set(self.calls))


def costs(views: Views, search_id: str) -> Costs:
    """Sum up the ledger by iteration."""
    seconds: dict[str, dict[int, float]] = {kind: defaultdict(float) for kind in KINDS}
    calls: Counter[int] = Counter()
    labels: Counter[int] = Counter()
    failed: Counter[int] = Counter()
    problems: Counter[str] = Counter()
    for one in views.labels(search_id):
        k = int(one["iteration"])
        labels[k] += 1
        calls[k] += int(one["provenance"]["reference_calls"])
        seconds["reference labels"][k] += float(one["provenance"]["seconds"])
        if one["status"] != LabelStatus.OK:
            failed[k] += 1
            problems[kind_of_problem(one["reason"])] += 1
    for one in views.members(search_id):
        seconds["training"][int(one["iteration"])] += float(one["seconds"])
    for one in views.shard_costs(search_id):
        seconds["relaxation"][int(one["iteration"])] += float(one["seconds"])
    for one in views.validations(search_id):
        k = int(one["iteration"])
        calls[k] += int(one["provenance"]["reference_calls"])
        seconds["validation"][k] += float(one["provenance"]["seconds"])
    return Costs(
        {kind: dict(parts) for kind, parts in seconds.items()},
        dict(calls),
        dict(labels),
        dict(failed),
        tuple(problems.most_common()),
    )
