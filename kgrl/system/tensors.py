"""Tensors in files: safetensors, written whole or not at all."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from kgrl.errors import KgrlError
from kgrl.system.files import replacing

__all__ = ["read_tensors", "save_tensors"]


def save_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write tensors atomically as safetensors.

    Raises:
        OSError: If there is no room; a file that was there before stays.
    """
    # Copies, since safetensors refuses tensors that share memory, and the trained weights all do.
    copies = {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}
    with replacing(path) as temporary:
        try:
            save_file(copies, temporary, {"format": "pt"})
        except SafetensorError as error:  # a full disk, which is no fault of the tensors
            raise OSError(f"cannot write {path}: {error}") from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read tensors that `save_tensors` wrote.

    Raises:
        KgrlError: If there is no such file.
    """
    if not path.is_file():
        raise KgrlError(f"{path} is missing")
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
