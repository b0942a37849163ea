"""Learn neighbourhoods of `wikispeedia` one after another with SmolLM2, and measure what each method keeps of them.

    python benchmarks/sequential.py --json docs/results/sequential.json
    python benchmarks/sequential.py --small runs/small-base --tokens 30000 --json docs/results/sequential_small.json

Eight communities are learned in an order drawn by the seed; after each, all are tested on exam passages. Every method
has the same passages, tokens, initial weights and learning rate. With `--small` the base model is a decoder of 2
million parameters, pretrained on the other topics, which allows more tokens in the same time. `--tune` tries settings
with seed 0 on probe passages; LEARNING_RATES and STRENGTHS were chosen so.

Finished runs are kept in the JSON file and not repeated, so the script can be stopped and started again. A run takes
about seven minutes of one core with SmolLM2, and two with the small model; there are 33.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from neighbourhood_tasks import (
    COMMUNITIES,
    Task,
    embeddings,
    graph_tasks,
    joint_lesson,
    make_learner,
    mean_losses,
    partition,
    small_base,
)

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
from kgrl.runs.metrics import continual_metrics
from kgrl.system.files import write_json

METHODS: dict[str, Callable[[float], list[Plugin]]] = {
    "plain": lambda _: [],
    "replay 10%": lambda _: [Replay(share=0.1)],
    "O-LoRA": lambda strength: [OrthogonalSlots(COMMUNITIES, strength)],
    "EWC": lambda strength: [ElasticWeights(strength)],
    "isolation": lambda _: [Isolation(embeddings(), partition())],
    "joint": lambda _: [],
    "top 1%": lambda _: [TopK(share=0.01)],
    "top 5%": lambda _: [TopK(share=0.05)],
    "top 20%": lambda _: [TopK(share=0.2)],
    "6 layers": lambda _: [FreezeLayers(keep=6)],
    "projection to rank 2": lambda _: [GradientProjection(rank=2)],
}
LEARNING_RATES = {"smollm2": 5e-4, "small": 4e-3}
STRENGTHS = {"EWC": 10.0, "O-LoRA": 0.5}
TRIED_RATES = (5e-4, 1e-3, 2e-3, 4e-3)
TRIED_STRENGTHS = {"EWC": (1.0, 1e1, 1e2, 1e3, 1e4, 1e5), "O-LoRA": (0.05, 0.5, 5.0)}


@dataclass(frozen=True)
class Setting:
    """The setting of one run.

    Args:
        method: One of `METHODS`.
        seed: Seeds the adapter and the order of neighbourhoods.
        tokens_each: Tokens of each neighbourhood.
        model: The base model.
        learning_rate: The learning rate.
        strength: Strength of the method's penalty; 0 where it has none.
        split: The passages that are measured: exam, or probe where settings are chosen.
    """

    method: str
    seed: int
    tokens_each: int
    model: str
    learning_rate: float
    strength: float
    split: str = "exam"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, required=True, help="results so far are read from it and added to")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--tokens", type=int, default=3_000, help="tokens of each neighbourhood")
    parser.add_argument("--small", type=Path, help="folder of a small base model; it is pretrained if it is missing")
    parser.add_argument("--tune", action="store_true", help="try settings on probe passages")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    model = small_base(arguments.small, arguments.tokens) if arguments.small else "smollm2"
    rows: list[dict[str, Any]] = json.loads(arguments.json.read_text()) if arguments.json.exists() else []
    done = [row["setting"] for row in rows]
    todo = [setting for setting in settings(arguments, model) if asdict(setting) not in done]
    with ProcessPoolExecutor(arguments.workers, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        for future in as_completed([pool.submit(one_run, setting) for setting in todo]):
            rows.append(future.result())
            write_json(arguments.json, rows)
            print(table(rows), flush=True)


def settings(arguments: argparse.Namespace, model: str) -> list[Setting]:
    """Return the settings of the runs that the arguments ask for."""
    rate = LEARNING_RATES["small" if arguments.small else "smollm2"]
    if arguments.tune:
        tried = [("joint", r, 0.0) for r in TRIED_RATES]
        tried += [(method, rate, s) for method, strengths in TRIED_STRENGTHS.items() for s in strengths]
        return [Setting(m, 0, arguments.tokens, model, r, s, "probe") for m, r, s in tried]
    return [
        Setting(method, seed, arguments.tokens, model, rate, STRENGTHS.get(method, 0.0))
        for seed in arguments.seeds
        for method in arguments.methods
    ]


def one_run(setting: Setting) -> dict[str, Any]:
    """Learn all neighbourhoods and return the run's row.

    Its losses are `[lessons + 1, neighbourhoods]`, with neighbourhoods in the order of learning.
    """
    learner = make_learner(
        setting.seed,
        model=setting.model,
        slots=COMMUNITIES if setting.method == "O-LoRA" else 1,
        learning_rate=setting.learning_rate,
        plugins=METHODS[setting.method](setting.strength),
    )
    ordered = graph_tasks(learner, setting.tokens_each)
    tasks = [ordered[i] for i in np.random.default_rng(setting.seed).permutation(len(ordered))]
    groups = [getattr(task, setting.split) for task in tasks]
    losses, changed, tokens, seconds = [mean_losses(learner, groups)], [], 0, 0.0
    for lesson, budget in _lessons(setting, tasks):
        began = time.perf_counter()
        learned = learner.learn(lesson, budget)
        seconds += time.perf_counter() - began
        tokens += learned.tokens
        changed.append(learned.changed)
        losses.append(mean_losses(learner, groups))
    return {
        "setting": asdict(setting),
        "order": [task.number for task in tasks],
        "losses": losses,
        "changed": changed,
        "tokens": tokens,
        "learn_seconds": seconds,
        "dtype": str(learner.model.dtype).removeprefix("torch."),
    }


def _lessons(setting: Setting, tasks: list[Task]) -> list[tuple[Passages, int]]:
    if setting.method == "joint":
        return [(joint_lesson(tasks, setting.seed), setting.tokens_each * len(tasks))]
    return [(task.train, setting.tokens_each) for task in tasks]


def table(rows: list[dict[str, Any]]) -> str:
    """Return a Markdown row for each method and setting: means over seeds, and the range of the last losses."""
    lines = [
        "| method | seeds | loss before | after (range) | ACC | BWT | FWT | forgetting | changed by a lesson |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    kinds: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: list(METHODS).index(row["setting"]["method"])):
        own = row["setting"]
        tried = f" ({own['learning_rate']:g}, strength {own['strength']:g})" if own["split"] == "probe" else ""
        kinds.setdefault(own["method"] + tried, []).append(row)
    return "\n".join([*lines, *(f"| {kind} | {len(own)} | {_cells(own)} |" for kind, own in kinds.items())])


def _cells(rows: list[dict[str, Any]]) -> str:
    before, after = (np.array([np.mean(row["losses"][at]) for row in rows]) for at in (0, -1))
    changed = f"{100 * np.mean([row['changed'] for row in rows]):.0f}%"
    span = f"{after.mean():.3f} ({after.min():.3f} to {after.max():.3f})"
    # Joint training has no order, so nothing of it is kept or forgotten.
    if len(rows[0]["losses"]) == 2:  # one lesson on everything
        return f"{before.mean():.3f} | {span} | {-after.mean():.3f} | | | | {changed}"
    results = [continual_metrics(row["losses"], np.arange(1, len(row["order"]) + 1)) for row in rows]
    acc, bwt, fwt = (np.mean([getattr(result, name) for result in results]) for name in ("acc", "bwt", "fwt"))
    forgetting = np.mean([result.forgetting.mean() for result in results])
    return f"{before.mean():.3f} | {span} | {acc:.3f} | {bwt:+.3f} | {fwt:+.3f} | {forgetting:.3f} | {changed}"


if __name__ == "__main__":
    main()
