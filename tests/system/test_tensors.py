"""The number format follows what the device can do and how fast it is at it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from kgrl.system import tensors
from kgrl.system.tensors import best_dtype


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Nothing is remembered of other tests, nor by them."""
    best_dtype.cache_clear()
    yield
    best_dtype.cache_clear()


def cpu(monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], speed_up: float) -> None:
    """Make the CPU one with these instructions, `speed_up` times as fast in bfloat16."""
    seconds = {torch.float32: speed_up, torch.bfloat16: 1.0}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    monkeypatch.setattr(tensors, "_product_seconds", lambda dtypes: {dtype: seconds[dtype] for dtype in dtypes})


@pytest.mark.parametrize("instructions", ["avx512_bf16", "amx_bf16"])
@pytest.mark.parametrize(
    ("speed_up", "expected"), [(0.6, torch.float32), (1.1, torch.float32), (1.5, torch.bfloat16), (8.0, torch.bfloat16)]
)
def test_bfloat16_has_to_be_clearly_faster(
    instructions: str, speed_up: float, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu(monkeypatch, {instructions: True}, speed_up)
    assert best_dtype() == expected


@pytest.mark.parametrize("capabilities", [{}, {"avx512_bf16": False, "amx_bf16": False, "avx2": True}])
def test_emulated_bfloat16_is_never_tried(capabilities: dict[str, bool], monkeypatch: pytest.MonkeyPatch) -> None:
    cpu(monkeypatch, capabilities, speed_up=8.0)
    monkeypatch.setattr(tensors, "_product_seconds", lambda dtypes: pytest.fail("a product was timed"))
    assert best_dtype() == torch.float32


def test_the_choice_stays_the_same_within_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu(monkeypatch, {"avx512_bf16": True}, speed_up=1.5)
    first = best_dtype()
    cpu(monkeypatch, {"avx512_bf16": True}, speed_up=0.5)
    assert best_dtype() == first


@pytest.mark.parametrize(("supported", "expected"), [(True, torch.bfloat16), (False, torch.float32)])
def test_cuda_devices_take_bfloat16_where_they_have_it(
    supported: bool, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation: supported and not including_emulation
    )
    assert best_dtype("cuda") == best_dtype(torch.device("cuda", 0)) == expected


def test_products_are_timed_in_every_format_asked_for() -> None:
    seconds = tensors._product_seconds((torch.float32, torch.float64))
    assert set(seconds) == {torch.float32, torch.float64}
    assert all(0 < duration < 1 for duration in seconds.values())
