"""Compare ReLoRA with full-rank training and LoRA, on scratch learners taught `wikispeedia`, at equal tokens.

    python benchmarks/relora.py --json docs/results/relora.json

A seed draws the initial weights and the passages, so every method starts from the same model and reads the same text.
Each method has the learning rate with its lowest probe loss at seed 0, from the same grid; the exam loss is reported.
As published, ReLoRA begins with full-rank training; the "quarter" methods do so for a quarter of the tokens. Each run
has one thread. Finished runs are kept in the JSON file and not repeated. A run of the small preset takes about 40
seconds; there are thirty for each preset.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kgrl.corpus import Corpus, Passages, Split
from kgrl.data import load_corpus
from kgrl.learners import ScratchLearner
from kgrl.learners.plugins import ReLoRA
from kgrl.system.files import write_json

PRESETS = ("0.7m", "2m")
METHODS = ("full rank", "LoRA", "ReLoRA", "quarter full rank, LoRA", "quarter full rank, ReLoRA")
RATES = (3e-4, 1e-3, 3e-3, 1e-2)
SEEDS = (0, 1, 2)
RANK, EVERY, REWARM = 8, 100, 10
MEASURED = 400
"""Number of probe passages, and of exam passages; the same ones for every run."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, required=True, help="results so far are read from it and added to")
    parser.add_argument("--presets", nargs="+", default=list(PRESETS), choices=PRESETS)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--tokens", type=int, default=300_000, help="tokens of each run")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    results = Results(arguments.json, load_corpus("wikispeedia"), arguments.tokens)
    for preset in arguments.presets:
        for method in arguments.methods:
            tuning = [results.run(preset, method, rate, SEEDS[0]) for rate in RATES]
            best = min(tuning, key=lambda row: row["probe_loss"])["learning_rate"]
            for seed in SEEDS[1:]:
                results.run(preset, method, best, seed)
            print(table(results.rows), flush=True)


class Results:
    """Runs, each carried out once and kept in a file.

    Args:
        path: The JSON file.
        corpus: The corpus that is taught.
        tokens: Tokens of each run.
    """

    def __init__(self, path: Path, corpus: Corpus, tokens: int) -> None:
        self.path, self.corpus, self.tokens = path, corpus, tokens
        self.rows: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []

    def run(self, preset: str, method: str, rate: float, seed: int) -> dict[str, Any]:
        """Return a run's row, from the file if it has the run."""
        settings = {"preset": preset, "method": method, "learning_rate": rate, "seed": seed, "budget": self.tokens}
        for row in self.rows:
            if row.items() >= settings.items():
                return row
        self.rows.append(settings | one_run(self.corpus, preset, method, rate, seed, self.tokens))
        write_json(self.path, self.rows)
        return self.rows[-1]


def one_run(corpus: Corpus, preset: str, method: str, rate: float, seed: int, tokens: int) -> dict[str, Any]:
    """Teach one learner, and measure it on probe and exam passages."""
    train = draw(corpus, Split.TRAIN, len(corpus), seed)
    options = {"preset": preset, "seed": seed, "learning_rate": rate}
    low = {"rank": RANK, "plugins": [ReLoRA(EVERY, REWARM, seed)] if method.endswith("ReLoRA") else []}
    learner = ScratchLearner(corpus, **options, **({} if method == "full rank" else low))
    parameters = ScratchLearner(corpus, **options).weights.numel()
    began = time.process_time()  # processor time, as other programs run beside
    if method.startswith("quarter"):
        full = ScratchLearner(corpus, **options)
        begun = full.learn(train, tokens // 4)
        take_over(full, learner)
        # The rest of the text for the rest of the tokens, so that every method reads the same.
        train, tokens = corpus.select(train.ids[begun.passages :]), tokens - begun.tokens
    learned = learner.learn(train, tokens)
    seconds = time.process_time() - began
    return {
        "rank": None if method == "full rank" else RANK,
        "merges": sum(plugin.merges for plugin in learner.plugins),
        "parameters": parameters,
        "trained_share": learner.weights.numel() / parameters,
        "updates": learner.steps,
        "tokens_in_this_phase": learned.tokens,
        "train_loss": learned.loss,
        "probe_loss": float(learner.losses(draw(corpus, Split.PROBE, MEASURED, 0)).mean()),
        "exam_loss": float(learner.losses(draw(corpus, Split.EXAM, MEASURED, 0)).mean()),
        "cpu_seconds": seconds,
    }


def draw(corpus: Corpus, split: Split, n: int, seed: int) -> Passages:
    """Return at most n passages of a split in random order."""
    return corpus.select(np.random.default_rng(seed).permutation(np.flatnonzero(corpus.splits == split))[:n])


@torch.no_grad()
def take_over(full: ScratchLearner, low: ScratchLearner) -> None:
    """Give a low-rank learner the weights that a full-rank one has learned, under its adapters."""
    trained = dict(full.model.named_parameters())
    for name, weight in low.model.named_parameters():
        if ".lora_" not in name:
            weight.copy_(trained[name.replace(".base_layer.", ".")])


def table(rows: list[dict[str, Any]]) -> str:
    """Return a Markdown row for each preset and method whose seeds are all finished."""
    lines = [
        "| model | method | trained | learning rate | exam loss: mean (range) | over full rank | tokens/CPU s |",
        "|---|---|---|---|---|---|---|",
    ]
    full: dict[tuple[str, int, int], float] = {}
    for preset, method in dict.fromkeys((r["preset"], r["method"]) for r in rows):
        own = [r for r in rows if (r["preset"], r["method"]) == (preset, method)]
        for budget in sorted({r["budget"] for r in own}):
            seeds = seeds_at_best_rate([r for r in own if r["budget"] == budget])
            if len(seeds) < len(SEEDS):
                continue
            keys = [(preset, budget, r["seed"]) for r in seeds]
            losses = [r["exam_loss"] for r in seeds]
            if method == "full rank":
                full |= dict(zip(keys, losses, strict=True))
            gaps = [loss - full[key] for key, loss in zip(keys, losses, strict=True)]
            speed = np.median([budget / r["cpu_seconds"] for r in seeds])
            lines.append(
                f"| {preset} | {method} | {seeds[0]['trained_share']:.0%} | {seeds[0]['learning_rate']:g} "
                f"| {np.mean(losses):.3f} ({min(losses):.3f} to {max(losses):.3f}) "
                f"| {np.mean(gaps):+.3f} ({min(gaps):+.3f} to {max(gaps):+.3f}) | {speed:,.0f} |"
            )
    return "\n".join(lines)


def seeds_at_best_rate(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the runs with the learning rate that has the lowest probe loss at the first seed."""
    tuned = [row for row in rows if row["seed"] == SEEDS[0]]
    best = min(tuned, key=lambda row: row["probe_loss"])["learning_rate"]
    return [row for row in rows if row["learning_rate"] == best]


if __name__ == "__main__":
    main()
