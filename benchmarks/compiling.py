"""Measure the first step of environments in a process that compiles their kernels, and in the next, which loads them.

    PYTHONPATH=. python benchmarks/compiling.py --json docs/results/compiling.json

The corpus is the tests' tiny one, with a simulated learner: nothing but kernels takes time. Each environment has two
processes one after the other and a new folder of kernels. Seconds are the processor's, without imports; wall time is in
the JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from kgrl.system.files import write_json

ENVIRONMENTS = ("vector", "single")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--part", choices=ENVIRONMENTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        print(json.dumps(first_step(arguments.part)))
        return
    figures = {name: measure(name) for name in ENVIRONMENTS}
    if arguments.json:
        write_json(arguments.json, figures)


def measure(environment: str) -> dict[str, Any]:
    """Time the first and the second process of an environment."""
    with tempfile.TemporaryDirectory() as folder:
        processes = []
        for _ in range(2):
            command = [sys.executable, __file__, "--part", environment]
            variables = {**os.environ, "NUMBA_CACHE_DIR": folder}
            done = subprocess.run(command, env=variables, stdout=subprocess.PIPE, check=True)
            processes.append(json.loads(done.stdout.splitlines()[-1]))
            print(environment, processes[-1], flush=True)
    return dict(zip(("first", "second"), processes, strict=True))


def first_step(environment: str) -> dict[str, Any]:
    """Make an environment, reset it and take a step."""
    import numpy as np
    from numba.core import event

    from kgrl.envs import CurriculumEnv, CurriculumVectorEnv
    from tests.support.simulated import simulated_curriculum
    from tests.support.tiny_corpus import make_tiny_corpus

    corpus = make_tiny_corpus()
    vectors = np.random.default_rng(0).normal(size=(len(corpus.graph), 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    with event.install_recorder("numba:compile") as compiled:
        wall, processor = time.perf_counter(), time.process_time()
        curriculum = simulated_curriculum(corpus, vectors, "mean-prediction-gain + 0.5*incoherence-penalty")
        if environment == "vector":
            many = CurriculumVectorEnv(curriculum, 2, slots=16)
            many.reset(seed=0)
            many.step(np.zeros(2, dtype=np.int64))
        else:
            one = CurriculumEnv(curriculum, slots=16)
            one.reset(seed=0)
            one.step(0)
        seconds, passed = time.process_time() - processor, time.perf_counter() - wall
    return {"processor_s": seconds, "wall_s": passed, "compiled": len(compiled.buffer) // 2}


if __name__ == "__main__":
    main()
