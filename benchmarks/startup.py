"""Measure what people wait for, starts, environments and imports, by this checkout and by a commit before.

    python benchmarks/startup.py --before 5715c3e --json docs/results/startup.json

A start ends with the first expansion after the nucleus: when `curriculum.jsonl` has its second line. The two codes take
turns, with the same interpreter and environment variables, each with a cache folder of its own that is empty at the
beginning. The first turn fills it, and is counted for `first_vital_s` only; the figures are medians of the others.
Figures that end in `_cpu_s` are processor seconds of the whole run, which other programs disturb less. It takes half an
hour on two cores, most of it the first turn of the code before; `--work` keeps the caches for another time.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
ARTICLES, PASSAGES, WORDS, LINKS = 1000, 40, 60, 12
"""Articles of the folder, and of each its passages, the words of a passage and its links."""
RUN = ("run", "--learner", "scratch", "--budget-tokens", "2000")
WAIT = 0.01
"""Seconds between two looks at a run's record."""
IMPORT = "import time; start = time.perf_counter(); import kgrl; print(time.perf_counter() - start)"
OPENING = """
import sys
import time
from kgrl.data import load_corpus
load_corpus("invented:8")
for corpus in sys.argv[1:]:
    start = time.process_time()
    load_corpus(corpus).fingerprint
    print(time.process_time() - start)
"""
ENVIRONMENTS = """
import time
import gymnasium as gym
kept = []
for number in range(2):
    start = time.perf_counter()
    kept.append(gym.make("kgrl:kgrl/Curriculum-v0", corpus="vital"))
    kept[-1].reset(seed=number)
    print(time.perf_counter() - start)
"""
FIRST_STEP = """
import time
import numpy as np
from kgrl.envs import make_curriculum_vector_env
environments = make_curriculum_vector_env(16, "vital")
_, info = environments.reset(seed=0)
start = time.perf_counter()
environments.step(np.argmax(info["action_mask"], axis=1))
print(time.perf_counter() - start)
"""


class Start(NamedTuple):
    """A short run: seconds to its first expansion, processor seconds of all of it, MiB of its memory's peak."""

    seconds: float
    processor: float
    peak: float


@dataclass
class Side:
    """A code to measure.

    Args:
        name: `before` or `after`.
        code: Its checkout.
        work: Folder of its cache, its compiled kernels and its runs.
        articles: The corpus folder.
    """

    name: str
    code: Path
    work: Path
    articles: Path

    def __post_init__(self) -> None:
        self.work.mkdir(parents=True, exist_ok=True)

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables of its processes; Python keeps what it compiled, as in an installed package."""
        given = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        own = {"PYTHONPATH": str(self.code), "KGRL_CACHE": str(self.work / "cache")}
        return {**given, **own, "NUMBA_CACHE_DIR": str(self.work / "kernels")}

    def printed(self, *arguments: str) -> list[float]:
        """Run Python and return the numbers that it prints."""
        command = [sys.executable, *arguments]
        done = subprocess.run(command, env=self.environment, cwd=self.work, stdout=subprocess.PIPE, check=True)
        return [float(line) for line in done.stdout.split()]

    def start(self, corpus: str | Path) -> Start:
        """Carry out a short run."""
        with tempfile.TemporaryDirectory(dir=self.work) as folder, (self.work / "log.txt").open("w+b") as log:
            out = Path(folder) / "run"
            command = [sys.executable, "-m", "kgrl", *RUN, "--corpus", str(corpus), "--out", str(out)]
            began = time.perf_counter()
            process = subprocess.Popen(command, env=self.environment, cwd=self.work, stdout=log, stderr=log)
            seconds = _first_expansion(out / "curriculum.jsonl", process) - began
            _, status, used = os.wait4(process.pid, 0)
            if status:
                log.seek(0)
                raise RuntimeError(f"{self.name}: {log.read().decode(errors='replace')[-2000:]}")
        return Start(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def first_vital(side: Side) -> dict[str, float]:
    """Start on the vital articles with an empty cache."""
    return {"first_vital_s": side.start("vital").seconds}


def second_vital(side: Side) -> dict[str, float]:
    """Start on the vital articles again."""
    start = side.start("vital")
    return {"second_vital_s": start.seconds, "second_vital_cpu_s": start.processor, "peak_mib": start.peak}


def second_folder(side: Side) -> dict[str, float]:
    """Start on a folder of articles again."""
    start = side.start(side.articles)
    return {"second_folder_s": start.seconds, "second_folder_cpu_s": start.processor}


def second_wikispeedia(side: Side) -> dict[str, float]:
    """Start on Wikispeedia again."""
    start = side.start("wikispeedia")
    return {"second_wikispeedia_s": start.seconds, "second_wikispeedia_cpu_s": start.processor}


def opening(side: Side) -> dict[str, float]:
    """Open corpora in a process that has imported what it needs."""
    seconds = side.printed("-c", OPENING, "vital", str(side.articles), "wikispeedia")
    names = ("open_vital_cpu_s", "open_folder_cpu_s", "open_wikispeedia_cpu_s")
    return dict(zip(names, seconds, strict=True))


def environments(side: Side) -> dict[str, float]:
    """Make and reset two environments, one after the other, in one process."""
    first, second = side.printed("-c", ENVIRONMENTS)
    return {"first_env_s": first, "second_env_ms": 1000 * second}


def first_step(side: Side) -> dict[str, float]:
    """Take the first step of a vector environment, in a process after another one did."""
    return {"first_step_second_process_s": side.printed("-c", FIRST_STEP)[0]}


def imports(side: Side) -> dict[str, float]:
    """Import the package, and ask the command line for help and for its names."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "kgrl"]
    # In another folder than a checkout's, which Python would import from whatever PYTHONPATH says.
    options: dict[str, Any] = {"env": side.environment, "cwd": side.work, "stdout": subprocess.DEVNULL, "check": True}
    subprocess.run([*command, "--help"], **options)
    helped = time.perf_counter()
    subprocess.run([*command, "info"], **options)
    seconds = {"help_ms": 1000 * (helped - began), "info_ms": 1000 * (time.perf_counter() - helped)}
    return {"import_ms": 1000 * side.printed("-c", IMPORT)[0], **seconds}


MEASURES: Mapping[str, Callable[[Side], dict[str, float]]] = {
    "first_vital": first_vital,
    "second_vital": second_vital,
    "second_folder": second_folder,
    "second_wikispeedia": second_wikispeedia,
    "opening": opening,
    "environments": environments,
    "first_step": first_step,
    "imports": imports,
}
ONCE = "first_vital"
"""The measurement of the first turn, and of no other."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", help="the commit to compare this checkout with; none by default")
    parser.add_argument("--measures", nargs="*", default=[*MEASURES], choices=[*MEASURES], help="all by default")
    parser.add_argument("--repeat", type=int, default=5, help="turns that are counted")
    parser.add_argument("--work", type=Path, help="folder of the caches, which stay there; a temporary one by default")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with _sides(arguments.before, arguments.work) as sides:
        for turn in range(arguments.repeat + 1):
            for name in arguments.measures:
                for side in sides if not turn or name != ONCE else ():
                    for figure, value in MEASURES[name](side).items():
                        print(f"turn {turn}, {side.name}: {figure} {value:.3g}", flush=True)
                        if turn or name == ONCE:
                            found[side.name][figure].append(value)
    figures = {side: {name: round(median(values), 3) for name, values in own.items()} for side, own in found.items()}
    after, before = figures["after"], figures.get("before", {})
    ratios = {name: round(before[name] / after[name], 2) for name in before}
    result = {**after, "before": before, "ratios": ratios, "commit_before": arguments.before, "turns": arguments.repeat}
    print(json.dumps(result, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


@contextmanager
def _sides(before: str | None, work: Path | None) -> Iterator[list[Side]]:
    """Give the codes to measure, each in a new checkout, so that nothing of either is compiled yet."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        work = scratch if work is None else work.resolve()
        articles = work / "articles"
        if not articles.exists():
            write_articles(articles)
        commits = {"before": before, "after": "HEAD"} if before else {"after": "HEAD"}
        sides = []
        for name, commit in commits.items():
            git = ["git", "-C", str(ROOT), "worktree"]
            code = scratch / f"{name}-code"
            subprocess.run([*git, "add", "--quiet", "--detach", str(code), str(commit)], check=True)
            stack.callback(subprocess.run, [*git, "remove", "--force", str(code)], check=True)
            sides.append(Side(name, code, work / name, articles))
        yield sides


def _first_expansion(record: Path, process: subprocess.Popen[bytes]) -> float:
    """Return the moment when a record has a line beyond the nucleus, or the process ends."""
    while not record.exists() or record.read_bytes().count(b"\n") < 2:
        if os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            break
        time.sleep(WAIT)
    return time.perf_counter()


def write_articles(folder: Path) -> None:
    """Write a corpus folder of articles of made-up words, without splits.

    Words are as frequent as their rank says (Zipf), and each article prefers some of them, so that articles differ.
    """
    draws = random.Random(0)
    syllables = [first + vowel for first in "bdfgklmnprst" for vowel in "aeiou"]
    words = list(dict.fromkeys("".join(draws.choices(syllables, k=draws.randint(1, 4))) for _ in range(20_000)))
    shares = list(itertools.accumulate(1 / rank for rank in range(1, len(words) + 1)))
    titles = [f"{word.capitalize()} {number}" for number, word in enumerate(draws.sample(words, ARTICLES))]
    folder.mkdir(parents=True)
    with (folder / "passages.jsonl").open("w", encoding="utf-8") as file:
        for title in titles:
            own = draws.sample(words, 200)
            for _ in range(PASSAGES):
                said = draws.choices(words, cum_weights=shares, k=WORDS - WORDS // 3) + draws.choices(own, k=WORDS // 3)
                draws.shuffle(said)
                file.write(json.dumps({"topic": title, "text": f"{title} {' '.join(said)}."}) + "\n")
    topics = "".join(
        json.dumps({"title": title, "category": f"Part {at % 10}"}) + "\n" for at, title in enumerate(titles)
    )
    (folder / "topics.jsonl").write_text(topics, encoding="utf-8")
    links = {(title, other) for title in titles for other in draws.sample(titles, LINKS) if title != other}
    (folder / "links.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in sorted(links)), encoding="utf-8")


if __name__ == "__main__":
    main()
