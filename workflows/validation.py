"""The finalists of an iteration as fireworks: reference relaxations and the ranking."""

from fireworks import Firework, Workflow

from pyrite.config import SearchConfig
from pyrite.firetasks.rank_structures import RankStructures
from pyrite.firetasks.vasp_relax import VaspRelax
from pyrite.workflows.iteration import firework


def validation_workflow(config: SearchConfig, search_id: str, k: int, finalists: int) -> Workflow:
    """Relax every finalist with the reference, then rank.

    Parameters
    ----------
    k : the iteration whose finalists they are
    finalists : how many crystals to relax
    """
    relaxations = [relaxation(config, search_id, k, n) for n in range(finalists)]
    rank = firework(
        RankStructures(search_id=search_id, iteration=k),
        f"rank {search_id}",
        config,
        relaxations,
    )
    return Workflow([*relaxations, rank])


def relaxation(config: SearchConfig, search_id: str, k: int, finalist: int) -> Firework:
    """The reference relaxation of one finalist of iteration ``k``."""
    return firework(
        VaspRelax(search_id=search_id, iteration=k, finalist=finalist),
        f"validate {search_id} {finalist}",
        config,
    )
