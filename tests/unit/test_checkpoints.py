import pytest
import torch

from pyrite.models.checkpoints import PlainCheckpointIO, decode, encode

STATE = {
    "epoch": 3,
    "rate": 0.1 + 0.2,
    "best": float("inf"),
    "names": ["a", None, True],
    "betas": (0.9, 0.999),
    "tensor": "a word",
    "state": {0: {"step": torch.tensor(5.0)}, 1: {"exp_avg": torch.arange(3) / 7}},
}


def test_everything_comes_back_with_its_type():
    found = decode(encode(STATE))
    assert {k: v for k, v in found.items() if k != "state"} == {
        k: v for k, v in STATE.items() if k != "state"
    }
    assert isinstance(found["betas"], tuple)
    assert list(found["state"]) == [0, 1]
    assert torch.equal(found["state"][1]["exp_avg"], STATE["state"][1]["exp_avg"])
    assert found["state"][0]["step"].shape == ()


def test_files_are_no_pickles(tmp_path):
    file = tmp_path / "training"
    PlainCheckpointIO().save_checkpoint(STATE, file)
    assert not file.read_bytes().startswith((b"PK", b"\x80"))
    assert PlainCheckpointIO().load_checkpoint(file)["epoch"] == 3
    PlainCheckpointIO().remove_checkpoint(file)
    assert not file.exists()


def test_other_objects_are_refused():
    with pytest.raises(TypeError, match="set"):
        encode({"x": {1, 2}})
