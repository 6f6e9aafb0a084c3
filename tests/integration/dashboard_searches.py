"""Searches in every state, written as their tasks would have left them, within a second or two."""

import math
from collections import Counter
from collections.abc import Sequence

from fireworks import FWAction, FWorker, LaunchPad

from pyrite.config import SearchConfig
from pyrite.documents import (
    Candidate,
    Choice,
    Convergence,
    Crystal,
    EndedBy,
    Forecast,
    Iteration,
    Label,
    LabelStatus,
    Origin,
    Pick,
    Provenance,
    Relaxation,
    Search,
    SearchState,
    ShardCost,
    StopReason,
    TopCluster,
    TrainedMember,
    Validation,
)
from pyrite.results import Ledger, RankedCrystal, Result
from pyrite.store import Store
from pyrite.workflows.search import search_workflow

DONE, RUNNING, FAILED, EMPTY = "done-search", "running-search", "failed-search", "empty-search"
POOL = 24
COST = Provenance(engine="chgnet", engine_version="0.4.2", seconds=2.0, reference_calls=1)
TRACE = (
    'Traceback (most recent call last):\n  File "task.py", line 7, in work\n'
    "pyrite.errors.EngineError: chgnet is not installed; install it\n"
)
ERROR = "reference engine chgnet is not installed; pip install pyrite-csp[chgnet]"


def rocksalt(edge: float = 5.64, shift: float = 0.0) -> Crystal:
    """Conventional cell of NaCl; `edge` in Å, `shift` moves one atom along x."""
    half = edge / 2
    sodium = [(0, 0, 0), (half, half, 0), (half, 0, half), (0, half, half)]
    chlorine = [(x + half, y, z) for x, y, z in sodium]
    positions = [(float(x), float(y), float(z)) for x, y, z in (*sodium, *chlorine)]
    positions[0] = (shift, 0.0, 0.0)
    return Crystal(
        numbers=(11,) * 4 + (17,) * 4,
        positions=tuple(positions),
        cell=((edge, 0.0, 0.0), (0.0, edge, 0.0), (0.0, 0.0, edge)),
    )


def fill(store: Store, launchpad: LaunchPad) -> None:
    """Write one search in each state."""
    add_empty(store)
    add_failed(store, launchpad)
    add_running(store, launchpad)
    add_done(store, launchpad)


def add_empty(store: Store) -> None:
    """A search without anything, not even fireworks."""
    _create(store, EMPTY, SearchState.WAITING, created=1e9)


def add_failed(store: Store, launchpad: LaunchPad) -> None:
    """A search whose first task has failed."""
    config = _create(store, FAILED, SearchState.FAILED, created=1.1e9, error=ERROR)
    launchpad.add_wf(search_workflow(config))
    _take_first(launchpad, FAILED, "FIZZLED", {"_exception": {"_stacktrace": TRACE}})


def add_running(store: Store, launchpad: LaunchPad) -> None:
    """A search in its second iteration, whose first task runs."""
    config = _create(store, RUNNING, SearchState.RUNNING, created=1.2e9)
    _write_iterations(store, RUNNING, 1)
    store.put_iteration(Iteration(search_id=RUNNING, iteration=1, picks=_picks(0)))
    launchpad.add_wf(search_workflow(config))
    _take_first(launchpad, RUNNING, "RUNNING")


def add_done(store: Store, launchpad: LaunchPad) -> None:
    """A search that has ended, with a ranking of two crystals."""
    config = _create(store, DONE, SearchState.DONE, created=1.3e9, finished=1.3e9 + 900)
    _write_iterations(store, DONE, 3)
    store.put_result(_result())
    for number in range(2):
        store.put_validation(
            Validation(
                search_id=DONE,
                iteration=2,
                candidate_id=f"c{number:05d}",
                status=LabelStatus.OK,
                converged=True,
                energy=-3.4 + 0.02 * number,
                crystal=rocksalt(),
                provenance=COST,
            )
        )
    launchpad.add_wf(search_workflow(config))
    _take_first(launchpad, DONE, "COMPLETED")
    ids = launchpad.get_fw_ids({"spec.search_id": DONE})
    launchpad.fireworks.update_many({"fw_id": {"$in": ids}}, {"$set": {"state": "COMPLETED"}})
    states = {str(one): "COMPLETED" for one in ids}
    launchpad.workflows.update_one(
        {"metadata.search_id": DONE}, {"$set": {"fw_states": states, "state": "COMPLETED"}}
    )


def config_of(name: str) -> SearchConfig:
    """Settings of one of these searches."""
    return SearchConfig.model_validate(
        {"composition": "Na4Cl4", "name": name, "pool": {"size": POOL}}
    )


def relaxations(name: str, iteration: int, number: int = POOL) -> list[Relaxation]:
    """An iteration's relaxations: two clusters, some uncertain, one broken."""
    return [_relaxation(name, iteration, index) for index in range(number)]


def _create(
    store: Store,
    name: str,
    state: SearchState,
    created: float,
    finished: float | None = None,
    error: str | None = None,
) -> SearchConfig:
    config = config_of(name)
    store.create_search(Search(search_id=name, config=config, created=created))
    store.set_state(name, state, error=error, finished=finished)
    return config


def _take_first(
    launchpad: LaunchPad, name: str, state: str, stored: dict[str, object] | None = None
) -> None:
    worker = FWorker(name=f"{name}-0123456789", query={"spec.search_id": name})
    _, launch_id = launchpad.checkout_fw(worker, "launches/launcher_1")
    if state != "RUNNING":
        launchpad.complete_launch(launch_id, FWAction(stored_data=stored or {}), state=state)


def _relaxation(name: str, iteration: int, index: int) -> Relaxation:
    stops = [StopReason.CONVERGED, StopReason.CONVERGED, StopReason.UNCERTAIN, StopReason.STALLED]
    stop = StopReason.COLLAPSED if index == POOL - 1 else stops[index % 4]
    group = 0.0 if index < POOL // 3 else 1.0 if index < POOL // 2 else 3.0 + index
    descriptor = (group + 0.001 * index, math.sin(group), math.cos(2 * group))
    crystal = rocksalt(5.6 + 0.02 * index, 0.005 * index)
    return Relaxation(
        search_id=name,
        iteration=iteration,
        candidate_id=f"c{index:05d}",
        stop=stop,
        steps=20 + index,
        energy=-3.4 + 0.02 * index - 0.01 * iteration,
        energy_spread=0.01 + 0.001 * index,
        fmax=0.04 + 0.01 * index,
        uncertainty=0.1,
        descriptor=descriptor,
        crystal=crystal,
        previous_energy=-3.38 + 0.02 * index if iteration else None,
        previous_descriptor=descriptor if iteration else None,
        previous_crystal=rocksalt(5.62 + 0.02 * index) if iteration else None,
    )


def _picks(iteration: int) -> tuple[Pick, ...]:
    """Labels that an iteration chooses for the next one."""
    return tuple(
        Pick(
            candidate_id=f"c{index:05d}",
            choice=Choice.SCORE,
            crystal=_relaxation(RUNNING, iteration, index).crystal,
        )
        for index in range(2 * iteration, 2 * iteration + 8)
    )


def _label(name: str, iteration: int, pick: Pick, *, failed: bool = False) -> Label:
    number = int(pick.candidate_id[1:])
    return Label(
        search_id=name,
        iteration=iteration,
        candidate_id=pick.candidate_id,
        choice=pick.choice,
        crystal=pick.crystal,
        status=LabelStatus.FAILED if failed else LabelStatus.OK,
        reason="SCF did not converge (60 steps); try another mixing" if failed else None,
        energy=None if failed else 8 * (-3.39 + 0.021 * number),
        forces=None if failed else ((0.03 + 0.012 * number, 0.0, 0.0),) * 8,
        stress=None if failed else ((0.0, 0.0, 0.0),) * 3,
        provenance=COST,
    )


def _forecast(label: Label) -> Forecast:
    """Energies as relaxations have them, forces too small by a tenth."""
    number = int(label.candidate_id[1:])
    forces = tuple((0.9 * x, y, z) for x, y, z in label.forces or ())
    return Forecast(
        search_id=label.search_id,
        iteration=label.iteration,
        candidate_id=label.candidate_id,
        energy=-3.4 + 0.02 * number,
        energy_spread=0.01 + 0.001 * number,
        forces=forces,
        force_spread=((0.005, 0.002, 0.002),) * len(forces),
    )


def _write_iterations(store: Store, name: str, number: int) -> None:
    store.put_candidates(
        [
            Candidate(
                search_id=name,
                candidate_id=f"c{index:05d}",
                origin=Origin.P1,
                crystal=rocksalt(6.0 + 0.01 * index),
            )
            for index in range(POOL)
        ]
    )
    for k in range(number):
        picks = _picks(k - 1) if k else _picks(0)
        labels = [_label(name, k, one, failed=index == 7) for index, one in enumerate(picks)]
        store.put_labels(labels)
        if k:
            store.put_forecasts([_forecast(one) for one in labels if one.forces])
        store.put_relaxations(relaxations(name, k))
        for shard in range(2):
            store.put_shard_cost(
                ShardCost(
                    search_id=name,
                    iteration=k,
                    shard=shard,
                    candidates=POOL // 2,
                    steps=500,
                    seconds=30.0,
                    outcomes=Counter(one.stop for one in relaxations(name, k)[shard::2]),
                )
            )
        for member in range(2):
            store.put_member(_member(name, k, member), b"weights")
        store.put_iteration(_iteration(name, k, picks, last=k == number - 1 and name == DONE))


def _member(name: str, iteration: int, member: int) -> TrainedMember:
    return TrainedMember(
        search_id=name,
        iteration=iteration,
        member=member,
        architecture={},
        format_version=1,
        labels=8 * (iteration + 1),
        left_out=0,
        epochs=10,
        seconds=60.0,
        energy_mae=0.02 / (iteration + 1 + 0.1 * member),
        force_mae=0.2 / (iteration + 1),
        stress_mae=2e-3 / (iteration + 1),
    )


def _iteration(name: str, k: int, picks: Sequence[Pick], *, last: bool) -> Iteration:
    top = tuple(
        TopCluster(
            candidate_id=one.candidate_id,
            energy=one.energy,
            size=size,
            crystal=one.crystal,
            members=tuple(f"c{index + more:05d}" for more in range(size)),
        )
        for index, size in ((0, POOL // 3), (POOL // 3, POOL // 6))
        for one in [_relaxation(name, k, index)]
    )
    return Iteration(
        search_id=name,
        iteration=k,
        picks=tuple(picks),
        clusters=2,
        noise=POOL // 2,
        eps=0.2,
        top=top,
        next_picks=_picks(k),
        convergence=Convergence(
            converged=last,
            agreeing=min(k + 1, 2),
            compared=2,
            reason=f"{min(k + 1, 2)} of 2 top clusters unchanged",
        ),
        ended_by=EndedBy.CONVERGENCE if last else None,
        finalists=top if last else (),
    )


def _result() -> Result:
    ranking = tuple(
        RankedCrystal(
            rank=place,
            candidate_ids=(f"c{place:05d}",),
            energy_ev_per_atom=-3.4 + 0.02 * (place - 1),
            energy_above_lowest_ev_per_atom=0.02 * (place - 1),
            space_group_symbol=symbol,
            space_group_number=number,
            volume_a3_per_atom=crystal.volume_per_atom,
            converged=True,
            residual_stress_gpa=0.1,
            first_found_iteration=place - 1,
            reference_calls_first_found=9 * place,
            crystal=crystal,
        )
        for place, symbol, number, crystal in (
            (1, "Fm-3m", 225, rocksalt()),
            (2, "P4/mmm", 123, rocksalt(5.9, 0.2)),
        )
    )
    return Result(
        search_id=DONE,
        iterations=3,
        ended_by=EndedBy.CONVERGENCE,
        ranking=ranking,
        ledger=Ledger(reference_calls=26),
    )
