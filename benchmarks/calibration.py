"""Fit the calibrations that ship with kgrl: runs and forks of real learners, and learning curves fitted to them.

    python benchmarks/calibration.py --corpus wikispeedia --json docs/results/calibration.json --ship
    python benchmarks/calibration.py --runs runs/goals/lora/vital-* --json docs/results/calibration.json --ship

The first command records runs of a scratch learner, except for those that exist. They measure a fixed sample of all
topics and the topics just learned; the agent and the seed, which draws the learner's weights, differ from run to run.
The second command takes existing runs, here those of `benchmarks/goals.py`. A calibration is written into the package
if it predicts changes of losses that it has not seen better than their mean does. One thread; about ten minutes for a
corpus, of which a fit takes up to three.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from kgrl.builtin import FOLDER
from kgrl.cli.calibrate import CalibrateCommand
from kgrl.cli.run import RunCommand, run_recorded
from kgrl.corpus import Corpus
from kgrl.learners import make_learner
from kgrl.learners.simulated import fit
from kgrl.learners.simulated.calibration import Calibration
from kgrl.probes.forks import estimate_transfer
from kgrl.system.files import write_json

AGENTS = ("random", "closure", "bfs", "random-global")
SEEDS = (0, 1, 2, 3)
BUDGET, LESSON, PROBED = 40_000, 1_000, 64
FORKS, FORK_TOKENS = 32, 2_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", default="wikispeedia", choices=("vital", "vital-es", "wikispeedia"))
    parser.add_argument("--records", type=Path, default=Path("runs/calibration"), help="folder of runs and forks")
    parser.add_argument("--runs", type=Path, nargs="+", help="fit to these runs, and record nothing")
    parser.add_argument("--out", type=Path, help="the calibration; calibration.json beside the records if none")
    parser.add_argument("--json", type=Path, help="results by corpus and learner; others that are there are kept")
    parser.add_argument("--onset", type=float, default=2.0, help="the latest onset of style that a fit may have")
    parser.add_argument("--ship", action="store_true", help="write the calibration into the package, if it is any good")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    fit._LIMITS = {**fit._LIMITS, "style_onset": (0.5, arguments.onset)}
    began = time.perf_counter()
    folder = arguments.records / arguments.corpus
    # Runs of `goals.py` come without forks; the fit does without them.
    runs, transfers = (arguments.runs, ()) if arguments.runs else record(arguments.corpus, folder)
    recorded = time.perf_counter()
    out = arguments.out or runs[0].parent / "calibration.json"
    CalibrateCommand(runs=tuple(runs), transfers=transfers, out=out).run()
    calibration = Calibration.read(out)
    seconds = {"record_seconds": recorded - began, "fit_seconds": time.perf_counter() - recorded}
    figures = {**summary(calibration), **seconds}
    print(json.dumps(figures, indent=2))
    if arguments.json:
        known = json.loads(arguments.json.read_text()) if arguments.json.exists() else {}
        kind = name_of(calibration) + ("" if arguments.onset == 2.0 else f", onset {arguments.onset:g}")
        write_json(arguments.json, {**known, kind: figures})
    if arguments.ship:
        ship(calibration)


def record(name: str, folder: Path) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Return the folders of the runs and that of the forks; record the missing ones."""
    corpus = RunCommand(corpus=name).load_corpus()
    runs = []
    for seed in SEEDS:
        for agent in AGENTS:
            runs.append(folder / f"{agent}-{seed}")
            if not (runs[-1] / "result.json").exists():
                carry_out(corpus, name, agent, seed, runs[-1])
                print(runs[-1], flush=True)
    transfer = folder / "transfer"
    estimate_transfer(corpus, make_learner("scratch", corpus, seed=0), transfer, size=FORKS, tokens=FORK_TOKENS)
    return tuple(runs), (transfer,)


def carry_out(corpus: Corpus, name: str, agent: str, seed: int, folder: Path) -> None:
    """Carry out one run that probes a sample of all topics and the topics just learned."""
    # Hardly any exam: a calibration is fitted to probes.
    sizes = {"budget_tokens": BUDGET, "expansion_tokens": LESSON, "probe_topics": PROBED}
    # The reward decides what is probed; no agent of these looks at it.
    setting = {"agent": agent, "reward": "mean-prediction-gain + self-prediction-gain", "seed": seed}
    command = RunCommand(corpus=name, learner="scratch", exam_every=100, **setting, **sizes)
    run_recorded(command, folder, command.make_curriculum(corpus))


def summary(calibration: Calibration) -> dict[str, Any]:
    """Return the figures of a calibration, without its members and topics."""
    values = asdict(calibration)
    return {name: values[name] for name in ("learner", "tokens_per_word", "parameters", "fitted", "errors")}


def name_of(calibration: Calibration) -> str:
    """Return its corpus and kind of learner, as in the name of the file that ships."""
    return f"{calibration.corpus}-{calibration.learner.split()[0]}"


def ship(calibration: Calibration) -> None:
    """Write a calibration into the package if it beats the mean change."""
    errors = calibration.errors
    if errors.fit >= errors.mean_change:
        print(f"not shipped: its held-out error is {errors.fit:.4f}, the mean change's {errors.mean_change:.4f}")
        return
    calibration.write(FOLDER / f"calibration-{name_of(calibration)}.json")


if __name__ == "__main__":
    main()
