"""Prove that a change of the code changed no result: run fixed settings by the code of a commit and by this checkout.

    python benchmarks/unchanged.py --before ff68265 --json docs/results/unchanged.json

Each setting is run twice, once by each code, in processes of one thread. Then everything that was written is compared
bit for bit: `curriculum.jsonl`, `choices.jsonl`, exam losses, weights. Left out are wall-clock figures, empty entries,
and numbers of topics read and solid, which earlier versions name otherwise. The command ends with 1 if anything
differs, and names it. It needs git, and takes some ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from safetensors.numpy import load_file

ROOT = Path(__file__).resolve().parent.parent
CLOCKS = {"age", "overhead", "seconds"}
"""Words in the names of keys whose values are times, or follow from times."""
PLACES = {"folder", "report"}
"""Keys whose values are the place of a run."""
STANDING = {"learned", "read", "solid", "faded", "chosen", "nucleus"}
"""Keys of lines of metrics that tell of topics; earlier versions tell `learned` alone."""
RUN = ("run", "--seed", "1", "--exam-topics", "24", "--exam-every", "1")

Fingerprints = dict[str, str]
"""SHA-256 digests by name: one for each line-by-line file and each tensor."""


def main() -> int:
    # A shell's background jobs ignore interrupts, and so would the runs that are interrupted below.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", default="HEAD", help="the commit to compare this checkout with")
    parser.add_argument("--settings", nargs="*", default=list(SETTINGS), choices=list(SETTINGS), help="all by default")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, checkout(arguments.before, Path(scratch)) as before:
        results = {name: compare(name, before, Path(scratch)) for name in arguments.settings}
    for name, result in results.items():
        print(f"{name}: {result['compared']} compared, {len(result['different'])} different {result['different'][:5]}")
    if arguments.json:
        commits = {"before": revision(arguments.before), "after": revision("HEAD")}
        arguments.json.write_text(json.dumps({**commits, "settings": results}, indent=2) + "\n", encoding="utf-8")
    return int(any(result["different"] for result in results.values()))


def revision(name: str) -> str:
    """Return the commit of a revision."""
    return subprocess.run(
        ["git", "rev-parse", name], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()


@contextmanager
def checkout(commit: str, scratch: Path) -> Iterator[Path]:
    """Give a work tree of another commit, which is removed afterwards."""
    tree = scratch / "code"
    subprocess.run(["git", "worktree", "add", "--quiet", "--detach", tree, commit], cwd=ROOT, check=True)
    try:
        yield tree
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", tree], cwd=ROOT, check=True)


def compare(name: str, before: Path, scratch: Path) -> dict[str, Any]:
    """Run a setting by both codes side by side, and name the entries that differ."""
    with ThreadPoolExecutor(2) as pool:
        folders = [scratch / name / side for side in ("before", "after")]
        one, other = pool.map(lambda code, out: fingerprints(SETTINGS[name], code, out), (before, ROOT), folders)
    # Two empty folders are equal, and would prove nothing.
    assert one and other, f"{name} wrote nothing to compare"
    different = sorted(key for key in one.keys() | other.keys() if one.get(key) != other.get(key))
    print(f"{name}: {len(one)} compared, {len(different)} different", flush=True)
    return {"compared": len(one), "different": different}


def fingerprints(setting: Callable[[Path, Path], None], code: Path, out: Path) -> Fingerprints:
    """Run a setting and return the digests of everything that it wrote."""
    out.mkdir(parents=True)
    setting(code, out)
    found: Fingerprints = {}
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        if path.suffix == ".safetensors":
            found |= {f"{name}:{key}": digest(tensor.tobytes()) for key, tensor in load_file(path).items()}
        elif path.suffix == ".jsonl":
            lines = path.read_text(encoding="utf-8").splitlines()
            found |= {f"{name}:{number}": canonical(json.loads(line)) for number, line in enumerate(lines)}
        elif path.suffix == ".json" and path.name != "about.json":  # which names the code's version
            found[name] = canonical(json.loads(path.read_text(encoding="utf-8")))
        elif path.suffix == ".parquet":
            found[name] = canonical(pq.read_table(path).to_pylist())
    return found


def canonical(value: Any) -> str:
    """Return the digest of a value without its times."""
    return digest(json.dumps(without_clocks(value), sort_keys=True, default=str).encode())


def without_clocks(value: Any) -> Any:
    """Return a value without the entries that are times or places, that tell of standing, or that are empty.

    Empty ones are left out since later versions have more of them, for what settings of earlier ones do not do.
    """
    if isinstance(value, dict):
        left_out = PLACES | STANDING
        kept = {key: item for key, item in value.items() if key not in left_out and not CLOCKS & set(key.split("_"))}
        told = {key: without_clocks(item) for key, item in kept.items()}
        return {key: item for key, item in told.items() if item not in ({}, [], None)}
    return [without_clocks(item) for item in value] if isinstance(value, list) else value


def digest(data: bytes) -> str:
    """Return the SHA-256 digest of some bytes."""
    return hashlib.sha256(data).hexdigest()


def start(code: Path, out: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a command of kgrl with the code of a checkout."""
    environment = os.environ | {"PYTHONPATH": str(code), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    program = "import sys; from kgrl.cli import main; sys.exit(main())"
    with (out / "log.txt").open("a") as log:
        return subprocess.Popen(
            [sys.executable, "-c", program, *arguments], cwd=out, env=environment, stdout=log, stderr=log, text=True
        )


def kgrl(code: Path, out: Path, *arguments: str) -> None:
    """Run a command of kgrl with the code of a checkout.

    Raises:
        SystemExit: If the command fails.
    """
    if start(code, out, *arguments).wait():
        raise SystemExit(f"kgrl {' '.join(arguments)} failed:\n{(out / 'log.txt').read_text()[-2_000:]}")


def policy(code: Path, out: Path) -> None:
    """A trained policy towards a goal, on a model taught from scratch."""
    where = ("--corpus", "vital", "--goal", "Mathematics", "--budget-tokens", "5000", "--out", "run")
    kgrl(code, out, *RUN, "--agent", "curiosity", "--learner", "scratch", *where)


def resumed(code: Path, out: Path) -> None:
    """A bandit on an invented world with recall, interrupted after three expansions and resumed."""
    where = ("--corpus", "invented:240", "--budget-tokens", "20000", "--link-recall", "8", "--fact-recall", "8")
    running = start(code, out, *RUN, "--agent", "d-ucb", "--learner", "scratch", *where, "--out", "run")
    record = out / "run" / "curriculum.jsonl"
    while running.poll() is None and (not record.exists() or record.read_bytes().count(b"\n") < 3):
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)  # as Ctrl-C does: the run writes a checkpoint and ends with 130
    if running.wait() != 130:
        raise SystemExit(f"the run was not interrupted:\n{(out / 'log.txt').read_text()[-2_000:]}")
    kgrl(code, out, "run", "--resume", "run")


def passages(code: Path, out: Path) -> None:
    """An agent that picks passages, on a task with planted noise."""
    where = ("--task", "noisy", "--corpus", "vital", "--budget-tokens", "4000", "--out", "run")
    kgrl(code, out, *RUN, "--agent", "coherent", "--learner", "scratch", *where)


def adapter(code: Path, out: Path) -> None:
    """SmolLM2 with LoRA and two plug-ins."""
    where = ("--corpus", "vital", "--goal", "Mathematics", "--budget-tokens", "1200", "--expansion-tokens", "300")
    plugins = ("--plugins", "replay:share=0.2", "elastic", "--probe-topics", "8", "--out", "run")
    kgrl(code, out, *RUN, "--agent", "closure", "--learner", "lora", *where, *plugins)


def bench(code: Path, out: Path) -> None:
    """Four cells of a benchmark: two tasks, two agents."""
    what = ("--tasks", "coverage,forgetting", "--agents", "random", "plr", "--seeds", "1", "--budget-tokens", "3000")
    kgrl(code, out, "bench", "--corpus", "wikispeedia" if "KGRL_DATA" in os.environ else "vital", *what, "--out", "b")


def trained(code: Path, out: Path) -> None:
    """A policy trained on simulated learners."""
    what = ("--steps", "2048", "--envs", "32", "--init", "builtin", "--out", "policy")
    kgrl(code, out, "train", "--learner", "simulated", "--corpus", "vital", "--seed", "1", *what)


def growing(code: Path, out: Path) -> None:
    """A curriculum whose corpus grows as it goes, by this script in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(code), "OMP_NUM_THREADS": "1"}
    program = [sys.executable, str(Path(__file__).resolve()), "--grow"]
    subprocess.run(program, cwd=out, env=environment, check=True)


SETTINGS = {setting.__name__: setting for setting in (policy, resumed, passages, adapter, bench, trained, growing)}


def grow(out: Path) -> None:
    """Carry out the growing curriculum in a folder: an invented world's topics arrive five at a time."""
    from kgrl.agents import make_agent
    from kgrl.curriculum import CurriculumConfig
    from kgrl.data import load_corpus
    from kgrl.exam import Exam
    from kgrl.learners import ScratchLearner

    # Names that moved: this script runs with the code of commits on either side of the move.
    growing = anyone("kgrl.research.growing", "kgrl.growing")
    library_type = anyone("kgrl.research.library").Library
    run_type = anyone("kgrl.runs.run", "kgrl.runs").Run
    corpus = load_corpus("invented:180")
    arrivals = arriving(corpus)
    library, supply = library_type(out / "pages.jsonl"), Arriving(arrivals)
    nucleus = (corpus.graph.titles[int(np.argmax(corpus.graph.degree))],)
    config = CurriculumConfig(
        budget_tokens=6_000, expansion_tokens=300, neighbourhood=3, nucleus=nucleus, probe_topics=6, seed=1
    )
    first = growing.first_corpus(library, supply, nucleus, 20)
    learner = ScratchLearner(first, width=32, heads=2, vocabulary=500, layers=1)
    curriculum = growing.GrowingCurriculum(first, learner, library, supply, "mean-prediction-gain", config)
    run_type(out / "run", curriculum, make_agent("greedy-loss"), Exam(first, size=12), {}, 1).carry_out()


def anyone(*modules: str) -> Any:
    """Return the first of some modules that exists."""
    for name in modules[:-1]:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return importlib.import_module(modules[-1])


def arriving(corpus: Any) -> dict[str, Any]:
    """Every topic of a corpus as it would arrive, with vectors drawn by its number."""
    arrival_type, graph = anyone("kgrl.research.arrival", "kgrl.research.log").Arrival, corpus.graph
    found = {}
    for topic, title in enumerate(graph.titles):
        ids = np.flatnonzero(corpus.topics == topic)
        embedded = min(4, int((corpus.splits[ids] == 0).sum()))
        vectors = np.random.default_rng(topic).normal(size=(embedded, 16)).astype(np.float32)
        found[title] = arrival_type(
            title=title,
            category=graph.categories[topic],
            links=tuple(graph.titles[other] for other in graph.out(topic)),
            aliases=(),
            texts=tuple(corpus.texts[i] for i in ids),
            splits=tuple(corpus.splits[ids].tolist()),
            vectors=vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
            fetched=1.0 + topic,
        )
    return found


class Arriving:
    """A supply that brings five of the wanted topics at every look."""

    def __init__(self, arrivals: dict[str, Any]) -> None:
        self.arrivals, self.wanted = arrivals, list[str]()

    def want(self, titles: list[str]) -> None:
        """Remember the wanted titles."""
        self.wanted = [title for title in titles if title in self.arrivals]

    def take(self, library: Any, index: int) -> int:
        """Add five wanted topics to the library."""
        library.add(self.arrivals[title] for title in self.wanted[:5] if title not in library.numbers)
        return len(library)

    def hopeless(self) -> tuple[str, ...]:
        """Return no titles: all arrive."""
        return ()

    def busy(self) -> bool:
        """Return whether more may arrive."""
        return bool(self.wanted)


if __name__ == "__main__":
    if sys.argv[1:] == ["--grow"]:
        grow(Path.cwd())
    else:
        sys.exit(main())
