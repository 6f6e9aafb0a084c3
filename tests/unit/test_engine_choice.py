"""Engines that are wrong, not installed, or do not load."""

import importlib.util
import subprocess
import sys

import pytest
from tests.unit.builders import LENNARD_JONES, force_field

from pyrite.errors import EngineError
from pyrite.models import engines
from pyrite.models.engines import force_fields
from pyrite.reference_config import FORCE_FIELDS, ReferenceConfig


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"engine": "chgnt"}, r"reference\.engine: 'chgnt'.*did you mean chgnet\?"),
        (
            {"settings": {"calculator_kwarg": {}}},
            r"'calculator_kwarg'.*did you mean calculator_kwargs\?",
        ),
        ({"settings": {"relax_kwargs": 3}}, r"relax_kwargs must be a mapping"),
        (
            LENNARD_JONES.model_dump() | {"static_maker": "atomate2.ase.jobs.NoSuchMaker"},
            r"reference\.static_maker: 'atomate2\.ase\.jobs\.NoSuchMaker' cannot be imported",
        ),
        (
            LENNARD_JONES.model_dump() | {"relax_maker": "no_such_package.Maker"},
            r"reference\.relax_maker: 'no_such_package\.Maker' cannot be imported",
        ),
        (
            LENNARD_JONES.model_dump() | {"relax_maker": "nodots"},
            r"reference\.relax_maker: 'nodots'",
        ),
        (
            LENNARD_JONES.model_dump() | {"static_maker": "ase.Atoms"},
            r"reference\.static_maker: 'ase\.Atoms' is no Maker",
        ),
        (
            LENNARD_JONES.model_dump() | {"static_maker": "atomate2.cp2k.jobs.core.StaticMaker"},
            r"reference\.static_maker: .*cannot be trusted.*engines\.cp2k\.StaticMaker",
        ),
        (
            LENNARD_JONES.model_dump() | {"relax_maker": "atomate2.cp2k.jobs.core.CellOptMaker"},
            r"reference\.relax_maker: .*cannot be trusted.*engines\.cp2k\.RelaxMaker",
        ),
        (
            force_field("GAP", param_filename="/nowhere/gap.xml").model_dump(),
            r"reference\.settings: calculator_kwargs\.param_filename: .*/nowhere/gap\.xml",
        ),
        (
            LENNARD_JONES.model_dump()
            | {"relax_maker": "atomate2.forcefields.jobs.ForceFieldRelaxMaker"},
            r"reference\.relax_maker: .*ForceFieldRelaxMaker' .* other than .*LennardJones",
        ),
        (
            LENNARD_JONES.model_dump() | {"relax_maker": "atomate2.ase.jobs.EmtRelaxMaker"},
            r"reference\.relax_maker: .*EmtRelaxMaker' .* other than .*LennardJonesStaticMaker'",
        ),
        (
            LENNARD_JONES.model_dump() | {"settings": {"relax_kwargs": 3}},
            r"reference\.settings: relax_kwargs .*must be a mapping, and is 3",
        ),
        (
            LENNARD_JONES.model_dump() | {"settings": {"relax_kwarg": {}}},
            r"reference\.settings: 'relax_kwarg'.*did you mean relax_kwargs\?",
        ),
    ],
)
def test_wrong_engine_is_one_clear_sentence(config, message, tmp_path):
    config = ReferenceConfig(**config)
    with pytest.raises(EngineError, match=message) as failure:
        engines.check_engine(config)
    assert "\n" not in str(failure.value)
    with pytest.raises(EngineError, match=message):
        engines.make_engine(config, tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_engine_that_is_not_installed_names_the_extra(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "sevenn" else real(name)
    )
    with pytest.raises(EngineError, match=r'pip install "pyrite-csp\[sevennet\]"'):
        engines.check_engine(ReferenceConfig(engine="sevennet"))
    engines.check_engine(ReferenceConfig(engine="chgnet"))


def test_model_that_does_not_load_is_an_engine_error(tmp_path):
    config = ReferenceConfig(
        settings={"calculator_kwargs": {"on_isolated_atoms": "error", "model": 3}}
    )
    with pytest.raises(EngineError, match=r"reference\.engine: 'chgnet' does not load"):
        engines.make_engine(config, tmp_path)


def test_known_engines_are_checked_without_importing_them():
    code = (
        "import sys; from pyrite.config import ReferenceConfig;"
        "from pyrite.models.engines import check_engine; check_engine(ReferenceConfig());"
        "heavy = {'torch', 'chgnet', 'atomate2', 'pymatgen', 'jobflow'} & set(sys.modules);"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_configuration_knows_which_engines_are_force_fields() -> None:
    assert set(FORCE_FIELDS) == set(force_fields.KNOWN)
