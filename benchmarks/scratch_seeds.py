"""Measure ways to train several seeds of the scratch learner: in turn, in processes, or as one batch by torch.func.

    OMP_WAIT_POLICY=passive python benchmarks/scratch_seeds.py --json docs/results/scratch_seeds.json

All seeds read the same passages in the same blocks, so their weights can be stacked and every operation done for all of
them at once (`torch.func.vmap`). Variants take turns for a few rounds, and the fastest round counts, since other
programs may disturb one. The time of making learners and starting processes is not counted. Finished rounds are kept in
the JSON file and not repeated. All of them take about twenty minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import LlamaConfig, LlamaForCausalLM

from kgrl.corpus import Corpus, Passages, Split
from kgrl.data import load_corpus
from kgrl.learners import ScratchLearner
from kgrl.learners.decoder.layers import PACKED
from kgrl.learners.decoder.llama import Shape
from kgrl.learners.decoder.packing import Block, pack
from kgrl.learners.decoder.scratch import PRESETS
from kgrl.system.executors import ProcessExecutor
from kgrl.system.files import write_json

SEEDS, TOKENS, WORKERS, CONTEXT = 4, 4096, 2, 512
VARIANTS = ("one after the other", "2 processes", "one batch, 1 thread", "one batch, 2 threads")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, required=True, help="results so far are read from it and added to")
    parser.add_argument("--presets", nargs="+", default=list(PRESETS), choices=list(PRESETS))
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = json.loads(arguments.json.read_text()) if arguments.json.exists() else []
    done = {(row["preset"], row["variant"], row["round"]) for row in rows}
    corpus = load_corpus("wikispeedia")
    for preset in arguments.presets:
        for turn, variant in [(turn, variant) for turn in range(arguments.rounds) for variant in VARIANTS]:
            if (preset, variant, turn) not in done:
                rows.append({"preset": preset, "variant": variant, "round": turn, **one_round(corpus, preset, variant)})
                write_json(arguments.json, rows)
        print(table(rows), flush=True)


def one_round(corpus: Corpus, preset: str, variant: str) -> dict[str, Any]:
    """Train all seeds once, from new weights."""
    torch.set_num_threads(2 if variant.endswith("2 threads") else 1)
    load = os.getloadavg()[0]
    if variant == "2 processes":
        seconds, losses = in_processes(corpus, preset)
    else:
        learners = [ScratchLearner(corpus, preset=preset, seed=seed) for seed in range(SEEDS)]
        began, began_cpu = time.perf_counter(), time.process_time()
        as_batch = variant.startswith("one batch")
        losses = learn_as_batch(learners, lesson(corpus)) if as_batch else learn_in_turn(learners, lesson(corpus))
        seconds = {"wall_seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - began_cpu}
    return {**seconds, "losses": losses, "seeds": SEEDS, "tokens_a_seed": TOKENS, "load_before": load}


def lesson(corpus: Corpus) -> Passages:
    """Return passages with more than enough tokens, in random order."""
    train = np.random.default_rng(0).permutation(np.flatnonzero(corpus.splits == Split.TRAIN))
    return corpus.select(train[: TOKENS // 10])


def learn_in_turn(learners: list[ScratchLearner], passages: Passages) -> list[float]:
    """Train one learner after the other; return their training losses."""
    return [learner.learn(passages, TOKENS).loss for learner in learners]


@dataclass(frozen=True)
class Task:
    """The training of one seed.

    Args:
        name: Its name in messages.
        preset: Size of the learner.
        seed: The seed.
    """

    name: str
    preset: str
    seed: int


def in_processes(corpus: Corpus, preset: str) -> tuple[dict[str, float], list[float]]:
    """Train in worker processes; the wall time is the training time of the busiest worker."""
    tasks = [Task(f"seed {seed}", preset, seed) for seed in range(SEEDS)]
    began = time.perf_counter()
    results = list(ProcessExecutor(WORKERS).map(one_seed, "wikispeedia", tasks))
    whole = time.perf_counter() - began
    of_worker: dict[int, float] = defaultdict(float)
    for result in results:
        of_worker[result["worker"]] += result["wall_seconds"]
    seconds = {
        "wall_seconds": max(of_worker.values()),
        "cpu_seconds": sum(result["cpu_seconds"] for result in results),
        "wall_seconds_with_start": whole,
    }
    return seconds, [result["loss"] for result in sorted(results, key=lambda result: result["seed"])]


def one_seed(corpus_name: str, task: Task) -> dict[str, Any]:
    """Train one seed in a worker."""
    corpus = load_corpus(corpus_name)
    learner, passages = ScratchLearner(corpus, preset=task.preset, seed=task.seed), lesson(corpus)
    began, began_cpu = time.perf_counter(), time.process_time()
    loss = learner.learn(passages, TOKENS).loss
    return {
        "seed": task.seed,
        "worker": os.getpid(),
        "loss": loss,
        "wall_seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - began_cpu,
    }


def learn_as_batch(learners: list[ScratchLearner], passages: Passages) -> list[float]:
    """Train all learners at once, each as `ScratchLearner.learn` does; return their training losses."""
    first = learners[0]
    sequences, left = [], TOKENS
    for sequence in first.tokens.sequences(passages):
        # A sequence begins with a token that is not predicted, so it counts one token less than it has.
        sequences.append(sequence[: left + 1])
        left -= len(sequences[-1]) - 1
        if left == 0:
            break
    blocks = pack(sequences, first.block_tokens, CONTEXT)
    weights = nn.Parameter(torch.stack([learner.weights.detach() for learner in learners]))  # [seeds, weights]
    optimizer = torch.optim.AdamW([weights], betas=(0.9, 0.99), weight_decay=0.0)
    gradients_and_losses = vmap(grad_and_value(block_loss), in_dims=(0, None, None))
    losses = []
    with sdpa_kernel(SDPBackend.MATH):  # the CPU's own attention has no batching rule: it would be called in a loop
        for step, block in enumerate(blocks, 1):
            gradient, loss = gradients_and_losses(weights.detach(), first, block)
            # Each seed's gradient is clipped to norm 1 by itself, as its own learner would.
            norm = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
            weights.grad = gradient.mul_((1 / (norm + 1e-6)).clamp(max=1.0))
            optimizer.param_groups[0]["lr"] = first.learning_rate * min(1.0, step / first.warmup_steps)
            optimizer.step()
            losses.append(loss)
    sizes = torch.tensor([float(len(block)) for block in blocks])
    return ((torch.stack(losses) * sizes[:, None]).sum(0) / sizes.sum()).tolist()


def block_loss(weights: Tensor, learner: ScratchLearner, block: Block) -> Tensor:
    """Return the mean loss of a block with other weights than the learner's own, `[weights]`."""
    state = {name: weights[part].view(learner.shapes[name]) for name, part in learner.slices.items()}
    inputs = {
        "input_ids": torch.from_numpy(block.inputs)[None],
        "position_ids": torch.from_numpy(block.positions)[None],
        "lengths": block.lengths,
        "use_cache": False,
    }
    logits = functional_call(plain_model(learner.model.shape), state, (), inputs).logits[0]
    return nn.functional.cross_entropy(logits, torch.from_numpy(block.targets))


@cache
def plain_model(shape: Shape) -> LlamaForCausalLM:
    """Return transformers' model of a shape, whose operations torch.func knows how to batch."""
    model = LlamaForCausalLM(LlamaConfig(**shape.config(first=0))).eval()
    model.set_attn_implementation(PACKED)
    return model


def table(rows: list[dict[str, Any]]) -> str:
    """Return a Markdown row for each preset: wall and processor seconds per seed of each variant's fastest round."""
    lines = [f"| model | {' | '.join(VARIANTS)} |", "|---" * (1 + len(VARIANTS)) + "|"]
    for preset in dict.fromkeys(row["preset"] for row in rows):
        cells = []
        for variant in VARIANTS:
            own = [row for row in rows if (row["preset"], row["variant"]) == (preset, variant)]
            wall, cpu = (min(row[f"{kind}_seconds"] for row in own) / SEEDS for kind in ("wall", "cpu"))
            cells.append(f"{wall:.2f} ({cpu:.2f})")
        lines.append(f"| {preset} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
