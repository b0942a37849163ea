"""Devices that models compute on, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kgrl.errors import UnknownNameError

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["CPU", "find_device", "known_devices", "to_device"]

CPU = "cpu"
_AUTO = "auto"


def known_devices() -> list[str]:
    """Return the names of the devices of this machine, the fastest kind first.

    Example:
        >>> known_devices()[-1]
        'cpu'
    """
    import torch  # here, since it takes seconds to import

    cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return [*(["cuda"] if cuda else []), *(f"cuda:{number}" for number in range(cuda)), *mps, CPU]


def find_device(device: str | torch.device = _AUTO) -> torch.device:
    """Return a device by its name.

    Args:
        device: `"cpu"`, `"cuda"`, `"cuda:1"`, `"mps"`, or `"auto"` for the fastest of this machine. A device of torch
            is returned as it is.

    Raises:
        UnknownNameError: If this machine has no such device; the message lists those that it has.

    Example:
        >>> find_device("cpu")
        device(type='cpu')
    """
    import torch

    if isinstance(device, torch.device):
        return device
    known = known_devices()
    if device == _AUTO:
        return torch.device(known[0])
    if device not in known:
        raise UnknownNameError("device", device, [_AUTO, *known])
    return torch.device(device)


def to_device(array: NDArray[Any], device: torch.device) -> Tensor:
    """Return an array as a tensor on a device; the host does not wait until it has arrived there."""
    import torch

    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
