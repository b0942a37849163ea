"""Devices that models compute on, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kgrl.errors import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["CPU", "find_device", "kept_copies", "known_devices", "spare_memory", "to_device"]

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


def spare_memory(device: torch.device) -> int | None:
    """Return the bytes that torch could still take on a device; None for one whose memory is the machine's own."""
    if device.type != "cuda":
        return None
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    # What torch holds and does not use is not free for others.
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def kept_copies(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return copies of tensors of one device: there if they leave half of its spare memory, else on the CPU.

    Going back to a copy copies it, so it has the same bits wherever it was kept.

    Example:
        >>> import torch
        >>> one = torch.arange(3)
        >>> (copy,) = kept_copies([one])
        >>> one.zero_().tolist(), copy.tolist()
        ([0, 0, 0], [0, 1, 2])
    """
    device = tensors[0].device
    spare = spare_memory(device)
    if spare is None or 2 * sum(tensor.nbytes for tensor in tensors) <= spare:
        return [tensor.detach().clone() for tensor in tensors]
    pinned = device.type == "cuda"  # read back several times as fast
    return [tensor.detach().cpu().pin_memory() if pinned else tensor.detach().cpu() for tensor in tensors]


def to_device(array: NDArray[Any], device: torch.device) -> Tensor:
    """Return an array as a tensor on a device; the host does not wait until it has arrived there."""
    import torch

    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
