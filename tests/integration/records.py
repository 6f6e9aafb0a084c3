"""One record of every kind, and what a database holds."""

import math

from pyrite.config import SearchConfig
from pyrite.documents import (
    Candidate,
    Choice,
    Crystal,
    EndedBy,
    Iteration,
    Label,
    LabelStatus,
    Origin,
    Pick,
    Provenance,
    Relaxation,
    Role,
    Search,
    ShardCost,
    StopReason,
    TrainedMember,
    Validation,
)
from pyrite.results import Ledger, RankedCrystal, Result
from pyrite.store import Store

AWKWARD = (0.1 + 0.2, 1e-300, -0.0)
CRYSTAL = Crystal(
    numbers=(11, 17),
    positions=((0.0, 0.0, 0.0), AWKWARD),
    cell=((math.pi, 0.0, 0.0), (0.0, math.e, 0.0), (1 / 3, 2 / 3, 1e10 / 7)),
)
COST = Provenance(
    engine="chgnet", engine_version="1", settings={"a.b": 1}, seconds=0.5, reference_calls=3
)


def search(search_id: str = "s", **config: object) -> Search:
    return Search(
        search_id=search_id,
        config=SearchConfig.model_validate({"composition": "NaCl", **config}),
        created=1.5,
    )


def candidate(number: int = 0, search_id: str = "s", role: Role = Role.TRAIN) -> Candidate:
    return Candidate(
        search_id=search_id,
        candidate_id=f"c{number:04d}",
        role=role,
        origin=Origin.P1,
        crystal=CRYSTAL,
    )


def label(
    number: int = 0, iteration: int = 0, status: LabelStatus = LabelStatus.OK, search_id: str = "s"
) -> Label:
    return Label(
        search_id=search_id,
        iteration=iteration,
        candidate_id=f"c{number:04d}",
        choice=Choice.RANDOM,
        crystal=CRYSTAL,
        status=status,
        energy=-1 / 3,
        forces=(AWKWARD, AWKWARD),
        stress=CRYSTAL.cell,
        provenance=COST,
    )


def relaxation(number: int = 0, iteration: int = 0, search_id: str = "s") -> Relaxation:
    return Relaxation(
        search_id=search_id,
        iteration=iteration,
        candidate_id=f"c{number:04d}",
        stop=StopReason.UNCERTAIN,
        steps=7,
        energy=-3.0 - number / 7,
        energy_spread=0.01,
        fmax=0.1,
        uncertainty=0.5,
        descriptor=AWKWARD,
        crystal=CRYSTAL,
    )


def iteration(number: int = 0, search_id: str = "s", **end: object) -> Iteration:
    picks = (Pick(candidate_id="c0001", choice=Choice.RANDOM, crystal=CRYSTAL),)
    return Iteration.model_validate(
        {"search_id": search_id, "iteration": number, "picks": picks, **end}
    )


def member(number: int = 0, iteration: int = 0, search_id: str = "s") -> TrainedMember:
    return TrainedMember(
        search_id=search_id,
        iteration=iteration,
        member=number,
        architecture={"features": 48, "cutoff": 5.5},
        format_version=1,
        labels=60,
        left_out=2,
        epochs=10,
        seconds=1.25,
        energy_mae=0.01,
        force_mae=0.1,
        stress_mae=1e-3,
    )


def shard_cost(shard: int = 0, iteration: int = 0, search_id: str = "s") -> ShardCost:
    return ShardCost(
        search_id=search_id, iteration=iteration, shard=shard, candidates=9, steps=99, seconds=0.1
    )


def validation(number: int = 0, search_id: str = "s") -> Validation:
    return Validation(
        search_id=search_id,
        iteration=2,
        candidate_id=f"c{number:04d}",
        status=LabelStatus.OK,
        converged=True,
        energy=-3.1,
        crystal=CRYSTAL,
        provenance=COST,
    )


def result(search_id: str = "s") -> Result:
    first = RankedCrystal(
        rank=1,
        candidate_ids=("c0001", "c0002"),
        energy_ev_per_atom=-3.1,
        energy_above_lowest_ev_per_atom=0.0,
        space_group_symbol="Fm-3m",
        space_group_number=225,
        volume_a3_per_atom=22.5,
        converged=True,
        first_found_iteration=1,
        crystal=CRYSTAL,
    )
    return Result(
        search_id=search_id,
        iterations=3,
        ended_by=EndedBy.CONVERGENCE,
        ranking=(first,),
        ledger=Ledger(reference_calls=175),
    )


def fill(store: Store, search_id: str) -> None:
    """Write something of every kind."""
    store.create_search(search(search_id))
    store.put_candidates([candidate(n, search_id) for n in range(2)])
    store.put_labels([label(n, search_id=search_id) for n in range(2)])
    store.put_relaxations([relaxation(n, search_id=search_id) for n in range(2)])
    store.put_iteration(iteration(search_id=search_id))
    store.put_member(member(search_id=search_id), b"weights")
    store.put_shard_cost(shard_cost(search_id=search_id))
    store.put_validation(validation(search_id=search_id))
    store.put_result(result(search_id))


def everything(store: Store) -> dict[str, list[dict[str, object]]]:
    """All documents without what the database adds."""
    return {
        name: sorted(
            (
                {key: value for key, value in document.items() if key not in {"_id", "weights"}}
                for document in store.database[name].find()
            ),
            key=str,
        )
        for name in store.database.list_collection_names()
        if not name.startswith("models.")
    }


def files(store: Store) -> tuple[int, int, int]:
    """Numbers of files, of files that have chunks, and of uploads under way."""
    chunks = {chunk["files_id"] for chunk in store.database["models.chunks"].find()}
    count = store.database["models.files"].count_documents({})
    return count, len(chunks), store.database["uploads"].count_documents({})
