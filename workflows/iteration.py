"""One cycle of active learning as fireworks."""

from fireworks import Firework, Workflow

from pyrite.config import SearchConfig
from pyrite.firetasks.base import SearchTask
from pyrite.firetasks.check_convergence import CheckConvergence
from pyrite.firetasks.cluster_select import ClusterSelect
from pyrite.firetasks.relax_pool import RelaxPool
from pyrite.firetasks.train_ensemble import TrainEnsemble
from pyrite.firetasks.vasp_relax import VaspRelax
from pyrite.models import partition


def iteration_workflow(
    config: SearchConfig, search_id: str, k: int, picks: int, *, larger: bool
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
    larger: bool,
) -> list[Firework]:
    """The fireworks of one iteration, linked; the first ones follow ``after``."""
    ids = {"search_id": search_id, "iteration": k}
    labels = [
        firework(VaspRelax(**ids, chunk=n), f"label {search_id} {k}/{n}", config, after)
        for n in range(partition.chunks(config, picks))
    ]
    training = [
        firework(
            TrainEnsemble(**ids, part=n),
            f"train {search_id} {k}/{n}",
            config,
            labels or after,
            gpu=True,
        )
        for n in range(partition.parts(config))
    ]
    relaxations = [
        firework(
            RelaxPool(**ids, shard=n), f"relax {search_id} {k}/{n}", config, training, gpu=True
        )
        for n in range(partition.shards(config, larger=larger))
    ]
    select = firework(ClusterSelect(**ids), f"select {search_id} {k}", config, relaxations)
    check = firework(CheckConvergence(**ids), f"converge {search_id} {k}", config, [select])
    return [*labels, *training, *relaxations, select, check]


def firework(
    task: SearchTask,
    name: str,
    config: SearchConfig,
    parents: list[Firework] | None = None,
    *,
    gpu: bool = False,
) -> Firework:
    """One task as a firework whose spec repeats the task's ids, for queries, and names the
    Makers that it needs.

    Parameters
    ----------
    gpu : whether the task runs networks, for its category
    """
    execution = config.execution
    category = execution.gpu_category if gpu else execution.cpu_category
    spec = {
        key: task[key]
        for key in ("search_id", "iteration", "chunk", "part", "shard", "finalist")
        if key in task
    }
    spec["_add_launchpad_and_fw_id"] = True
    if isinstance(task, VaspRelax) and config.reference.makers is not None:
        spec["makers"] = config.reference.makers
    if category is not None:
        spec["_category"] = category
    if execution.priority:
        spec["_priority"] = execution.priority
    return Firework(task, spec=spec, name=name, parents=parents)
