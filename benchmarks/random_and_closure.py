"""Runs `random` and `closure` with SmolLM2 on both corpora, three seeds, and tabulates their exam losses.

    python benchmarks/random_and_closure.py --json docs/results/random_and_closure.json

Finished runs are kept in the JSON file and not repeated, so the script can be stopped and started again.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from kgrl.cache import write_json
from kgrl.cli.run import RunCommand

CORPORA, AGENTS, SEEDS = ("vital", "wikispeedia"), ("random", "closure"), (0, 1, 2)
KEPT = ("exam_loss_before", "exam_loss_after", "aulc", "tokens", "probe_tokens", "expansions", "topics", "seconds")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, required=True, help="results so far are read from it and added to")
    parser.add_argument("--budget-tokens", type=int, default=12_000)
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = json.loads(arguments.json.read_text())["runs"] if arguments.json.exists() else []
    done = {(r["corpus"], r["agent"], r["seed"]) for r in rows}
    for seed in SEEDS:
        for corpus in CORPORA:
            for agent in AGENTS:
                if (corpus, agent, seed) not in done:
                    rows.append(one_run(corpus, agent, seed, arguments.budget_tokens))
                    write_json(arguments.json, {"command": " ".join(["python", *sys.argv]), "runs": rows})
    print(table(rows))


def one_run(corpus: str, agent: str, seed: int, budget: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        command = RunCommand(corpus=corpus, agent=agent, seed=seed, budget_tokens=budget, out=Path(folder) / "run")
        figures = command.run()
    row = {"corpus": corpus, "agent": agent, "seed": seed, "budget_tokens": budget}
    return {**row, **{name: figures[name] for name in KEPT}, "curve": figures["curve"]}


def table(rows: list[dict[str, Any]]) -> str:
    """One Markdown row a run, then the paired differences."""
    lines = ["| corpus | agent | seed | exam loss before | after | AULC | seconds |", "|---|---|---|---|---|---|---|"]
    for r in sorted(rows, key=lambda r: (r["corpus"], r["agent"], r["seed"])):
        figures = f"{r['exam_loss_before']:.4f} | {r['exam_loss_after']:.4f} | {r['aulc']:.4f} | {r['seconds']:.0f}"
        lines.append(f"| {r['corpus']} | {r['agent']} | {r['seed']} | {figures} |")
    lines += ["", "| corpus | closure minus random, exam loss after: mean | smallest | largest |", "|---|---|---|---|"]
    for corpus in CORPORA:
        after = {(r["agent"], r["seed"]): r["exam_loss_after"] for r in rows if r["corpus"] == corpus}
        pairs = np.array(
            [after["closure", s] - after["random", s] for s in SEEDS if {("closure", s), ("random", s)} <= set(after)]
        )
        if len(pairs):
            lines.append(f"| {corpus} | {pairs.mean():+.4f} | {pairs.min():+.4f} | {pairs.max():+.4f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
