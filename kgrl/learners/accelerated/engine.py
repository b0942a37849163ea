"""A model that Accelerate has prepared, and what all processes do with it together.

Every process has an engine and carries out the same messages in the same order. Texts are dealt out to the processes,
padded, and read in one forward each; losses are added up, so that each process has all of them. What comes out does not
depend on the number of processes but for the order in which numbers are added.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor, distribute_tensor

from kgrl.learners.accelerated.messages import Gather, Keep, Make, Measure, Message, PutBack, Row, Spread, Teach
from kgrl.learners.decoder.flat_weights import EPSILON, FIRST_DECAY, SECOND_DECAY

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers import PreTrainedModel

__all__ = ["MOMENTS", "Engine", "State", "load_with_adapter"]

MOMENTS = ("exp_avg", "exp_avg_sq")
"""AdamW's two averages, by torch's names."""
State = dict[str, Tensor]
"""Trained weights by name, and AdamW's averages as `exp_avg.NAME` and `exp_avg_sq.NAME`; float32, on the CPU."""

_NOTHING = -100  # the target of padding, which cross_entropy leaves out
_SHORTEST = [0, 0]
"""A text for a process that has none: it takes part in what all do, and its loss counts nothing."""
_CPU_TOKENS, _DEVICE_TOKENS = 512, 4096
"""Padded tokens that one process measures at once."""
_WRAPPERS = ("_checkpoint_wrapped_module.", "_orig_mod.")
"""Parts of parameters' names that wrappers put in."""


class Engine:
    """Teaches and measures a causal model on all processes.

    Args:
        accelerator: Accelerate's view of the processes.
        model: A causal model of transformers; those of its parameters that require a gradient are trained.

    Attributes:
        steps: Updates so far.
        shapes: The shape of each trained weight, by name.
    """

    def __init__(self, accelerator: Accelerator, model: PreTrainedModel) -> None:
        self._accelerator, self.steps = accelerator, 0
        self._processes, self._number = accelerator.num_processes, accelerator.process_index
        model.eval()  # type: ignore[no-untyped-call] # no dropout: texts are read once, and a run repeats exactly
        trained = [weight for weight in model.parameters() if weight.requires_grad]
        # The rates are those of the other learners; the learning rate is set for each update.
        betas = FIRST_DECAY, SECOND_DECAY
        optimizer = torch.optim.AdamW(trained, lr=1.0, betas=betas, eps=EPSILON, weight_decay=0.0)
        self._model, self._optimizer = accelerator.prepare(model, optimizer)
        plain: nn.Module = accelerator.unwrap_model(self._model)
        self._weights = {_plain_name(name): w for name, w in plain.named_parameters() if w.requires_grad}
        self.shapes = {name: tuple(weight.shape) for name, weight in self._weights.items()}
        for weight in self._weights.values():  # at once, so that every state has the same tensors
            averages = {name: torch.zeros_like(weight) for name in MOMENTS}
            self._optimizer.state[weight] = {"step": torch.zeros(()), **averages}
        self._kept: dict[int, tuple[int, list[Tensor]]] = {}
        if self._processes > 1:
            # Gradients are reduced in buckets that are arranged anew after the first backward pass. Done now, a run
            # that is resumed adds up in the same order as one that is not.
            for _ in range(2):
                self._differentiate([_SHORTEST] * self._processes)
                self._optimizer.zero_grad()

    @classmethod
    def of(cls, accelerator: Accelerator, made: Make) -> Self:
        """Load a model, and make it ready; all processes do so together.

        Raises:
            KgrlError: If this process cannot load it.
        """
        return cls(accelerator, load_with_adapter(made)[0])

    def close(self) -> None:
        """Let go of the model; nothing can be computed afterwards.

        A model on several processes holds their connections, too. Were it the last to do so, Python's lock would be
        held while the connections' threads are waited for, and these may be waiting for the lock.
        """
        del self._model, self._optimizer
        self._weights, self._kept = {}, {}
        self._accelerator.free_memory()  # it holds the model, too, and collects what refers to itself

    def carry_out(self, message: Message) -> None:
        """Do what a message says, together with the other processes; what comes of it is for process 0."""
        match message:
            case Measure(rows):
                self.measure(rows)
            case Teach(rows, rate):
                self.teach(rows, rate)
            case Keep(number, dropped):
                self.keep(number, dropped)
            case PutBack(number):
                self.put_back(number)
            case Gather():
                self.gather()
            case Spread(steps):
                self.spread(None, steps)
            case _:
                raise AssertionError(message)

    def measure(self, rows: Sequence[Row]) -> list[NDArray[np.float32]]:
        """Return the loss of each predicted token of texts, in nats, `[tokens of the text]` each."""
        found: list[NDArray[np.float32]] = [np.empty(0, dtype=np.float32)] * len(rows)
        for batch in self._batches(rows):
            with torch.no_grad():
                losses, _ = self._read([rows[i] for i in batch])
            for i, own in zip(batch, losses, strict=True):
                found[i] = own
        return found

    def teach(self, rows: Sequence[Row], rate: float) -> tuple[list[NDArray[np.float32]], float]:
        """Take one optimizer step on texts, unless a loss or the gradient is not finite.

        Args:
            rows: The texts.
            rate: The learning rate.

        Returns:
            The loss of each predicted token before the step, and the norm of the gradient.
        """
        losses, norm = self._differentiate(rows)
        if np.isfinite(norm) and all(np.isfinite(own).all() for own in losses):
            for group in self._optimizer.param_groups:
                group["lr"] = rate
            self._optimizer.step()
            self.steps += 1
        self._optimizer.zero_grad()
        return losses, norm

    def _differentiate(self, rows: Sequence[Row]) -> tuple[list[NDArray[np.float32]], float]:
        """Set the gradient of the mean loss per token, cut to norm 1; return losses and the norm before."""
        losses, own = self._read(rows)
        tokens = sum(len(row) - 1 for row in rows)
        # Gradients of processes are averaged: each counts as many times as there are processes.
        self._accelerator.backward(own * (self._processes / tokens))
        norm = self._accelerator.clip_grad_norm_(self._model.parameters(), 1.0)
        return losses, float(norm.full_tensor() if isinstance(norm, DTensor) else norm)

    def _read(self, rows: Sequence[Row]) -> tuple[list[NDArray[np.float32]], Tensor]:
        """Read texts, each in one process.

        Returns:
            The loss of each predicted token of each text, and the total of those that this process read.
        """
        longest_first = sorted(range(len(rows)), key=lambda i: -len(rows[i]))
        mine = longest_first[self._number :: self._processes]
        losses = self._token_losses([rows[i] for i in mine] or [_SHORTEST])  # [texts, longest]
        ends = np.cumsum([len(row) - 1 for row in rows])
        told = torch.zeros(int(ends[-1]), device=losses.device)
        for i, own in zip(mine, losses.detach(), strict=False):  # without the text of a process that has none
            size = len(rows[i]) - 1
            told[ends[i] - size : ends[i]] = own[:size]
        told = self._accelerator.reduce(told, "sum") if self._processes > 1 else told
        return np.split(told.cpu().numpy(), ends[:-1]), losses.sum() if mine else losses.sum() * 0

    def _token_losses(self, rows: Sequence[Row]) -> Tensor:
        """Losses of padded texts, 0 where there is nothing to predict, `[texts, longest]`."""
        longest = max(len(row) for row in rows) - 1
        inputs = np.zeros((len(rows), longest), dtype=np.int64)
        targets = np.full((len(rows), longest), _NOTHING)
        for i, row in enumerate(rows):
            inputs[i, : len(row) - 1], targets[i, : len(row) - 1] = row[:-1], row[1:]
        device = self._accelerator.device
        read, predicted = torch.from_numpy(inputs).to(device), torch.from_numpy(targets).to(device)
        # Padding stands behind a text, so no token of the text sees it.
        logits = self._model(input_ids=read, attention_mask=(predicted != _NOTHING).long(), use_cache=False).logits
        flat = nn.functional.cross_entropy(
            logits.float().flatten(0, 1), predicted.flatten(), reduction="none", ignore_index=_NOTHING
        )
        return flat.view(predicted.shape)

    def _batches(self, rows: Sequence[Row]) -> list[list[int]]:
        """Texts that all processes measure at once, by their places: those of like length together."""
        most = _CPU_TOKENS if self._accelerator.device.type == "cpu" else _DEVICE_TOKENS
        left, batches = sorted(range(len(rows)), key=lambda i: -len(rows[i])), list[list[int]]()
        while left:
            size = self._processes * max(1, most // (len(rows[left[0]]) - 1))
            batches.append(left[:size])
            left = left[size:]
        return batches

    @property
    def _tensors(self) -> dict[str, Tensor]:
        """All tensors that training changes, by name."""
        states = self._optimizer.state
        averages = {f"{kind}.{name}": states[w][kind] for kind in MOMENTS for name, w in self._weights.items()}
        return {**{name: weight.detach() for name, weight in self._weights.items()}, **averages}

    def keep(self, number: int, dropped: Sequence[int]) -> None:
        """Keep a copy of this process's part of weights and optimizer state under a number; drop other copies."""
        for old in dropped:
            del self._kept[old]
        self._kept[number] = self.steps, [tensor.clone() for tensor in self._tensors.values()]

    @torch.no_grad()
    def put_back(self, number: int) -> None:
        """Go back to a copy."""
        steps, kept = self._kept[number]
        self._reshard()
        for tensor, old in zip(self._tensors.values(), kept, strict=True):
            tensor.copy_(old)
        self._set_steps(steps)

    def gather(self) -> State:
        """Return all weights and averages, in process 0; others return nothing."""
        state = State()
        for name, tensor in self._tensors.items():
            whole = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
            if self._number == 0:
                state[name] = whole.float().cpu().contiguous()
        return state

    @torch.no_grad()
    def spread(self, state: Mapping[str, Tensor] | None, steps: int) -> None:
        """Take over weights and averages from process 0.

        Args:
            state: What `gather` returned; None in other processes.
            steps: Updates until then.
        """
        self._reshard()
        for name, tensor in self._tensors.items():
            whole = torch.empty(tensor.shape, dtype=tensor.dtype, device=self._accelerator.device)
            if state is not None:
                whole.copy_(state[name])
            if self._processes > 1:
                torch.distributed.broadcast(whole, src=0)
            if isinstance(tensor, DTensor):
                whole = distribute_tensor(whole, tensor.device_mesh, tensor.placements)
            tensor.copy_(whole)
        self._set_steps(steps)

    def _reshard(self) -> None:
        """Let FSDP drop the whole weights that a measurement left behind: it would read them, and not the new ones."""
        for module in self._model.modules():
            if isinstance(module, FSDPModule):
                module.reshard()

    def _set_steps(self, steps: int) -> None:
        self.steps = steps
        for weight in self._weights.values():
            self._optimizer.state[weight]["step"].fill_(float(steps))


def load_with_adapter(made: Make) -> tuple[PreTrainedModel, Any, Any]:
    """Load the model of a message, with its adapter.

    Returns:
        The model, its tokenizer, and PEFT's view of the model if it has an adapter, else None.

    Raises:
        KgrlError: If the model is not known or cannot be loaded, or the adapter's numbers are out of range.
    """
    from kgrl.learners.decoder.adding import add_adapter
    from kgrl.learners.decoder.models import load_pretrained

    base, tokenizer = load_pretrained(made.model, torch.float32)
    if made.rank is None:
        return base, tokenizer, None
    return base, tokenizer, add_adapter(base, made.seed, made.rank, made.alpha, "all-linear")


def _plain_name(name: str) -> str:
    for wrapper in _WRAPPERS:
        name = name.replace(wrapper, "")
    return name
