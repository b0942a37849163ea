"""Measure what imports cost: processor seconds and peak memory of short commands, by this checkout and one before.

    git worktree add /tmp/before 5715c3e
    python benchmarks/imports.py --before /tmp/before --json docs/results/imports.json

Every figure is the least of several processes of its own, in which the two checkouts take turns: other programs only
ever make one slower. Processor seconds depend on the load, too, so ratios are what to read.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from kgrl.system.files import write_json

ROOT = Path(__file__).resolve().parent.parent
SCRATCH = """
import kgrl.cli.run, kgrl.runs.run, kgrl.data.load, kgrl.curriculum.loop, kgrl.agents.make
import kgrl.learners.decoder.scratch
"""
FIGURES = ("processor_seconds", "wall_seconds", "peak_mib")
COMMANDS = {
    "python": ("-c", "pass"),
    "import kgrl": ("-c", "import kgrl"),
    "kgrl --help": ("-m", "kgrl", "--help"),
    "kgrl info": ("-m", "kgrl", "info"),
    "imports of a scratch run": ("-c", SCRATCH),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, required=True, help="a checkout of the commit to compare with")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    result = {}
    for name, words in COMMANDS.items():
        turns = [(measured(given.before, words), measured(ROOT, words)) for _ in range(given.rounds)]
        before, after = (tuple(min(values) for values in zip(*side, strict=True)) for side in zip(*turns, strict=True))
        figures = ("processor_seconds", "wall_seconds", "peak_mib")
        result[name] = {
            "before": dict(zip(figures, before, strict=True)),
            "after": dict(zip(figures, after, strict=True)),
        }
        print(name, result[name], flush=True)
    if given.json:
        write_json(given.json, {"load": os.getloadavg()[0], "cores": os.cpu_count(), **result})


def measured(folder: Path, words: tuple[str, ...]) -> tuple[float, float, float]:
    """Return processor seconds, seconds and the peak memory in MiB of a Python process on a checkout."""
    # Without the safe path Python would look in the present folder first.
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1", "OMP_NUM_THREADS": "1"}
    began, silent = time.perf_counter(), os.open(os.devnull, os.O_WRONLY)
    actions = [(os.POSIX_SPAWN_DUP2, silent, 1), (os.POSIX_SPAWN_DUP2, silent, 2)]
    process = os.posix_spawn(sys.executable, [sys.executable, *words], environment, file_actions=actions)
    _, status, usage = os.wait4(process, 0)
    os.close(silent)
    assert status == 0, words
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - began, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
