"""The end of a search: what the reference relaxes, and what is made of it."""

import time
from collections.abc import Sequence

from pyrite.config import SearchConfig
from pyrite.documents import (
    Crystal,
    Iteration,
    Label,
    LabelStatus,
    Result,
    ShardCost,
    TopCluster,
    TrainedMember,
    Validation,
)
from pyrite.errors import LabelError, SearchFailed, TooManyFailedLabels
from pyrite.models import selection
from pyrite.models.matching import find_same
from pyrite.models.ranking import ledger, rank
from pyrite.models.reference import ReferenceEngine, provenance, provenance_of_failure


def finalists(
    config: SearchConfig, iteration: Iteration, labels: Sequence[Label]
) -> tuple[TopCluster, ...]:
    """What the reference relaxes at the end: the best of each top cluster, and the
    best labelled geometry if it is none of them.

    The ensemble may have relaxed that geometry into one of the top clusters, which
    then bears its name already: as it was labelled it needs a name of its own.
    """
    top = list(iteration.top[: config.validation.top_k])
    if config.target is None:
        for anchor in selection.anchors(labels, config)[:1]:
            if find_same(anchor.crystal, [one.crystal for one in top]) is None:
                top.append(
                    TopCluster(
                        candidate_id=f"{anchor.candidate_id}-label",
                        energy=min(
                            selection.label_energy(one)
                            for one in labels
                            if one.status is LabelStatus.OK
                        ),
                        size=1,
                        crystal=anchor.crystal,
                    )
                )
    return tuple(top)


def validate(
    config: SearchConfig,
    search_id: str,
    engine: ReferenceEngine,
    candidate_id: str,
    crystal: Crystal,
) -> Validation:
    """Relax one finalist with the reference."""
    started = time.perf_counter()
    settings = config.validation
    try:
        result = engine.relax(crystal, fmax=settings.fmax, max_steps=settings.max_steps)
    except LabelError as error:
        return Validation(
            search_id=search_id,
            candidate_id=candidate_id,
            status=LabelStatus.FAILED,
            reason=str(error),
            provenance=provenance_of_failure(config.reference, started, error.calls),
        )
    return Validation(
        search_id=search_id,
        candidate_id=candidate_id,
        status=LabelStatus.OK,
        converged=result.converged,
        energy=result.energy / len(crystal.numbers),
        fmax=result.fmax,
        crystal=result.crystal,
        provenance=provenance(result),
    )


def conclude_search(
    config: SearchConfig,
    iterations: Sequence[Iteration],
    labels: Sequence[Label],
    members: Sequence[TrainedMember],
    shards: Sequence[ShardCost],
    validations: Sequence[Validation],
) -> Result:
    """The final ranking and what it cost.

    Parameters
    ----------
    iterations : all, in order
    labels, members, shards, validations : all of the search, in any order

    Raises
    ------
    SearchFailed
        If the loop has not ended.
    TooManyFailedLabels
        If the reference could relax none of the finalists.
    """
    last = iterations[-1]
    if last.ended_by is None:
        raise SearchFailed(
            f"search {last.search_id} cannot be ranked before its loop has ended; report this"
        )
    ranking = rank(validations, iterations, config.validation.symprec)
    if not ranking:
        reason = validations[0].reason if validations else "there was none"
        raise TooManyFailedLabels(
            f"the reference could relax none of the {len(last.finalists)} finalists "
            f"(the first: {reason}); mend the cause and resume"
        )
    return Result(
        search_id=last.search_id,
        iterations=len(iterations),
        ended_by=last.ended_by,
        ranking=ranking,
        ledger=ledger(labels, members, shards, validations, ranking),
    )
