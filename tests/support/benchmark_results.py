"""A benchmark's results folder, made up: as the runner writes it, without a learner."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kgrl.runs.metrics import aulc

BUDGET = 2000

Place = tuple[str, str, str]


def write_benchmark(
    out: Path,
    places: Sequence[Place] = (("noisy", "tiny", "scratch"),),
    agents: Iterable[str] = ("random", "closure", "oracle"),
    seeds: int = 3,
    expansions: int = 5,
    titles: Sequence[str] = ("Logic", "Set", "Number", "Mars"),
) -> None:
    """Write a finished cell for each place, agent and seed; agents further back learn more slowly, but the oracle."""
    for place, (rank, agent), seed in product(places, list(enumerate(agents)), range(seeds)):
        write_cell(
            out, place, agent, seed, rank=-2 if agent == "oracle" else rank, expansions=expansions, titles=titles
        )


def write_cell(
    out: Path,
    place: Place,
    agent: str,
    seed: int,
    *,
    rank: float = 0,
    expansions: int = 5,
    titles: Sequence[str] = ("Logic",),
    **changed: Any,
) -> None:
    """Write one cell.

    Args:
        out: The benchmark's folder.
        place: Task, corpus and learner.
        agent: The agent.
        seed: The seed.
        rank: How slowly it learns.
        expansions: Rows of its curriculum.
        titles: What its topics are called, over and over.
        changed: What differs in the cell's row.
    """
    rng = np.random.default_rng([seed, *"/".join((*place, agent)).encode()])
    steps = np.linspace(0, BUDGET, 21).astype(int)
    losses = 5 + 3 * np.exp(-steps / (900 + 60 * rank)) + 0.02 * seed + rng.normal(0, 0.004)
    curve = [[int(tokens), float(loss)] for tokens, loss in zip(steps, losses, strict=True)]
    row = {
        **dict(zip(("task", "corpus", "learner"), place, strict=True)),
        "agent": agent,
        "seed": seed,
        "status": "finished",
        "curve": curve,
        "aulc": aulc([(tokens, loss) for tokens, loss in curve], BUDGET),
        "budget": BUDGET,
        "tokens": BUDGET,
        "probe_tokens": 640,
        "flops": 1.5e9,
        "expansions": expansions,
        "noise_share": 0.1 + 0.02 * rank if place[0] == "noisy" else None,
        "acc": -5.2,
        "bwt": -0.01 * (rank + 1),
        "fwt": 0.2,
        "forgetting": 0.03 * (rank + 3) + 0.001 * seed,
        "seconds": {"research": 0.2, "learn": 2.0, "probe": 0.6, "exam": 1.0, "all": 4.0},
    }
    stem = out / "/".join(quote(part, safe="") for part in (*place, agent, str(seed)))
    stem.parent.mkdir(parents=True, exist_ok=True)
    picks = rng.integers(len(titles), size=expansions)
    table = pa.table(
        {
            "index": list(range(expansions)),
            "topic": picks,
            "title": [titles[pick] for pick in picks],
            "tokens": [BUDGET // expansions] * expansions,
            "tokens_total": [BUDGET // expansions * (at + 1) for at in range(expansions)],
            "train_loss": [5.5] * expansions,
            "reward": [None, *[0.125] * (expansions - 1)],
        }
    )
    pq.write_table(table, f"{stem}.parquet", compression="zstd")
    Path(f"{stem}.json").write_text(json.dumps({**row, **changed}), encoding="utf-8")


def write_failed(out: Path, place: Place, agent: str, seed: int, error: str) -> None:
    """Write a cell that failed."""
    path = out.joinpath(*place, quote(agent, safe=""), f"{seed}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    names = dict(zip(("task", "corpus", "learner"), place, strict=True))
    row = {**names, "agent": agent, "seed": seed, "status": "failed", "error": error}
    path.write_text(json.dumps(row), encoding="utf-8")
