"""What a search was told, by whom it was answered, and with which versions."""

from pyrite.config import SearchConfig
from pyrite.views import Views


def settings_text(config: SearchConfig) -> str:
    """All settings as a search file that would repeat the search."""
    import yaml

    return str(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True))


def provenance_rows(views: Views, name: str) -> list[tuple[str, str]]:
    """Versions, engine and seed, as pairs of a word and what it says."""
    search = views.store.get_search(name)
    config = search.config
    engines = sorted(
        {
            f"{one['provenance']['engine']} {one['provenance']['engine_version']}"
            for one in views.labels(name)
        }
    )
    return [
        ("seed", str(config.seed)),
        ("Pyrite", search.pyrite_version),
        ("reference", ", ".join(engines) or f"{config.reference.engine} (no label yet)"),
        (
            "networks",
            (
                f"{config.surrogate.members} × {config.surrogate.representation}, "
                f"cutoff {config.surrogate.cutoff:g} Å"
            ),
        ),
        ("pool", f"{config.pool.size} random crystals"),
        ("recipe", config.recipe),
    ]
