"""The search's settings: what is enough, what is refused, and that nothing changes afterwards."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from pyrite import config as config_module
from pyrite.config import Criterion, Representation, SearchConfig, TrainingConfig
from pyrite.pool_config import StartFrom, TargetConfig

SECTIONS = (
    "pool",
    "reference",
    "surrogate",
    "training",
    "relaxation",
    "selection",
    "convergence",
    "validation",
    "execution",
)


def search(**settings: Any) -> SearchConfig:
    return SearchConfig.model_validate({"composition": "NaCl"} | settings)


def refusal(**settings: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        search(**settings)
    (finding,) = caught.value.errors()
    return ".".join(map(str, finding["loc"])) + ": " + finding["msg"]


def models() -> list[type[BaseModel]]:
    return [
        one
        for one in vars(config_module).values()
        if isinstance(one, type) and issubclass(one, BaseModel) and one is not BaseModel
    ]


def test_a_composition_is_enough() -> None:
    config = search()
    assert config.reference.engine == "chgnet"
    assert config.target is None
    assert set(SearchConfig.model_fields) == {
        "composition",
        "formula_units",
        "name",
        "seed",
        "recipe",
        "target",
        *SECTIONS,
    }


def test_a_target_is_a_known_structure_or_a_larger_cell_or_both() -> None:
    named = search(target="si-diamond")
    assert named == search(target={"structure": "si-diamond"})
    assert named.larger is None
    assert SearchConfig.model_validate(named.model_dump(mode="json")) == named
    both = search(target={"structure": "si-diamond", "composition": "Si46"})
    assert both.larger is not None
    assert both.larger.composition == "Si46"
    assert search().larger is None


def test_the_paper_s_recipe_is_what_a_file_does_not_say() -> None:
    paper = search(recipe="paper", pool={"size": 7}, training=TrainingConfig(updates=3))
    assert (paper.pool.size, paper.pool.symmetric_share) == (7, 0.0)
    assert (paper.training.updates, paper.training.energy_weight) == (3, 1e-4)
    assert paper.selection.first_labels == 100
    assert paper.execution == search().execution
    assert SearchConfig.model_validate(paper.model_dump(mode="json")) == paper
    with pytest.raises(ValidationError, match="recipe"):
        search(recipe="papre")
    assert paper.target is None


def test_the_paper_s_larger_cells_take_part_from_the_first_iteration() -> None:
    for target in ({"composition": "Si46"}, {"composition": "Si46", "join": "first"}):
        paper = search(recipe="paper", target=target).target
        assert paper is not None
        assert (paper.join, paper.max_relative_uncertainty) == ("first", 0.5)
        assert paper.start_from is None, "as relaxation.start_from"
    model = search(recipe="paper", target=TargetConfig(composition="Si46")).target
    assert model == search(recipe="paper", target={"composition": "Si46"}).target
    own = search(
        recipe="paper",
        target={"composition": "Si46"},
        relaxation={"max_relative_uncertainty": 0.8},
    ).target
    assert own is not None
    assert own.max_relative_uncertainty == 0.8, "that of all others"
    named = search(recipe="paper", target="si-diamond")
    assert named.target == search(target="si-diamond").target
    later = search(recipe="paper", target={"composition": "Si46", "join": "converged"}).target
    assert later is not None
    assert later.join == "converged"


def test_a_composition_is_needed() -> None:
    with pytest.raises(ValidationError, match="composition"):
        SearchConfig.model_validate({})


def test_a_search_survives_json() -> None:
    config = search(
        target={"composition": "Si46", "pool": {"size": 7}},
        pool={"volume_per_atom": (10, 20), "files": ["a.cif"], "minimum_distances": {"Na-Cl": 2.2}},
        surrogate={"representation": "so3net"},
        relaxation={"start_from": "last"},
        convergence={"criterion": "energy"},
    )
    again = SearchConfig.model_validate(config.model_dump(mode="json"))
    assert again == config
    assert again.surrogate.representation is Representation.SO3NET
    assert again.relaxation.start_from is StartFrom.LAST
    assert again.convergence.criterion is Criterion.ENERGY
    assert again.pool.files == (Path("a.cif"),)


@pytest.mark.parametrize("section", SECTIONS)
def test_nothing_changes_afterwards(section: str) -> None:
    config = search()
    part = getattr(config, section)
    name = next(iter(type(part).model_fields))
    for owner, key in ((config, section), (part, name)):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(owner, key, getattr(owner, key))


@pytest.mark.parametrize("section", ["", *SECTIONS])
def test_unknown_keys_are_refused(section: str) -> None:
    settings = {section: {"sise": 3}} if section else {"sise": 3}
    assert refusal(**settings) == f"{section}.sise: Extra inputs are not permitted".lstrip(".")


def test_every_section_is_frozen_and_strict_about_keys() -> None:
    assert len(models()) > len(SECTIONS)
    for model in models():
        assert model.model_config["frozen"], model
        assert model.model_config["extra"] == "forbid", model


def test_every_key_says_what_it_means() -> None:
    silent = [
        f"{model.__name__}.{name}"
        for model in models()
        for name, field in model.model_fields.items()
        if not field.description and not _is_section(field.annotation)
    ]
    assert silent == []


def _is_section(annotation: Any) -> bool:
    options = [annotation, *getattr(annotation, "__args__", ())]
    return any(isinstance(one, type) and issubclass(one, BaseModel) for one in options)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"seed": -1}, "seed: Input should be greater than or equal to 0"),
        ({"seed": 2**32}, "seed: Input should be less than"),
        ({"formula_units": 0}, "formula_units: Input should be greater"),
        ({"name": "../elsewhere"}, "name: String should match pattern"),
        ({"name": "a" * 65}, "name: String should match pattern"),
        ({"pool": {"size": 1}}, "pool.size: Input should be greater"),
        ({"pool": {"rattle": float("inf")}}, "pool.rattle: Input should be"),
        ({"pool": {"symmetric_share": 1.1}}, "pool.symmetric_share: Input should be less"),
        ({"pool": {"volume_per_atom": (20, 10)}}, "volume_per_atom must be two positive numbers"),
        ({"pool": {"volume_per_atom": (0, 10)}}, "volume_per_atom must be two positive numbers"),
        ({"pool": {"length_ratio": (1.4, 0.7)}}, "length_ratio must be two positive numbers"),
        ({"pool": {"angles": (-60, 90)}}, "angles must be two positive numbers"),
        ({"pool": {"angles": (60, 180)}}, "angles must lie below 180 degrees"),
        ({"pool": {"minimum_distances": {"Na-Cl": -1}}}, "Na-Cl must not be negative"),
        ({"target": {}}, "target needs a structure, a composition, or both"),
        (
            {"target": {"structure": "si-diamond", "pool": {"size": 3}}},
            "target.pool needs target.composition",
        ),
        (
            {"target": {"structure": "si-diamond", "join": "first"}},
            "target.join needs target.composition",
        ),
        ({"target": {"composition": "Si46", "join": "never"}}, "target.join: Input should be"),
        (
            {"target": {"composition": "Si46", "max_relative_uncertainty": 0}},
            "target.max_relative_uncertainty: Input should be greater",
        ),
        ({"reference": {"engine": "maker"}}, "engine: maker needs static_maker and relax_maker"),
        (
            {"reference": {"engine": "maker", "static_maker": "a.B"}},
            "engine: maker needs static_maker and relax_maker",
        ),
        ({"reference": {"static_maker": "a.B"}}, "go with engine: maker"),
        ({"reference": {"required_success": 1.5}}, "required_success: Input should be less"),
        ({"surrogate": {"representation": "gemnet"}}, "surrogate.representation: Input should be"),
        ({"surrogate": {"members": 1}}, "surrogate.members: Input should be greater"),
        (
            {"training": {"schedule": "plateau", "validation_share": 0}},
            "schedule: plateau needs validation_share above 0",
        ),
        ({"training": {"validation_share": 1}}, "training.validation_share: Input should be less"),
        ({"relaxation": {"fmax": 0}}, "relaxation.fmax: Input should be greater"),
        (
            {"selection": {"uncertain_share": 0.6, "low_energy_share": 0.5}},
            "low_energy_share and random_share must not exceed 1 together",
        ),
        ({"selection": {"noise_decay": 1.2}}, "selection.noise_decay: Input should be less"),
        (
            {"convergence": {"min_iterations": 9, "max_iterations": 8}},
            "min_iterations must not exceed max_iterations",
        ),
        ({"convergence": {"top_k": 0}}, "convergence.top_k: Input should be greater"),
        ({"validation": {"symprec": 0}}, "validation.symprec: Input should be greater"),
        ({"execution": {"labels_per_task": 0}}, "execution.labels_per_task: Input should be"),
    ],
)
def test_mistakes_are_refused(settings: dict[str, Any], words: str) -> None:
    assert words in refusal(**settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"pool": {"volume_per_atom": (12, 12), "angles": (90, 90)}},
        {"pool": {"minimum_distances": {"Na-Cl": 0}}},
        {"reference": {"engine": "maker", "static_maker": "a.B", "relax_maker": "a.C"}},
        {"training": {"schedule": "plateau"}},
        {"training": {"validation_share": 0}},
        {"selection": {"uncertain_share": 0.5, "low_energy_share": 0.5}},
        {"convergence": {"min_iterations": 8, "max_iterations": 8}},
        {"seed": 2**32 - 1, "name": "a.b_c-1"},
    ],
)
def test_limits_themselves_are_allowed(settings: dict[str, Any]) -> None:
    assert search(**settings)
