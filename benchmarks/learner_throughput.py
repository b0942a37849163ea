"""How fast a learner trains and measures, and what share of this machine's matrix-product speed that is.

The share counts the arithmetic that the matrix products of the model's weights need: 2 operations a weight and token to
measure; 4 to train where the weights are frozen (forward, and gradients through the layer), 6 where they are trained.
Attention, which is a few per cent at this length of passages, is not counted.

    python benchmarks/learner_throughput.py --learner lora --json docs/results/throughput_lora.json
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table

from kgrl.cache import write_json
from kgrl.corpus import Corpus, Passages, Split
from kgrl.data import load_corpus
from kgrl.learners import make_learner
from kgrl.learners.decoder import DecoderLearner


@dataclass(frozen=True)
class LearnerThroughput:
    """Time a learner on train passages of a corpus.

    Args:
        learner: A learner with a transformer inside: lora or scratch.
        corpus: The corpus.
        tokens: Tokens trained on, and again measured, in each repetition.
        repeats: Repetitions; the fastest counts, since other programs only ever slow one down.
        json: Write the figures to this file.
    """

    learner: str = "lora"
    corpus: str = "vital"
    tokens: int = 2048
    repeats: int = 3
    json: Path | None = None


def main(command: LearnerThroughput) -> None:
    corpus = load_corpus(command.corpus)
    began = time.perf_counter()
    learner = make_learner(command.learner, corpus)
    load_seconds = time.perf_counter() - began
    assert isinstance(learner, DecoderLearner)
    passages = first_passages(corpus, learner, command.tokens)
    result = measure(learner, passages, command.repeats) | {
        "learner": command.learner,
        "corpus": command.corpus,
        "dtype": str(learner.model.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "load_seconds": load_seconds,
        "peak_gib": peak_gib(),
    }
    show(result)
    if command.json:
        write_json(command.json, result)


def first_passages(corpus: Corpus, learner: DecoderLearner, tokens: int) -> Passages:
    """The first train passages that have `tokens` tokens together."""
    train = corpus.select(np.flatnonzero(corpus.splits == Split.TRAIN))
    ends = np.cumsum(learner.count_tokens(train))
    return corpus.select(train.ids[: int(np.searchsorted(ends, tokens)) + 1])


def measure(learner: DecoderLearner, passages: Passages, repeats: int) -> dict[str, Any]:
    """Tokens a second, shares of the peak, and milliseconds of the bookkeeping."""
    tokens = int(learner.count_tokens(passages).sum())
    peak = matmul_flops(learner.model.dtype)
    weights, trained = matmul_weights(learner)
    untaught = learner.snapshot()
    train = tokens / fastest(lambda: learner.learn(passages, tokens), repeats)
    evaluate = tokens / fastest(lambda: learner.losses(passages), repeats)
    with tempfile.TemporaryDirectory() as folder:
        save = fastest(lambda: learner.save(Path(folder)), repeats)
    return {
        "train_tokens_per_second": train,
        "eval_tokens_per_second": evaluate,
        "train_share_of_peak": train * (4 * weights + 2 * trained) / peak,
        "eval_share_of_peak": evaluate * 2 * weights / peak,
        "peak_gflops": peak / 1e9,
        "snapshot_ms": 1e3 * fastest(learner.snapshot, repeats),
        "restore_ms": 1e3 * fastest(lambda: learner.restore(untaught), repeats),
        "save_ms": 1e3 * save,
    }


def matmul_weights(learner: DecoderLearner) -> tuple[int, int]:
    """Number of weights that each token is multiplied by, and how many of them are trained."""
    # An embedding is looked up, not multiplied by, unless the output shares it.
    matrices = [w for w in learner.model.parameters() if w.ndim == 2]
    head, embedding = learner.model.get_output_embeddings().weight, learner.model.get_input_embeddings().weight
    looked_up = 0 if head is embedding else embedding.numel()
    return sum(w.numel() for w in matrices) - looked_up, sum(w.numel() for w in matrices if w.requires_grad)


def matmul_flops(dtype: torch.dtype) -> float:
    """Operations a second of a large matrix product, the fastest of several."""
    a, b = torch.randn(2048, 2048, dtype=dtype), torch.randn(2048, 2048, dtype=dtype)
    return 2 * 2048**3 / fastest(lambda: a @ b, 20)


def fastest(action: Callable[[], object], repeats: int) -> float:
    """Seconds of the fastest of some repetitions."""
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def peak_gib() -> float:
    """Most memory the process has held."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def show(result: dict[str, Any]) -> None:
    table = Table("figure", "value")
    for name, value in result.items():
        table.add_row(name.replace("_", " "), f"{value:.3g}" if isinstance(value, float) else str(value))
    Console().print(table)


if __name__ == "__main__":
    main(tyro.cli(LearnerThroughput, description=__doc__))
