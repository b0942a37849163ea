"""A stand-in for a device that is not there: tensors that say they are on it, and compute on the CPU.

An operation on a marked and an unmarked tensor raises, as it does between real devices; numbers without dimensions are
let through, as they are there. Transfers to the CPU are counted: each lets the host wait for the device. torch has
such a device for all of a process: this module is imported in processes of its own (`tests/learners/test_devices.py`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

__all__ = ["WANTED", "Marked", "marked_device"]

NAME = "marked"
WANTED = "KGRL_MARKED_DEVICE"
"""The variable of the environment by which a process says that it is one of its own."""
_COPIES = {
    torch.ops.aten._to_copy.default,
    torch.ops.aten.copy_.default,
    torch.ops.aten.to.device,
    torch.ops.aten.to.dtype_layout,
}
_WAITS = {torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default, torch.ops.aten.equal.default}
_PINS = {torch.ops.aten._pin_memory.default, torch.ops.aten.is_pinned.default}


class Marked(Tensor):
    """A tensor of the CPU that says it is on another device."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> Marked:
        with torch.inference_mode(False):  # which has no views of such tensors
            made: Marked = torch.Tensor._make_wrapper_subclass(
                cls,
                held.size(),
                strides=held.stride(),
                storage_offset=held.storage_offset(),
                dtype=held.dtype,
                layout=held.layout,
                device=torch.device(NAME, 0),
                requires_grad=False,
            )
        made.held = held
        return made

    @property
    def data(self) -> Tensor:  # type: ignore[override]
        """The tensor without its gradient; setting it gives a parameter other memory."""
        found: Tensor = torch.Tensor.data.__get__(self)  # type: ignore[attr-defined]
        return found

    @data.setter
    def data(self, other: Marked) -> None:
        torch.Tensor.data.__set__(self, other)  # type: ignore[attr-defined]
        self.held = other.held

    def __repr__(self) -> str:  # type: ignore[override]
        return f"Marked({self.held!r})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError("only inside of marked_device")


class _Mode(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.waits = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = tree_flatten((args, kwargs or {}))[0]
        tensors = [x for x in given if isinstance(x, Tensor)]
        marked = [isinstance(x, Marked) for x in tensors]
        asked = next((x for x in given if isinstance(x, torch.device)), None)
        to_marked = any(marked) if asked is None else asked.type == NAME
        if func in _PINS:
            return tensors[0] if func is not torch.ops.aten.is_pinned.default else True
        if func in _WAITS and any(marked):
            self.waits += 1
        if func in _COPIES:
            if func is torch.ops.aten.copy_.default:
                to_marked = marked[0]
            if any(marked) and not to_marked:
                self.waits += 1
        elif any(marked):
            strays = [x for x, own in zip(tensors, marked, strict=True) if not own and x.dim() > 0]
            if strays:
                raise RuntimeError(f"{func} mixes devices: a tensor of shape {tuple(strays[0].shape)} is on the CPU")
        found = func(*tree_map(_held, args), **tree_map(_held, kwargs or {}))
        if not to_marked:
            return found
        if str(func).partition(".")[0].endswith("_") or str(func).startswith(("aten::_fused", "aten._fused")):
            return (
                next((x for x, own in zip(tensors, marked, strict=True) if own), found) if found is not None else None
            )
        return tree_map(lambda x: Marked(x) if isinstance(x, Tensor) else x, found)


class _Module(backend_registration._DummyBackendModule):
    """What torch asks a kind of device; nothing is drawn on this one."""

    def get_rng_state(self, device: Any = None) -> Tensor:
        return torch.empty(0)

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.float32]

    def set_rng_state(self, state: Tensor, device: Any = None) -> None:
        pass


def _held(x: Any) -> Any:
    if isinstance(x, torch.device):
        return torch.device("cpu")
    return x.held if isinstance(x, Marked) else x


@contextmanager
def marked_device() -> Iterator[_Mode]:
    """Let the device `marked` be there."""
    swaps = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        with _Mode() as mode:
            yield mode
    finally:
        torch.__future__.set_swap_module_params_on_conversion(swaps)


# At import, since torch counts devices before the first gradient of a process; and in such processes alone, since
# pytest imports all modules to look for examples, and torch would have the device from then on.
if os.environ.get(WANTED):
    backend_registration._setup_privateuseone_for_python_backend(NAME, _Module())
