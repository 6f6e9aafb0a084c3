"""Documents of the database are data: workers load Pyrite's tasks and nothing else."""

import os
import sys
from pathlib import Path

import pytest
from fireworks import Firework, PyTask, ScriptTask
from fireworks.utilities import fw_serializers
from fireworks.utilities.exceptions import FWSerializationError

from pyrite.errors import EngineError
from pyrite.firetasks.rank_structures import RankStructures
from pyrite.launchers.free_worker import in_the_environment_of_workers
from pyrite.launchers.own_tasks import load_only
from pyrite.machine import Machine
from pyrite.models.engines import make_engine
from pyrite.reference_config import ReferenceConfig


@pytest.fixture(autouse=True)
def limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a worker, and undone afterwards."""
    monkeypatch.setattr(fw_serializers, "load_object", fw_serializers.load_object)
    monkeypatch.setattr(fw_serializers, "DECODE_MONTY", fw_serializers.DECODE_MONTY)
    load_only()


def own() -> dict[str, object]:
    return Firework(RankStructures(search_id="x", iteration=0)).to_dict()


def test_pyrite_s_own_tasks_are_loaded() -> None:
    (task,) = Firework.from_dict(own()).tasks
    assert isinstance(task, RankStructures)
    assert task["search_id"] == "x"


@pytest.mark.parametrize(
    "task",
    [
        ScriptTask.from_str("touch {file}"),
        PyTask(func="pathlib.Path.touch", args=["{file}"]),
    ],
)
def test_tasks_of_others_are_refused(task: ScriptTask, tmp_path: Path) -> None:
    with pytest.raises(FWSerializationError, match="not a task of Pyrite's"):
        Firework.from_dict(Firework(task).to_dict())


@pytest.mark.parametrize(
    "name",
    [
        "{{antigravity.Task}}",  # importing it opens a browser
        "ScriptTask",
        "{{pyrite.firetasksy.Task}}",
        "{{pyrite.launchers.processes.run}}",
        "pyrite.firetasks.rank_structures.RankStructures",
    ],
)
def test_no_other_name_is_imported_wherever_it_stands(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = own()
    document["spec"]["harmless"] = [{"deep": {"_fw_name": name}}]  # type: ignore[index]
    imported: list[str] = []
    monkeypatch.setattr(fw_serializers.importlib, "import_module", imported.append)
    with pytest.raises(FWSerializationError, match="not a task of Pyrite's"):
        Firework.from_dict(document)
    assert imported == []


def test_objects_of_other_libraries_stay_dictionaries() -> None:
    document = own()
    thing = {"@module": "pymatgen.core", "@class": "Lattice", "matrix": [[1, 0, 0]] * 3}
    document["spec"]["thing"] = thing  # type: ignore[index]
    assert Firework.from_dict(document).spec["thing"] == thing


MAKERS = ReferenceConfig(
    engine="maker", static_maker="antigravity.Static", relax_maker="antigravity.Relax"
)


@pytest.mark.parametrize(
    "allowed", ["none", "antigravit", "antigravity.Static", "antigravity.StaticX antigravity.Relax"]
)
def test_a_maker_that_the_machine_s_owner_has_not_named_is_not_imported(
    allowed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "antigravity", raising=False)
    with pytest.raises(EngineError, match=r"may not run here.* with PYRITE_MAKERS"):
        make_engine(MAKERS, tmp_path, Machine(makers=allowed))
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize("allowed", ["no_package", "x,no_package.Static no_package.Relax", None])
def test_one_that_was_named_is_looked_for(allowed: str | None, tmp_path: Path) -> None:
    makers = ReferenceConfig(
        engine="maker", static_maker="no_package.Static", relax_maker="no_package.Relax"
    )
    with pytest.raises(EngineError, match="cannot be imported"):
        make_engine(makers, tmp_path, Machine(makers=allowed))


def test_other_engines_need_no_maker(tmp_path: Path) -> None:
    lost = ReferenceConfig(engine="vasp")
    with pytest.raises(EngineError, match="vasp") as refused:
        make_engine(lost, tmp_path, Machine(makers="none", vasp_command="no-such-program"))
    assert "PYRITE_MAKERS" not in str(refused.value)


@pytest.mark.parametrize(("given", "used"), [(None, "none"), ("", "none"), ("mine", "mine")])
def test_pyrite_work_runs_no_maker_by_default(
    given: str | None, used: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "store").mkdir()
    environments: list[dict[str, str]] = []
    monkeypatch.setattr(os, "execve", lambda _path, _arguments, new: environments.append(new))
    monkeypatch.delenv("PYRITE_MAKERS", raising=False)
    if given is not None:
        monkeypatch.setenv("PYRITE_MAKERS", given)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    in_the_environment_of_workers(tmp_path)
    (new,) = environments
    assert (new["PYRITE_MAKERS"], new["OMP_NUM_THREADS"]) == (used, "3")
    assert new["PATH"] == os.environ["PATH"]


def test_limits_are_not_stacked() -> None:
    load_only(("dummy",))
    load_only()
    assert Firework.from_dict(own()).tasks
