"""Which number format this machine computes fastest in."""

from __future__ import annotations

import torch

__all__ = ["best_dtype"]


def best_dtype() -> torch.dtype:
    """Return bfloat16 where the CPU multiplies it in hardware (AVX-512 BF16 or AMX), float32 elsewhere.

    Emulated bfloat16 is hundreds of times slower than float32, so the choice follows the instruction set, never a wish.

    Example:
        >>> best_dtype() in (torch.bfloat16, torch.float32)
        True
    """
    capabilities = torch.cpu.get_capabilities()
    has_bfloat16 = capabilities.get("avx512_bf16", False) or capabilities.get("amx_bf16", False)
    return torch.bfloat16 if has_bfloat16 else torch.float32
