"""Learns neighbourhoods of `wikispeedia` one after the other with SmolLM2, and measures what each method keeps of them.

Eight communities are learned in an order drawn by the seed; after each, all are tested on exam passages. Every method
has the same passages, tokens, initial weights and learning rate.

    python benchmarks/sequential.py --json docs/results/sequential.json

Finished runs are kept in the JSON file and not repeated, so the script can be stopped and started again.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from neighbourhood_tasks import (
    COMMUNITIES,
    Task,
    embeddings,
    exam_losses,
    graph_tasks,
    joint_lesson,
    make_learner,
    partition,
)

from kgrl.cache import write_json
from kgrl.corpus import Passages
from kgrl.learners.plugins import (
    ElasticWeights,
    FreezeLayers,
    GradientProjection,
    Isolation,
    OrthogonalSlots,
    Plugin,
    Replay,
    TopK,
)
from kgrl.metrics import continual_metrics

METHODS: dict[str, Callable[[], list[Plugin]]] = {
    "plain": list,
    "replay 10%": lambda: [Replay(share=0.1)],
    "O-LoRA": lambda: [OrthogonalSlots(slots=COMMUNITIES)],
    "EWC": lambda: [ElasticWeights(strength=100.0)],
    "isolation": lambda: [Isolation(embeddings(), partition())],
    "joint": list,
    "top 1%": lambda: [TopK(share=0.01)],
    "top 5%": lambda: [TopK(share=0.05)],
    "top 20%": lambda: [TopK(share=0.2)],
    "6 layers": lambda: [FreezeLayers(keep=6)],
    "projection to rank 2": lambda: [GradientProjection(rank=2)],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, required=True, help="results so far are read from it and added to")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--tokens", type=int, default=3_000, help="tokens of each neighbourhood")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = json.loads(arguments.json.read_text()) if arguments.json.exists() else []
    done = {(row["method"], row["seed"], row["tokens_each"]) for row in rows}
    todo = [(m, s, arguments.tokens) for s in arguments.seeds for m in arguments.methods]
    with ProcessPoolExecutor(arguments.workers, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        for future in as_completed([pool.submit(one_run, *run) for run in todo if run not in done]):
            rows.append(future.result())
            write_json(arguments.json, rows)
            print(table(rows), flush=True)


def one_run(method: str, seed: int, tokens: int) -> dict[str, Any]:
    """Learn all neighbourhoods; losses are `[lessons + 1, neighbourhoods]`, neighbourhoods in the order of learning."""
    learner = make_learner(seed, slots=COMMUNITIES if method == "O-LoRA" else 1, plugins=METHODS[method]())
    ordered = graph_tasks(learner, tokens)
    tasks = [ordered[i] for i in np.random.default_rng(seed).permutation(len(ordered))]
    losses, changed, trained, seconds = [exam_losses(learner, tasks)], [], 0, 0.0
    for lesson, budget in _lessons(method, tasks, tokens, seed):
        began = time.perf_counter()
        learned = learner.learn(lesson, budget)
        seconds += time.perf_counter() - began
        trained += learned.tokens
        changed.append(learned.changed)
        losses.append(exam_losses(learner, tasks))
    return {
        "method": method,
        "seed": seed,
        "tokens_each": tokens,
        "order": [task.number for task in tasks],
        "losses": losses,
        "changed": changed,
        "tokens": trained,
        "learn_seconds": seconds,
        "dtype": str(learner.model.dtype).removeprefix("torch."),
    }


def _lessons(method: str, tasks: list[Task], tokens: int, seed: int) -> list[tuple[Passages, int]]:
    if method == "joint":
        return [(joint_lesson(tasks, seed), tokens * len(tasks))]
    return [(task.train, tokens) for task in tasks]


def table(rows: list[dict[str, Any]]) -> str:
    """One Markdown row for each method: means over seeds and, for losses, the range."""
    lines = [
        "| method | seeds | exam loss before | after (range) | ACC | BWT | FWT | forgetting | changed by a lesson |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for method in METHODS:
        own = [row for row in rows if row["method"] == method]
        if own:
            lines.append(f"| {method} | {len(own)} | {_cells(own)} |")
    return "\n".join(lines)


def _cells(rows: list[dict[str, Any]]) -> str:
    before, after = (np.array([np.mean(row["losses"][at]) for row in rows]) for at in (0, -1))
    changed = f"{100 * np.mean([row['changed'] for row in rows]):.0f}%"
    span = f"{after.mean():.3f} ({after.min():.3f} to {after.max():.3f})"
    if len(rows[0]["losses"]) == 2:  # one lesson on everything
        return f"{before.mean():.3f} | {span} | {-after.mean():.3f} | | | | {changed}"
    results = [continual_metrics(row["losses"], np.arange(1, len(row["order"]) + 1)) for row in rows]
    acc, bwt, fwt = (np.mean([getattr(result, name) for result in results]) for name in ("acc", "bwt", "fwt"))
    forgetting = np.mean([result.forgetting.mean() for result in results])
    return f"{before.mean():.3f} | {span} | {acc:.3f} | {bwt:+.3f} | {fwt:+.3f} | {forgetting:.3f} | {changed}"


if __name__ == "__main__":
    main()
