"""Compare adapters trained separately on neighbourhoods of `wikispeedia`, and composed, with one trained on all text.

    python benchmarks/modules.py --json docs/results/modules.json --joint docs/results/sequential.json

The neighbourhoods are graph communities or, as a control, random groups of the same topics. Each has an adapter of its
own, trained in parallel from the same initial weights. Then the exam is taken with every composition of the eight, with
each passage routed to the nearest neighbourhood, and with each passage read by the adapter of its own neighbourhood.
Joint training is read from the file that `benchmarks/sequential.py` wrote. Adapters and finished rows are kept, so the
script can be stopped and started again. With SmolLM2 on two cores a row takes about ten minutes; there are six.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from neighbourhood_tasks import (
    ALPHA,
    COMMUNITIES,
    RANK,
    Task,
    corpus,
    embeddings,
    graph_tasks,
    make_learner,
    mean_losses,
    random_tasks,
)

from kgrl.graph.topic_graph import IntArray
from kgrl.learners import LoraLearner
from kgrl.learners.adapters.composition import compose, methods
from kgrl.learners.adapters.folder import Adapter, read_adapter
from kgrl.learners.neighbourhoods.interference import (
    centroids,
    interference,
    nearest_centroid,
    routed_losses,
    using_adapter,
)
from kgrl.learners.neighbourhoods.training import NeighbourhoodTask, train_neighbourhood
from kgrl.report.interference import draw_interference
from kgrl.system.executors import executors
from kgrl.system.files import write_json

PARTITIONS = ("graph", "random")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, required=True, help="results so far are read from it and added to")
    parser.add_argument("--joint", type=Path, required=True, help="the file that benchmarks/sequential.py wrote")
    parser.add_argument("--adapters", type=Path, default=Path("runs/modules"), help="folder of the adapters")
    parser.add_argument("--picture", type=Path, help="draw the interference matrix of seed 0 to this file")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--tokens", type=int, default=3_000, help="tokens of each neighbourhood")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = json.loads(arguments.json.read_text()) if arguments.json.exists() else []
    done = {(row["partition"], row["seed"], row["tokens_each"]) for row in rows}
    # Wears every adapter in turn; its rank has room for the concatenation of all eight.
    measurer = make_learner(0, slots=COMMUNITIES)
    for seed in arguments.seeds:
        for partition in PARTITIONS:
            if (partition, seed, arguments.tokens) not in done:
                rows.append(one_row(measurer, partition, seed, arguments))
                write_json(arguments.json, rows)
                print(table(rows, json.loads(arguments.joint.read_text())), flush=True)
    print(table(rows, json.loads(arguments.joint.read_text())))


def one_row(measurer: LoraLearner, partition: str, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train the adapters of one partition, and take the exam with every composition and routing of them."""
    tokens = arguments.tokens
    tasks = graph_tasks(measurer, tokens) if partition == "graph" else random_tasks(measurer, tokens, seed)
    adapters = train(tasks, seed, tokens, arguments.adapters / f"{partition}-{seed}", arguments.workers)
    exams = {"untaught": exam(measurer, tasks, None)}
    for method in methods:
        exams[method] = exam(measurer, tasks, compose(adapters, method, seed=seed))
    for name, route in routes(tasks).items():
        passages = corpus().select(np.concatenate([task.exam.ids for task in tasks]))
        exams[name] = float(routed_losses(measurer, adapters, passages, route).mean())
    row = {"partition": partition, "seed": seed, "tokens_each": tokens, "exam_loss": exams}
    if partition == "graph" and seed == 0:
        measured = interference(measurer, adapters, [task.exam for task in tasks])
        row["interference"] = measured.losses.tolist()
        if arguments.picture:
            draw_interference(arguments.picture, measured, [titled(task) for task in tasks])
    return row


def train(tasks: list[Task], seed: int, tokens: int, folder: Path, workers: int) -> list[Adapter]:
    """Return the adapters of some neighbourhoods; those in the folder are not trained again."""
    options = {"rank": RANK, "alpha": ALPHA, "dtype": "float32"}
    work = [
        NeighbourhoodTask(task.number, tuple(task.train.ids.tolist()), tokens, seed, str(folder), options)
        for task in tasks
    ]
    for result in executors.make("process", workers=workers).map(train_neighbourhood, corpus(), work):
        print(result, flush=True)
    return [read_adapter(task.adapter) for task in work]


def exam(measurer: LoraLearner, tasks: list[Task], adapter: Adapter | None) -> float:
    """Mean exam loss over neighbourhoods with an adapter."""
    with using_adapter(measurer, adapter):
        return float(np.mean(mean_losses(measurer, [task.exam for task in tasks])))


def routes(tasks: list[Task]) -> dict[str, IntArray]:
    """Return the adapter of each exam passage, `[passages]`: of the nearest neighbourhood, and of its own."""
    partition = np.full(len(corpus().graph), -1, dtype=np.int32)
    for task in tasks:
        partition[task.topics] = task.number
    topics = np.concatenate([task.exam.topics for task in tasks])
    centres = centroids(embeddings(), partition)
    return {
        "routed to the nearest": nearest_centroid(embeddings()[topics], centres),
        "routed to its own": partition[topics],
    }


def titled(task: Task) -> str:
    """Return the name of a task: the title of its first topic."""
    return corpus().graph.titles[task.topics[0]]


def table(rows: list[dict[str, Any]], sequential: list[dict[str, Any]]) -> str:
    """Return a Markdown row for each composition and routing: mean exam loss and range over seeds, by partition."""
    tokens = rows[-1]["tokens_each"]
    wanted = {"method": "joint", "tokens_each": tokens, "model": "smollm2", "split": "exam"}
    joint = [np.mean(r["losses"][-1]) for r in sequential if wanted.items() <= r["setting"].items()]
    lines = ["| exam loss | " + " | ".join(PARTITIONS) + " |", "|---" * (1 + len(PARTITIONS)) + "|"]
    for name in rows[0]["exam_loss"]:
        cells = [_cell([r["exam_loss"][name] for r in rows if r["partition"] == p]) for p in PARTITIONS]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, f"| joint training | {_cell(joint)} | |"])


def _cell(losses: list[Any]) -> str:
    return f"{np.mean(losses):.3f} ({min(losses):.3f} to {max(losses):.3f})" if losses else ""


if __name__ == "__main__":
    main()
