"""Measure updates of scratch learners: AdamW fused and not, and sizes of an update.

    OMP_NUM_THREADS=1 python benchmarks/scratch_updates.py --json docs/results/scratch_updates.json

All variants learn the same tokens in one process and take turns; the fastest round of each counts, in processor time,
since other programs only ever slow one down. The loss of the first lesson is recorded: it is the same, fused or not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro

from kgrl.corpus import Corpus, Passages
from kgrl.data import load_corpus
from kgrl.learners import ScratchLearner
from kgrl.system.files import write_json

BLOCKS = (128, 256, 512, 1024)
DEFAULT_BLOCK = 256


@dataclass(frozen=True)
class ScratchUpdates:
    """Time lessons of scratch learners.

    Args:
        presets: Sizes of the learner.
        tokens: Tokens of a lesson.
        rounds: Lessons of each variant.
        json: Write the figures to this file.
    """

    presets: tuple[str, ...] = ("0.7m", "2m", "5m")
    tokens: int = 4_000
    rounds: int = 3
    json: Path | None = None


class Unfused(ScratchLearner):
    """The learner with torch's AdamW as its class computes it by default, an operation after the other."""

    def step(self, rate: float) -> None:
        """Take one step of AdamW along the gradient with this learning rate."""
        if not hasattr(self, "optimizer"):
            self.optimizer = torch.optim.AdamW([self.weights], betas=(0.9, 0.99), weight_decay=0.0)
        self.optimizer.param_groups[0]["lr"] = rate
        self.optimizer.step()
        self.steps += 1


def main(command: ScratchUpdates) -> None:
    corpus = load_corpus("invented:300")
    passages = corpus.select(np.arange(len(corpus)))
    rows = [row for preset in command.presets for row in measured(corpus, passages, preset, command)]
    if command.json is not None:
        write_json(command.json, {"tokens": command.tokens, "threads": torch.get_num_threads(), "rows": rows})


def measured(corpus: Corpus, passages: Passages, preset: str, command: ScratchUpdates) -> list[dict[str, Any]]:
    """Return the tokens a processor second of each variant of a size."""

    def learner(kind: type[ScratchLearner] = ScratchLearner, block: int = DEFAULT_BLOCK) -> ScratchLearner:
        return kind(corpus, preset=preset, block_tokens=block)

    variants: dict[str, Callable[[], ScratchLearner]] = {"unfused": lambda: learner(Unfused)}
    for block in BLOCKS:
        variants[f"fused, {block} tokens"] = lambda block=block: learner(block=block)
    made = {name: make() for name, make in variants.items()}
    seconds, losses = dict.fromkeys(made, float("inf")), {}
    for _ in range(1 + command.rounds):  # the first counts too: only the fastest is kept
        for name, one in made.items():
            began = time.process_time()
            losses.setdefault(name, one.learn(passages, command.tokens).loss)
            seconds[name] = min(seconds[name], time.process_time() - began)
    rows = [
        {"preset": preset, "variant": name, "tokens_per_second": command.tokens / taken, "first_loss": losses[name]}
        for name, taken in seconds.items()
    ]
    for row in rows:
        print(row, flush=True)
    return rows


if __name__ == "__main__":
    main(tyro.cli(ScratchUpdates, description=__doc__))
