"""A search as its first workflow; everything later is added by its own tasks."""

from collections.abc import Sequence

from fireworks import Workflow

from pyrite.config import SearchConfig
from pyrite.documents import Crystal
from pyrite.errors import ConfigError
from pyrite.firetasks.generate_pool import GeneratePool
from pyrite.workflows.iteration import firework, iteration_fireworks, named


def search_workflow(
    config: SearchConfig,
    start_structures: Sequence[Crystal] = (),
    target_structures: Sequence[Crystal] = (),
) -> Workflow:
    """GeneratePool and iteration 0.

    Parameters
    ----------
    config : the search; it must have a name
    start_structures : crystals read from ``config.pool.files``
    target_structures : crystals read from ``config.target.pool.files``

    Raises
    ------
    ConfigError
        If the search has no name.
    """
    if config.name is None:
        raise ConfigError("name: a workflow needs a search with a name; set name")
    task = GeneratePool(search_id=config.name, config=config.model_dump(mode="json"))
    for parameter, crystals in (
        ("start_structures", start_structures),
        ("target_structures", target_structures),
    ):
        if crystals:
            task[parameter] = [one.model_dump(mode="json") for one in crystals]
    generate = firework(task, f"generate {config.name}", config)
    picks = min(config.selection.first_labels, config.pool.size + len(start_structures))
    larger = config.larger_cells_join(0)
    cycle = iteration_fireworks(config, config.name, 0, picks, after=[generate], larger=larger)
    return named([generate, *cycle], config, config.name, 0)
