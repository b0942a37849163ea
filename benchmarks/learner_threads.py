"""Measure scratch learners with one thread, with all threads, and with threads that wait without spinning.

    python benchmarks/learner_threads.py --json docs/results/learner_threads.json

Every figure is of a process of its own, since OpenMP reads its settings once. Processes of the variants take turns, and
the fastest round of each counts. How busy the machine is matters more than anything else here, so the load (programs
that want to run, by core) is recorded with the figures.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from kgrl.system.files import write_json

VARIANTS = {
    "one thread": {"OMP_NUM_THREADS": "1"},
    "all threads": {},
    "all threads, passive": {"OMP_WAIT_POLICY": "passive"},
}


@dataclass(frozen=True)
class LearnerThreads:
    """Time lessons of scratch learners.

    Args:
        presets: Sizes of the learner.
        tokens: Tokens of a lesson.
        rounds: Processes of each variant and size.
        json: Write the figures to this file.
        measure: Only measure this size in this process, and print the figures; for the script itself.
    """

    presets: tuple[str, ...] = ("0.7m", "2m", "5m")
    tokens: int = 8_000
    rounds: int = 3
    json: Path | None = None
    measure: str | None = None


def main(command: LearnerThreads) -> None:
    if command.measure is not None:
        print(json.dumps(measured(command.measure, command.tokens)))
        return
    rows = []
    for preset in command.presets:
        found: dict[str, list[dict[str, float]]] = {name: [] for name in VARIANTS}
        for _ in range(command.rounds):
            for name, variables in VARIANTS.items():
                found[name].append(in_a_process(preset, command.tokens, variables))
        for name, rounds in found.items():
            fastest = {key: min(one[key] for one in rounds) for key in ("wall_seconds", "cpu_seconds")}
            load = sum(one["load"] for one in rounds) / len(rounds)
            rows.append({"preset": preset, "variant": name, **fastest, "load": load})
            print(rows[-1], flush=True)
    if command.json is not None:
        write_json(command.json, {"tokens": command.tokens, "cores": os.cpu_count(), "rows": rows})


def in_a_process(preset: str, tokens: int, variables: dict[str, str]) -> dict[str, float]:
    """Measure in a new process with these variables and none of OpenMP's others."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "KMP_", "GOMP_"))}
    command = [sys.executable, __file__, "--measure", preset, "--tokens", str(tokens)]
    done = subprocess.run(command, env=environment | variables, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measured(preset: str, tokens: int) -> dict[str, Any]:
    """Return the seconds of a lesson and the machine's load, after a first lesson that does not count."""
    from kgrl.data import load_corpus
    from kgrl.learners import ScratchLearner

    corpus = load_corpus("invented:300")
    learner = ScratchLearner(corpus, preset=preset)
    passages = corpus.select(range(len(corpus)))
    learner.learn(passages, tokens // 8)
    began, cpu_began = time.perf_counter(), time.process_time()
    learner.learn(passages, tokens)
    return {
        "wall_seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - cpu_began,
        "load": os.getloadavg()[0] / (os.cpu_count() or 1),
    }


if __name__ == "__main__":
    main(tyro.cli(LearnerThreads, description=__doc__))
