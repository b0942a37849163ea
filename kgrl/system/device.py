"""Which number format a device computes fastest in."""

from __future__ import annotations

import functools
import time

import torch

__all__ = ["best_dtype"]

_ROWS, _IN, _OUT = 128, 576, 1536
"""The product timed: a block of tokens by a weight matrix of a small language model."""
_ROUNDS = 7
_CLEARLY_FASTER = 1.2


@functools.cache
def best_dtype(device: str | torch.device = "cpu") -> torch.dtype:
    """Return bfloat16 where the device is clearly faster with it than with float32, else float32.

    On CUDA devices with the instructions it always is. On a CPU with them (AVX-512 BF16 or AMX) matrix products are
    timed, once in a process and for a few hundredths of a second, since without AMX float32 is often the faster one.
    Without the instructions nothing is timed: emulated bfloat16 is hundreds of times slower.

    Args:
        device: Where to compute.

    Example:
        >>> best_dtype() in (torch.bfloat16, torch.float32)
        True
    """
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    if kind != "cpu" or not _cpu_has_bfloat16():
        return torch.float32
    seconds = _product_seconds((torch.float32, torch.bfloat16))
    clearly_faster = seconds[torch.float32] > _CLEARLY_FASTER * seconds[torch.bfloat16]
    return torch.bfloat16 if clearly_faster else torch.float32


def _cpu_has_bfloat16() -> bool:
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16", False) or capabilities.get("amx_bf16", False))


def _product_seconds(dtypes: tuple[torch.dtype, ...]) -> dict[torch.dtype, float]:
    """Seconds of a matrix product in each format: the least of several, in turns, as other programs slow some down."""
    factors = {dtype: (torch.ones(_ROWS, _IN, dtype=dtype), torch.ones(_OUT, _IN, dtype=dtype)) for dtype in dtypes}
    seconds = dict.fromkeys(dtypes, float("inf"))
    for _ in range(_ROUNDS):
        for dtype, (states, weight) in factors.items():
            began = time.perf_counter()
            torch.nn.functional.linear(states, weight)
            seconds[dtype] = min(seconds[dtype], time.perf_counter() - began)
    return seconds
