"""Measure how fast the LoRA learner trains and measures: against a plain loop, and as a share of the machine's speed.

    OMP_NUM_THREADS=1 python benchmarks/learner_throughput.py --json docs/results/learner_throughput.json

On the same texts, with the same model, number format and tokens per update, repetitions of three things take turns: the
learner; `plain_loop.py`, which is transformers' Trainer with a PEFT adapter and padded batches of eight passages; and a
large matrix product. Padding does not count as tokens. The fastest repetition of each counts, since other programs only
ever slow one down. On a busy machine the figures that end in `cpu` are better: they are made from processor time
instead of the clock's.

The share counts the arithmetic that the matrix products of the model's weights need: 2 operations per weight and token
to measure; 4 to train where the weights are frozen (forward, and gradients through the layer), 6 where they are
trained. Attention, which is a few per cent at this length of passages, is not counted. It takes about three minutes.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from plain_loop import BATCH, PlainLoop
from rich.console import Console
from rich.table import Table

from kgrl.corpus import Corpus, Passages, Split
from kgrl.data import load_corpus
from kgrl.learners import LoraLearner
from kgrl.system.files import write_json

MODEL = "smollm2"
PEAK_SIZE = 2048


@dataclass(frozen=True)
class LearnerThroughput:
    """Time the LoRA learner and a plain loop on train passages of a corpus.

    Args:
        corpus: The corpus.
        passages: Number of passages that each repetition trains on and measures; a multiple of eight.
        repeats: Number of repetitions.
        json: Write the figures to this file.
    """

    corpus: str = "vital"
    passages: int = 24
    repeats: int = 4
    json: Path | None = None


def main(command: LearnerThroughput) -> None:
    corpus = load_corpus(command.corpus)
    began = time.perf_counter()
    learner = LoraLearner(corpus, model=MODEL)
    load_seconds = time.perf_counter() - began
    passages = some_passages(corpus, command.passages)
    with tempfile.TemporaryDirectory() as folder:
        plain = PlainLoop(MODEL, learner.model.dtype, learner.tokens.sequences(passages), Path(folder))
        result = measure(learner, plain, passages, command.repeats)
    result |= {
        "model": MODEL,
        "rank": learner.rank,
        "corpus": command.corpus,
        "passages": len(passages),
        "repeats": command.repeats,
        "dtype": str(learner.model.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "load_seconds": load_seconds,
        "peak_gib": peak_gib(),
    }
    show(result)
    if command.json:
        write_json(command.json, result)


def some_passages(corpus: Corpus, n: int) -> Passages:
    """Return train passages drawn at random, the same every time."""
    train = np.flatnonzero(corpus.splits == Split.TRAIN)
    return corpus.select(np.random.default_rng(0).choice(train, n, replace=False))


def measure(learner: LoraLearner, plain: PlainLoop, passages: Passages, repeats: int) -> dict[str, Any]:
    """Return ratios, shares of the peak, tokens per second without padding, and seconds."""
    tokens, default = int(learner.count_tokens(passages).sum()), learner.block_tokens
    block = -(-tokens * BATCH // len(passages))  # as many updates as the plain loop makes
    factors = torch.randn(2, PEAK_SIZE, PEAK_SIZE, dtype=learner.model.dtype)
    wall, cpu = fastest_in_turns(
        {
            "train": lambda: learn(learner, passages, block),
            "plain_train": plain.train,
            "eval": lambda: learner.losses(passages),
            "plain_eval": plain.evaluate,
            "train_default_blocks": lambda: learn(learner, passages, default),
            "peak": lambda: factors[0] @ factors[1],
        },
        repeats,
    )
    return {
        **ratios(wall),
        **peak_shares(learner, tokens, wall),
        **{f"{name}_cpu": value for name, value in (ratios(cpu) | peak_shares(learner, tokens, cpu)).items()},
        **{f"{name}_tokens_per_second": tokens / s for name, s in wall.items() if name != "peak"},
        **{f"{name}_seconds": s for name, s in wall.items()},
        **{f"{name}_cpu_seconds": s for name, s in cpu.items()},
        "tokens": tokens,
        "tokens_per_step": block,
        "default_tokens_per_step": default,
        "padding_share": plain.padding_share(),
    }


def ratios(seconds: Mapping[str, float]) -> dict[str, float]:
    """Return the learner's tokens per second divided by the plain loop's."""
    return {f"{name}_ratio": seconds[f"plain_{name}"] / seconds[name] for name in ("train", "eval")}


def peak_shares(learner: LoraLearner, tokens: int, seconds: Mapping[str, float]) -> dict[str, float]:
    """Return the speed of the learner's matrix products as a share of the peak, and the peak."""
    weights, trained = matmul_weights(learner)
    peak = 2 * PEAK_SIZE**3 / seconds["peak"]
    return {
        "matmul_share": tokens * (4 * weights + 2 * trained) / seconds["train"] / peak,
        "eval_matmul_share": tokens * 2 * weights / seconds["eval"] / peak,
        "peak_gflops": peak / 1e9,
    }


def learn(learner: LoraLearner, passages: Passages, block_tokens: int) -> None:
    """Train on all passages once, in blocks of a given size."""
    learner.block_tokens = block_tokens
    learner.learn(passages, int(learner.count_tokens(passages).sum()))


def fastest_in_turns(
    actions: Mapping[str, Callable[[], object]], repeats: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Return the seconds of each action's fastest repetition, by the clock and of processor time per thread.

    Repetitions take turns, after a first one of each that does not count.
    """
    wall, cpu = dict.fromkeys(actions, float("inf")), dict.fromkeys(actions, float("inf"))
    for repetition in range(1 + repeats):
        for name, action in actions.items():
            began, cpu_began = time.perf_counter(), time.process_time()
            action()
            if repetition > 0:  # the first fills caches and starts threads
                wall[name] = min(wall[name], time.perf_counter() - began)
                cpu[name] = min(cpu[name], (time.process_time() - cpu_began) / torch.get_num_threads())
    return wall, cpu


def matmul_weights(learner: LoraLearner) -> tuple[int, int]:
    """Return the number of weights that each token is multiplied by, and the number of those that are trained."""
    # An embedding is looked up, not multiplied by, unless the output shares it.
    matrices = [w for w in learner.model.parameters() if w.ndim == 2]
    head, embedding = learner.model.get_output_embeddings().weight, learner.model.get_input_embeddings().weight
    looked_up = 0 if head is embedding else embedding.numel()
    return sum(w.numel() for w in matrices) - looked_up, sum(w.numel() for w in matrices if w.requires_grad)


def peak_gib() -> float:
    """Return the peak memory of the process, in GiB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def show(result: dict[str, Any]) -> None:
    """Print every figure on a line of its own."""
    table = Table("figure", "value")
    for name, value in result.items():
        table.add_row(name.replace("_", " "), f"{value:.3g}" if isinstance(value, float) else str(value))
    Console().print(table)


if __name__ == "__main__":
    main(tyro.cli(LearnerThroughput, description=__doc__))
