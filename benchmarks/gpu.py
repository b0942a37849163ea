"""Tokens a second of the LoRA learner on a device, beside a plain loop with torch.compile.

    python benchmarks/gpu.py --device cuda --json gpu.json

This script was never run on an accelerator: none was at hand. On a CPU it runs to its end (`--device cpu --tokens 2000
--no-compiled`).

The plain loop is what one would write without kgrl: the same model, rank and number format, passages in padded batches,
PEFT's own adapter, AdamW of torch, the model's own loss, `torch.compile` over the model, and no transfer to the host in
a step. It is compiled and warmed up before the clock starts; so is the learner. Both read the same passages once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import peft
import torch
import tyro

from kgrl.corpus import Split
from kgrl.data import load_corpus
from kgrl.learners import LoraLearner
from kgrl.learners.decoder.models import load_pretrained
from kgrl.system.devices import find_device
from kgrl.system.files import write_json
from kgrl.system.tensors import as_dtype, best_dtype

_WARM = 2_000
"""Tokens that both read before the clock starts."""


@dataclass(frozen=True)
class Gpu:
    """Time both.

    Args:
        device: Device to compute on.
        model: Model, as for `kgrl run`.
        corpus: Corpus whose train passages are read.
        tokens: Tokens to train on and to measure.
        block_tokens: Tokens of an update of the learner; the plain loop's batches have about as many.
        rank: Rank of the adapters.
        dtype: Number format of the model's own weights; the fastest of the device by default.
        compiled: Whether the plain loop's model is compiled.
        json: File for the figures.
    """

    device: str = "auto"
    model: str = "smollm2"
    corpus: str = "vital"
    tokens: int = 200_000
    block_tokens: int = 4_096
    rank: int = 16
    dtype: str | None = None
    compiled: bool = True
    json: Path | None = None


def main() -> None:
    """Time training and measuring of both, print the rates and write them."""
    arguments = tyro.cli(Gpu)
    device = find_device(arguments.device)
    dtype = best_dtype(device) if arguments.dtype is None else as_dtype(arguments.dtype)
    learner = LoraLearner(
        load_corpus(arguments.corpus),
        model=arguments.model,
        rank=arguments.rank,
        alpha=2 * arguments.rank,
        block_tokens=arguments.block_tokens,
        dtype=dtype,
        device=device,
    )
    passages = learner.corpus.select(np.flatnonzero(learner.corpus.splits == Split.TRAIN))
    counts = np.cumsum(learner.count_tokens(passages))
    some = learner.corpus.select(passages.ids[counts <= arguments.tokens])
    sequences = [learner.tokens[int(i)] for i in some.ids]
    plain = PlainLoop(arguments, dtype, device, sequences)
    learner.learn(some, _WARM)
    plain.train(_WARM)
    total = int(learner.count_tokens(some).sum())
    figures: dict[str, Any] = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "dtype": str(dtype).removeprefix("torch."),
        "torch": torch.__version__,
        "tokens": total,
        "kgrl_trained": rate(device, total, lambda: learner.learn(some, total)),
        "plain_trained": rate(device, total, lambda: plain.train(total)),
        "kgrl_measured": rate(device, total, lambda: learner.losses(some)),
    }
    if device.type == "cuda":
        figures["most_memory"] = torch.cuda.max_memory_allocated(device)
    for name, value in figures.items():
        print(f"{name}: {value:,.0f}" if isinstance(value, float) else f"{name}: {value}")
    if arguments.json is not None:
        write_json(arguments.json, figures)


def rate(device: torch.device, tokens: int, work: Callable[[], object]) -> float:
    """Return the tokens a second of some work, all of which the device has done."""
    synchronise(device)
    began = time.perf_counter()
    work()
    synchronise(device)
    return tokens / (time.perf_counter() - began)


def synchronise(device: torch.device) -> None:
    """Wait until a device has done what it was given."""
    if device.type != "cpu":
        with suppress(RuntimeError):  # an accelerator that torch cannot wait for
            torch.accelerator.synchronize(device)


class PlainLoop:
    """A training loop without kgrl, on padded batches.

    Args:
        arguments: The command's.
        dtype: Number format of the model's own weights.
        device: The device.
        sequences: Token ids of each passage.
    """

    def __init__(self, arguments: Gpu, dtype: torch.dtype, device: torch.device, sequences: list[Any]) -> None:
        base, _ = load_pretrained(arguments.model, dtype)
        config = peft.LoraConfig(
            task_type="CAUSAL_LM", r=arguments.rank, lora_alpha=2 * arguments.rank, target_modules="all-linear"
        )
        self.model: Any = peft.get_peft_model(base, config).to(device)
        trained = [weight for weight in self.model.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=5e-4, weight_decay=0.0, fused=True)
        self.compiled = torch.compile(self.model, dynamic=True) if arguments.compiled else self.model
        self.device, self.trained = device, trained
        self.batches = list(batches(sequences, arguments.block_tokens))

    def train(self, tokens: int) -> None:
        """Train on the first batches, until they have so many tokens."""
        for ids, labels in self.batches:
            if tokens <= 0:
                return
            tokens -= int((labels != -100).sum())
            given = ids.to(self.device, non_blocking=True), labels.to(self.device, non_blocking=True)
            self.compiled(input_ids=given[0], labels=given[1], use_cache=False).loss.backward()
            torch.nn.utils.clip_grad_norm_(self.trained, 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)


def batches(sequences: list[Any], tokens: int) -> Any:
    """Yield padded ids and labels, `[passages, tokens]`, of passages in order, of about so many tokens."""
    held: list[Any] = []
    for sequence in [*sequences, None]:
        if held and (sequence is None or sum(map(len, held)) + len(sequence) > tokens):
            width = max(map(len, held))
            ids = torch.zeros(len(held), width, dtype=torch.long)
            labels = torch.full((len(held), width), -100)
            for row, own in enumerate(held):
                ids[row, : len(own)] = labels[row, : len(own)] = torch.from_numpy(own.astype(np.int64))
            yield ids, labels
            held = []
        if sequence is not None:
            held.append(sequence)


if __name__ == "__main__":
    main()
