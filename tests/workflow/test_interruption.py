"""A reference relaxation that a time limit ends goes on in the next job, before the ranking."""

from pathlib import Path

import pytest
from fireworks import FWorker, LaunchPad
from fireworks.core.rocket_launcher import launch_rocket
from tests.unit.builders import rocksalt
from tests.unit.stand_in import Interrupted, settings

from pyrite.documents import EndedBy, Iteration, Search, TopCluster
from pyrite.models import engines
from pyrite.store import Store
from pyrite.workflows.validation import validation_workflow

NAME = "interrupted"


def test_the_rest_of_a_relaxation_is_a_detour_before_the_ranking(
    launchpad: LaunchPad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Interrupted(rocksalt(5.6), rocksalt(5.65))
    monkeypatch.setattr(engines, "make_engine", lambda *_: engine)
    monkeypatch.chdir(tmp_path)
    config = settings(name=NAME, validation={"max_steps": 50})
    top = TopCluster(candidate_id="c1", energy=-3.0, size=2, crystal=rocksalt(5.6))
    store = Store.from_launchpad(launchpad)
    store.create_search(Search(search_id=NAME, config=config, created=1.0))
    store.put_iteration(
        Iteration(
            search_id=NAME,
            iteration=0,
            picks=(),
            top=(top,),
            finalists=(top,),
            ended_by=EndedBy.MAX_ITERATIONS,
        )
    )
    launchpad.add_wf(validation_workflow(config, NAME, 0, 1))

    names = []
    while launch_rocket(launchpad, FWorker(), strm_lvl="ERROR"):
        newest = max(launchpad.launches.find(), key=lambda one: one["launch_id"])
        names.append(launchpad.get_fw_by_id(newest["fw_id"]).name)
    assert names == [f"validate {NAME} 0", f"validate {NAME} 0", f"rank {NAME}"]
    assert set(launchpad.fireworks.distinct("state")) == {"COMPLETED"}
    (found,) = store.validations(NAME)
    assert (found.interrupted, found.converged) == (False, True)
    assert found.provenance.reference_calls == 6
    result = store.result(NAME)
    assert result is not None
    assert result.ranking[0].converged
    store.remove_search(NAME)
