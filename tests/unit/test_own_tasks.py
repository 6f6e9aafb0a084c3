"""Documents of the database are data: workers load Pyrite's tasks and nothing else."""

from pathlib import Path

import pytest
from fireworks import Firework, PyTask, ScriptTask
from fireworks.utilities import fw_serializers
from fireworks.utilities.exceptions import FWSerializationError

from pyrite.firetasks.rank_structures import RankStructures
from pyrite.launchers.own_tasks import load_only


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


def test_limits_are_not_stacked() -> None:
    load_only(("dummy",))
    load_only()
    assert Firework.from_dict(own()).tasks
