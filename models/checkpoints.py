"""Lightning checkpoints without pickles: tensors as safetensors, the rest as JSON."""

import json
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import CheckpointIO
from safetensors.torch import load, save

METADATA_KEY = "pyrite"
_TENSOR, _MAPPING, _LIST, _TUPLE = "tensor", "mapping", "list", "tuple"


def encode(checkpoint: Any) -> bytes:
    """Nested dictionaries, lists, tuples, numbers, strings and tensors as bytes.

    Raises
    ------
    TypeError
        For any other object.
    """
    tensors: dict[str, torch.Tensor] = {}

    def skeleton(value: Any) -> Any:
        match value:
            case None | bool() | int() | float() | str():
                return value
            case torch.Tensor():
                name = str(len(tensors))
                tensors[name] = value.detach().cpu().contiguous().clone()
                return {_TENSOR: name}
            case dict():
                return {_MAPPING: [[skeleton(k), skeleton(v)] for k, v in value.items()]}
            case list():
                return {_LIST: [skeleton(one) for one in value]}
            case tuple():
                return {_TUPLE: [skeleton(one) for one in value]}
        raise TypeError(f"a checkpoint cannot hold {type(value).__name__} objects: {value!r}")

    structure = json.dumps(skeleton(checkpoint))
    return save(tensors, metadata={METADATA_KEY: structure})


def decode(data: bytes) -> Any:
    """What `encode` was given."""
    tensors = load(data)

    def value(part: Any) -> Any:
        match part:
            case {"tensor": name}:
                return tensors[name]
            case {"mapping": items}:
                return {value(k): value(v) for k, v in items}
            case {"list": items}:
                return [value(one) for one in items]
            case {"tuple": items}:
                return tuple(value(one) for one in items)
        return part

    return value(read_metadata(data))


def read_metadata(data: bytes) -> Any:
    """The JSON that stands beside the tensors."""
    # The safetensors layout: eight bytes of length, then a JSON header.
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    return json.loads(header["__metadata__"][METADATA_KEY])


class PlainCheckpointIO(CheckpointIO):
    """Lightning's reader and writer of checkpoint files, in this format."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write a file."""
        Path(path).write_bytes(encode(checkpoint))

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a file; Lightning moves the tensors where they belong."""
        checkpoint: dict[str, Any] = decode(Path(path).read_bytes())
        return checkpoint

    def remove_checkpoint(self, path: Any) -> None:
        """Delete a file."""
        Path(path).unlink(missing_ok=True)
