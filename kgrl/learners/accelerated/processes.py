"""The processes that `accelerate launch` starts: the first one carries out the run, the others compute for it.

Process 0 alone has corpus, agent, rewards and the run's folder, so nothing is decided twice. What all processes compute
together it tells the others, as a message of bytes (`messages`). What is launched is known from the variables that
launchers set, without torch.
"""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from kgrl.errors import KgrlError, SettingError
from kgrl.learners.accelerated.messages import End, Make, Message, as_bytes, as_message

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

    from kgrl.learners.accelerated.engine import Engine

__all__ = ["Team", "launched_processes", "leading", "refuse_launched", "team"]

T = TypeVar("T")

_PATIENCE = timedelta(days=1)
"""Longest wait for another process: process 0 may embed a large corpus meanwhile. The launcher sees to dead ones."""
_LAUNCHED = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
"""The variables that launchers set for each process."""
_PRECISIONS = ("no", "bf16")
_DEAD = ("closed by peer", "reset by peer", "Broken pipe", "Connection refused")
"""Words of the errors by which a process notices that another one is gone."""


def launched_processes() -> tuple[int, int]:
    """Return this process's number, and how many a launcher started; 0 and 1 without a launcher.

    Example:
        >>> launched_processes()
        (0, 1)
    """
    if not all(name in os.environ for name in _LAUNCHED):
        return 0, 1
    return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])


def refuse_launched(kind: str) -> None:
    """Refuse a learner that computes in one process if there are several.

    Raises:
        SettingError: If there are.
    """
    processes = launched_processes()[1]
    if processes > 1:
        raise SettingError(
            f"the learner {kind} computes in one process, and {processes} were launched; use --learner accelerate, or "
            "start it without the launcher"
        )


@contextmanager
def leading() -> Iterator[None]:
    """Go on as process 0; other processes of a launch compute for it instead and end when it is done.

    A script that makes an `AccelerateLearner` does everything inside of this block.

    Raises:
        SystemExit: In the other processes, at their end; the block is not carried out.
        KgrlError: If a process of the launch is gone.

    Example:
        >>> with leading():
        ...     pass  # without a launcher there is process 0 alone
    """
    if launched_processes()[0] > 0:
        with _told_of_dead():
            _follow()
        raise SystemExit(0)
    try:
        yield
    except KgrlError:
        _dismiss()
        raise
    _dismiss()


def _dismiss() -> None:
    """Let the other processes end, if there are any and none waits for anything else."""
    if launched_processes()[1] > 1 and team.cache_info().currsize and not team().working:
        with _told_of_dead():
            team().say(End())
            team().part()


def _follow() -> None:
    """Do what process 0 says until the end."""
    from kgrl.learners.accelerated.engine import Engine

    try:
        while not isinstance(message := team().hear(), End):
            if isinstance(message, Make):
                team().turn_to(functools.partial(Engine.of, team().accelerator, message))
            elif (engine := team().latest) is not None:
                engine.carry_out(message)
        team().part()
    except KeyboardInterrupt:
        raise SystemExit(130) from None  # process 0 tells how to go on


@contextmanager
def _told_of_dead() -> Iterator[None]:
    """Name the loss of another process, which libraries report as a failed connection."""
    try:
        yield
    except RuntimeError as error:
        if not any(word in str(error) for word in _DEAD):
            raise
        raise KgrlError(
            "another process of this run has ended, so this one ends, too; continue the run with --resume, with as "
            "many processes or with other ones"
        ) from error


class Team:
    """All processes of a launch, or this one alone.

    Args:
        accelerator: Accelerate's view of them.

    Attributes:
        processes: Number of the processes.
        working: True while something is done together that was not finished.
        latest: What the learner that was made last computes with, where there are several processes.
    """

    latest: Engine | None

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator, self.working = accelerator, False
        self.processes = int(accelerator.num_processes)
        self.latest = None

    def turn_to(self, make: Callable[[], Engine]) -> Engine:
        """Make what is computed with from now on: processes have one model at a time."""
        self._close()
        self.latest = make()
        return self.latest

    def _close(self) -> None:
        if self.latest is not None:
            self.latest.close()
            self.latest = None

    def do(self, message: Message, work: Callable[[], T]) -> T:
        """Tell the others to do something, and do it here.

        Raises:
            KgrlError: If one of them is gone.
        """
        self.working = True
        with _told_of_dead():
            self.say(message)
            done = work()
        self.working = False
        return done

    def say(self, message: Message) -> None:
        """Send a message from process 0."""
        import torch

        if self.processes > 1:
            data = torch.frombuffer(bytearray(as_bytes(message)), dtype=torch.uint8)
            self._broadcast(torch.tensor([len(data)]))
            self._broadcast(data)

    def hear(self) -> Message:
        """Wait for the next message of process 0."""
        import torch

        size = self._broadcast(torch.zeros(1, dtype=torch.int64))
        data = self._broadcast(torch.zeros(int(size), dtype=torch.uint8))
        return as_message(data.cpu().numpy().tobytes())

    def part(self) -> None:
        """Close the connections, once all processes are here."""
        import torch.distributed

        torch.distributed.barrier()
        self._close()  # before the connections
        torch.distributed.destroy_process_group()

    def _broadcast(self, tensor: torch.Tensor) -> torch.Tensor:
        import torch.distributed

        tensor = tensor.to(self.accelerator.device)
        torch.distributed.broadcast(tensor, src=0)
        return tensor


@functools.cache
def team() -> Team:
    """Return the processes of this launch, once they are connected.

    Raises:
        SettingError: If Accelerate is configured for devices that this machine does not have, or for something that
            the learner does not do.
    """
    accelerator = _accelerator()
    _check(accelerator)
    return Team(accelerator)


def _accelerator() -> Accelerator:
    from accelerate import Accelerator
    from accelerate.utils import InitProcessGroupKwargs

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*OMP_NUM_THREADS.*")
            return Accelerator(kwargs_handlers=[InitProcessGroupKwargs(timeout=_PATIENCE)])
    except (ImportError, RuntimeError, ValueError) as error:
        raise SettingError(f"Accelerate cannot compute as it is configured: {error}; {_way_out()}") from error


def _check(accelerator: Accelerator) -> None:
    """Refuse what Accelerate would ignore, and what the learner does not do."""
    from accelerate.utils import DistributedType

    kind, processes = accelerator.distributed_type, launched_processes()[1]
    if accelerator.num_processes != processes:
        raise SettingError(f"{processes} processes were launched for devices that are not there; {_way_out()}")
    if os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true":
        if kind != DistributedType.FSDP:
            raise SettingError(f"FSDP is configured, and Accelerate has it on accelerators only; {_way_out()}")
        if not accelerator.is_fsdp2:
            raise SettingError("FSDP of version 1 is configured; set fsdp_version: 2 (accelerate config)")
    refused = (DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM, DistributedType.XLA)
    if kind in refused:
        raise SettingError(f"the learner accelerate does not work with {kind.value}; choose data parallel or FSDP")
    if accelerator.mixed_precision not in _PRECISIONS:
        raise SettingError(f"mixed precision {accelerator.mixed_precision} is configured; choose one of {_PRECISIONS}")
    if accelerator.gradient_accumulation_steps != 1:
        raise SettingError("gradient accumulation is configured; set it to 1: block_tokens are the tokens of an update")


def _way_out() -> str:
    from kgrl.system.devices import known_devices

    return (
        f"torch finds {', '.join(known_devices())} here: choose with `accelerate config`, or set "
        "ACCELERATE_USE_CPU=true to compute on processors"
    )
