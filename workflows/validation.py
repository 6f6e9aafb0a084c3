"""The end of the loop as fireworks: reference relaxations and the ranking."""

from fireworks import Workflow

from pyrite.config import SearchConfig
from pyrite.firetasks.rank_structures import RankStructures
from pyrite.firetasks.vasp_relax import VaspRelax
from pyrite.workflows.iteration import firework


def validation_workflow(config: SearchConfig, search_id: str, k: int, finalists: int) -> Workflow:
    """Relax every finalist with the reference, then rank.

    Parameters
    ----------
    k : the iteration that ended the loop
    finalists : how many crystals to relax
    """
    cpu = config.execution.cpu_category
    relaxations = [
        firework(
            VaspRelax(search_id=search_id, iteration=k, finalist=n),
            f"validate {search_id} {n}",
            cpu,
            None,
        )
        for n in range(finalists)
    ]
    rank = firework(
        RankStructures(search_id=search_id, iteration=k), f"rank {search_id}", cpu, relaxations
    )
    return Workflow([*relaxations, rank])
