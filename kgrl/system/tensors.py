"""Tensors: the number format that a device computes fastest in, and safetensors files."""

from __future__ import annotations

import functools
import time
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from kgrl.errors import KgrlError, UnknownNameError
from kgrl.system.files import replacing

__all__ = ["as_dtype", "best_dtype", "read_tensors", "save_tensors"]

_ROWS, _IN, _OUT = 128, 576, 1536
"""The product that is timed: a block of tokens by a weight matrix of a small language model."""
_ROUNDS = 7
_CLEARLY_FASTER = 1.2
"""Ratio of times from which bfloat16's loss of precision is worth it; also above the scatter of the times."""


_FORMATS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def as_dtype(dtype: torch.dtype | str) -> torch.dtype:
    """Return a number format by its name.

    Args:
        dtype: `"float32"`, `"bfloat16"` or `"float16"`; a format of torch is returned as it is.

    Raises:
        UnknownNameError: If no format has that name.

    Example:
        >>> as_dtype("bfloat16")
        torch.bfloat16
    """
    if isinstance(dtype, torch.dtype):
        return dtype
    if dtype not in _FORMATS:
        raise UnknownNameError("number format", dtype, _FORMATS)
    return _FORMATS[dtype]


@functools.cache
def best_dtype(device: str | torch.device = "cpu") -> torch.dtype:
    """Return bfloat16 if the device is clearly faster with it than with float32, else float32.

    On CUDA devices with the instructions it always is. On a CPU with them (AVX-512 BF16 or AMX) matrix products are
    timed, once in a process and for a few hundredths of a second, since without AMX float32 is often the faster one.
    Without the instructions nothing is timed: emulated bfloat16 is hundreds of times slower.

    Args:
        device: Device to compute on.

    Example:
        >>> best_dtype() in (torch.bfloat16, torch.float32)
        True
    """
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    capabilities = torch.cpu.get_capabilities() if kind == "cpu" else {}
    if not any(capabilities.get(instructions, False) for instructions in ("avx512_bf16", "amx_bf16")):
        return torch.float32
    seconds = _product_seconds((torch.float32, torch.bfloat16))
    clearly_faster = seconds[torch.float32] > _CLEARLY_FASTER * seconds[torch.bfloat16]
    return torch.bfloat16 if clearly_faster else torch.float32


def save_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write tensors atomically as safetensors.

    Raises:
        OSError: If the disk is full; a file that was there before stays.
    """
    # Copies, since safetensors refuses tensors that share memory, and the trained weights all do.
    copies = {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}
    with replacing(path) as temporary:
        try:
            save_file(copies, temporary, {"format": "pt"})
        except SafetensorError as error:  # a full disk: the tensors themselves are fine
            raise OSError(f"cannot write {path}: {error}") from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read tensors that `save_tensors` wrote.

    Raises:
        KgrlError: If the file is missing.
    """
    if not path.is_file():
        raise KgrlError(f"{path} is missing")
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is not a dict


def _product_seconds(dtypes: tuple[torch.dtype, ...]) -> dict[torch.dtype, float]:
    """Seconds of a matrix product in each format.

    The least of several, and the formats in turns: other programs slow some rounds down.
    """
    factors = {dtype: (torch.ones(_ROWS, _IN, dtype=dtype), torch.ones(_OUT, _IN, dtype=dtype)) for dtype in dtypes}
    seconds = dict.fromkeys(dtypes, float("inf"))
    for _ in range(_ROUNDS):
        for dtype, (states, weight) in factors.items():
            began = time.perf_counter()
            torch.nn.functional.linear(states, weight)
            seconds[dtype] = min(seconds[dtype], time.perf_counter() - began)
    return seconds
