"""Damage the files of every loader, and write what came of it to docs/results/robustness.md.

    PYTHONPATH=. python benchmarks/robustness.py --count 10000 --json docs/results/robustness.json

Each loader works in a process of its own, whose peak of memory is compared with that before the first damaged input.
The page also has the kills of `survival.py`, if their results are beside it.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import resource
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.pages import fill
from kgrl.system.files import write_json, write_text
from kgrl.testing.fuzzing import FuzzTarget, fuzz
from tests.support.loaders import TARGETS

RESULTS = Path("docs/results")
PAGE = RESULTS / "robustness.md"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000, help="damaged inputs of each loader")
    parser.add_argument("--only", nargs="+", help="loaders whose names hold one of these; others keep their results")
    parser.add_argument("--json", type=Path, default=RESULTS / "robustness.json")
    arguments = parser.parse_args()
    known = json.loads(arguments.json.read_text()) if arguments.json.exists() else {}
    wanted = [t for t in TARGETS if not arguments.only or any(word in t.name for word in arguments.only)]
    for target in wanted:
        known[target.name] = apart(target, arguments.count)
        print(target.name, json.dumps(known[target.name]), flush=True)
        write_json(arguments.json, {t.name: known[t.name] for t in TARGETS if t.name in known})
    survival = RESULTS / "survival.json"
    page = fill(PAGE.read_text(encoding="utf-8"), "loaders", loaders(known))
    if survival.exists():
        page = fill(page, "kills", kills(json.loads(survival.read_text())))
    write_text(PAGE, page)


def apart(target: FuzzTarget, count: int) -> dict[str, Any]:
    """Return what came of damaged inputs of a loader, in a process of its own."""
    receiver, sender = multiprocessing.get_context("fork").Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=work, args=(target, count, sender))
    child.start()
    told: dict[str, Any] = receiver.recv()
    child.join()
    return told


def work(target: FuzzTarget, count: int, sender: Any) -> None:
    """Damage inputs of a loader, and send what came of it."""
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        fuzz(target, 1, Path(folder) / "first")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        report = fuzz(target, count, Path(folder) / "then", seed=1)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    told = {"inputs": count, "loaded": report.loaded, "named": report.refused, "slowest": round(report.slowest, 3)}
    sender.send({**told, "faults": dict(report.faults), "mib": round(grown, 1)})


def loaders(results: dict[str, dict[str, Any]]) -> str:
    """Return the table of loaders."""
    head = "| loader | inputs | read | named errors | other | slowest, s | memory, MiB |\n|---|---|---|---|---|---|---|"
    rows = [
        f"| {name} | {r['inputs']:,} | {r['loaded']:,} | {r['named']:,} | {sum(r['faults'].values())} | "
        f"{r['slowest']:.2f} | {r['mib']:.0f} |"
        for name, r in results.items()
    ]
    total = [sum(r[key] for r in results.values()) for key in ("inputs", "loaded", "named")]
    other = sum(sum(r["faults"].values()) for r in results.values())
    rows.append(f"| **together** | {total[0]:,} | {total[1]:,} | {total[2]:,} | {other} | | |")
    return "\n".join([head, *rows]) + "\n"


def kills(results: dict[str, dict[str, Any]]) -> str:
    """Return the table of kills."""
    head = "| command | kills | trials | files that differ | errors |\n|---|---|---|---|---|"
    rows = [
        f"| {name} | {r['kills']} | {r['trials']} | {len(r['differ'])} | {len(r['errors'])} |"
        for name, r in results.items()
    ]
    total = [sum(r[key] for r in results.values()) for key in ("kills", "trials")]
    differ, errors = (sum(len(r[key]) for r in results.values()) for key in ("differ", "errors"))
    rows.append(f"| **together** | {total[0]} | {total[1]} | {differ} | {errors} |")
    return "\n".join([head, *rows]) + "\n"


if __name__ == "__main__":
    main()
