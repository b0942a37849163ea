"""Sweep the LoRA learner's learning rate and block size with random curricula towards Mathematics.

    python benchmarks/learning_rate.py --json docs/results/learning_rate.json

The agent is `random`, so that the setting favours no curiosity agent. Finished runs are kept in the JSON file and not
repeated. A run takes about two minutes of one core; there are eight.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from kgrl.agents import make_agent
from kgrl.curriculum import Curriculum, CurriculumConfig
from kgrl.data import load_corpus
from kgrl.exam import Exam
from kgrl.runs.run import Run
from kgrl.system.files import write_json

SETTINGS = ((3e-4, 512), (5e-4, 512), (1e-3, 512), (2e-3, 512), (5e-4, 256), (1e-3, 256), (5e-4, 128), (1e-3, 128))
SEEDS = (0,)
BUDGET = 6_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, required=True, help="results so far are read from it and added to")
    path = parser.parse_args().json
    rows: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
    done = {(row["learning_rate"], row["block_tokens"], row["seed"]) for row in rows}
    for seed in SEEDS:
        for rate, block in SETTINGS:
            if (rate, block, seed) not in done:
                rows.append(one_run(rate, block, seed))
                write_json(path, rows)
    print(table(rows))


def one_run(rate: float, block: int, seed: int) -> dict[str, Any]:
    """Carry out one curriculum and return its exam losses."""
    config = CurriculumConfig(goal="Mathematics", budget_tokens=BUDGET, expansion_tokens=BUDGET // 12, seed=seed)
    options = {"learning_rate": rate, "block_tokens": block}
    curriculum = Curriculum.make(load_corpus("vital"), "lora", "token-cost", config, **options)
    exam = Exam(curriculum.corpus, curriculum.goal, 48)
    with tempfile.TemporaryDirectory() as folder:
        result = Run(Path(folder) / "run", curriculum, make_agent("random"), exam, {}, 2).carry_out()
    summary = result.summary()
    kept = {name: summary[name] for name in ("exam_loss_before", "exam_loss_after", "aulc", "tokens")}
    return {"learning_rate": rate, "block_tokens": block, "seed": seed, **kept, "curve": summary["curve"]}


def table(rows: list[dict[str, Any]]) -> str:
    """Return a Markdown row for each setting and seed."""
    lines = ["| learning rate | tokens an update | seed | before | after | AULC |", "|---|---|---|---|---|---|"]
    for r in sorted(rows, key=lambda r: (r["block_tokens"], r["learning_rate"], r["seed"])):
        losses = " | ".join(f"{r[name]:.3f}" for name in ("exam_loss_before", "exam_loss_after", "aulc"))
        lines.append(f"| {r['learning_rate']:g} | {r['block_tokens']} | {r['seed']} | {losses} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
