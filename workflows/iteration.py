"""One cycle of active learning as fireworks."""

from fireworks import Firework, Workflow

from pyrite.config import ExecutionConfig, SearchConfig
from pyrite.firetasks.base import SearchTask
from pyrite.firetasks.check_convergence import CheckConvergence
from pyrite.firetasks.cluster_select import ClusterSelect
from pyrite.firetasks.relax_pool import RelaxPool
from pyrite.firetasks.train_ensemble import TrainEnsemble
from pyrite.firetasks.vasp_relax import VaspRelax
from pyrite.models import partition


def iteration_workflow(
    config: SearchConfig, search_id: str, k: int, picks: int, *, larger: bool = True
) -> Workflow:
    """Label → train → relax → cluster and select → check convergence.

    Parameters
    ----------
    k : iteration, from 0
    picks : labels that the iteration asks for
    larger : whether it relaxes larger cells, if there are any
    """
    fireworks = iteration_fireworks(config, search_id, k, picks, larger=larger)
    return named(fireworks, config, search_id, k)


def named(fireworks: list[Firework], config: SearchConfig, search_id: str, k: int) -> Workflow:
    """A workflow by whose name and metadata those of one search, and of an iteration, are found."""
    return Workflow(
        fireworks,
        name=f"{config.composition} ({search_id})",
        metadata={"search_id": search_id, "iteration": k},
    )


def iteration_fireworks(
    config: SearchConfig,
    search_id: str,
    k: int,
    picks: int,
    after: list[Firework] | None = None,
    *,
    larger: bool = True,
) -> list[Firework]:
    """The fireworks of one iteration, linked; the first ones follow ``after``."""
    execution = config.execution
    ids = {"search_id": search_id, "iteration": k}
    labels = [
        firework(VaspRelax(**ids, chunk=n), f"label {search_id} {k}/{n}", execution, after)
        for n in range(partition.chunks(config, picks))
    ]
    training = [
        firework(
            TrainEnsemble(**ids, part=n),
            f"train {search_id} {k}/{n}",
            execution,
            labels or after,
            gpu=True,
        )
        for n in range(partition.parts(config))
    ]
    relaxations = [
        firework(
            RelaxPool(**ids, shard=n), f"relax {search_id} {k}/{n}", execution, training, gpu=True
        )
        for n in range(partition.shards(config, larger=larger))
    ]
    select = firework(ClusterSelect(**ids), f"select {search_id} {k}", execution, relaxations)
    check = firework(CheckConvergence(**ids), f"converge {search_id} {k}", execution, [select])
    return [*labels, *training, *relaxations, select, check]


def firework(
    task: SearchTask,
    name: str,
    execution: ExecutionConfig,
    parents: list[Firework] | None = None,
    *,
    gpu: bool = False,
) -> Firework:
    """One task as a firework whose spec repeats the task's ids, for queries.

    Parameters
    ----------
    gpu : whether the task runs networks, for its category
    """
    category = execution.gpu_category if gpu else execution.cpu_category
    spec = {
        key: task[key]
        for key in ("search_id", "iteration", "chunk", "part", "shard", "finalist")
        if key in task
    }
    spec["_add_launchpad_and_fw_id"] = True
    if category is not None:
        spec["_category"] = category
    if execution.priority:
        spec["_priority"] = execution.priority
    return Firework(task, spec=spec, name=name, parents=parents)
