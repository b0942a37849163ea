"""Kill every long command by SIGKILL at random moments, start it again, and compare what it leaves, bit for bit.

    PYTHONPATH=. python benchmarks/survival.py --kills 50 --json docs/results/survival.json

Each command is first carried out undisturbed. Then trials follow: five kills, each at a random moment within the time
that the command takes, then a start that nobody disturbs. The folder must be the same as the undisturbed one, times
aside, and nothing may be left beside it. The workers of live research have a script of their own (`kills.py`). It takes
about half an hour on one core and needs the encoder.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kgrl.cli import main as kgrl
from kgrl.data.folder import save_folder
from kgrl.data.wikimedia.crawl import crawl
from kgrl.data.wikimedia.page_cache import PageCache
from kgrl.errors import KgrlError
from kgrl.research.page import Page
from kgrl.system.files import write_json
from kgrl.testing.kills import contents, difference, survive
from kgrl.testing.samples import sample_corpus

KILLS_A_TRIAL = 5
SMALL = ["--learner", "scratch", "--budget-tokens", "3000", "--expansion-tokens", "200", "--nucleus-size", "2"]
Work = Callable[[Path], int]


class Pages:
    """A source of made-up pages that keeps what it has given in a cache, as a live site's does."""

    def __init__(self, cache: Path) -> None:
        self.cache = PageCache(cache)

    def page(self, title: str) -> Page | None:
        """Return a page that links to three others."""
        if (kept := self.cache.get("site", title)) is not None:
            return kept[0]
        time.sleep(0.005)
        n = int(title.split()[1])
        links = tuple(f"Page {(n * k + 1) % 400}" for k in (2, 3, 5))
        text = f"{title} is about {links[0]}. It has {n} words. Nobody has counted them. " * 3
        page = Page(title, text, links, ("Pages",), 1.0)
        self.cache.put("site", title, page)
        return page


def crawled(folder: Path) -> int:
    """Crawl a made-up site into a corpus folder."""
    if not (folder / "out").exists():
        save_folder(crawl(Pages(folder.parent / f"{folder.name}.db"), ["Page 0"], 120), folder / "out")
    return 0


def ran(folder: Path) -> int:
    """Carry out a run, or resume it."""
    begun = (folder / "out" / "config.yaml").exists()
    corpus = ["--corpus", str(folder.parent / "corpus")]
    return kgrl(["run", "--resume", str(folder / "out")] if begun else
                ["run", *corpus, *SMALL, "--out", str(folder / "out"), "--exam-topics", "8"])  # fmt: skip


def trained(folder: Path) -> int:
    """Train a policy on the learner itself, or find it finished."""
    if (folder / "out" / "policy.json").exists():
        return 0
    sizes = ["--learner", "scratch", "--steps", "96", "--envs", "2", "--slots", "4", "--budget-tokens", "600"]
    corpus = ["--corpus", str(folder.parent / "corpus"), "--expansion-tokens", "60", "--probe-topics", "4"]
    return kgrl(["train", *corpus, *sizes, "--nucleus-size", "2", "--out", str(folder / "out")])


def benched(folder: Path) -> int:
    """Carry out the cells of a small benchmark that are missing."""
    cells = ["--tasks", "coverage", "--corpus", str(folder.parent / "corpus"), "--learner", "scratch"]
    agents = ["--agents", "random", "closure", "--seeds", "1", "--budget-tokens", "800", "--workers", "1"]
    return kgrl(["bench", *cells, *agents, "--out", str(folder / "out")])


def indexed(folder: Path) -> int:
    """Index passages, or go on."""
    return kgrl(["research", "index", str(folder.parent / "passages.jsonl"), "--out", str(folder / "out")])


def imported(folder: Path) -> int:
    """Import a dump into a corpus folder, or go on."""
    if (folder / "out").exists():
        return 0
    dump = str(folder.parent / "wiki.xml")
    return kgrl(["data", "import-dump", dump, "--out", str(folder / "out"), "--workers", "1"])


WORKS: dict[str, Work] = {
    "run": ran, "train": trained, "bench": benched, "crawl": crawled, "index": indexed, "import-dump": imported,
}  # fmt: skip


def prepare(folder: Path) -> None:
    """Write what the commands read."""
    save_folder(sample_corpus(), folder / "corpus")
    lines = (json.dumps({"text": f"Sentence {n} is about {n * n}. It ends here."}) for n in range(600))
    (folder / "passages.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    pages = "".join(
        f"<page><title>Page {n}</title><ns>0</ns><id>{n}</id><revision><id>{n}</id><timestamp>2026-01-01T00:00:00Z"
        f"</timestamp><text>Page {n} is about [[Page {n + 1}]]. It has {n} words. Nobody counts.</text>"
        "</revision></page>\n"
        for n in range(1, 1_500)
    )
    head = '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="en">\n'
    (folder / "wiki.xml").write_text(f"{head}{pages}</mediawiki>\n", encoding="utf-8")


def try_kills(name: str, kills: int, folder: Path, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Kill a command until it was killed so often, and yield the counts after each trial."""
    work = WORKS[name]
    began = time.perf_counter()
    (folder / "whole").mkdir()
    survive(lambda: work(folder / "whole"), 0, 0.0, rng)
    # Again: the first time fills caches, and a kill is to hit the work.
    shutil.rmtree(folder / "whole")
    (folder / "whole").mkdir()
    began = time.perf_counter()
    survive(lambda: work(folder / "whole"), 0, 0.0, rng)
    seconds, whole = time.perf_counter() - began, contents(folder / "whole")
    told: dict[str, Any] = {"seconds": round(seconds, 2), "kills": 0, "trials": 0, "differ": [], "errors": []}
    while told["kills"] < kills and told["trials"] < 2 * kills:
        place = folder / f"trial-{told['trials']}"
        place.mkdir()
        told["trials"] += 1
        try:
            told["kills"] += survive(lambda at=place: work(at), KILLS_A_TRIAL, seconds, rng)  # type: ignore[misc]
            told["differ"] += difference(whole, contents(place))
        except KgrlError as error:
            told["errors"].append(str(error))
        shutil.rmtree(place)
        yield told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50, help="kills of each command")
    parser.add_argument("--commands", nargs="+", default=list(WORKS), choices=list(WORKS))
    parser.add_argument("--json", type=Path, help="results by command; others that are there are kept")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # a fork keeps no threads
    for name in arguments.commands:
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            prepare(folder)
            for told in try_kills(name, arguments.kills, folder, np.random.default_rng(0)):
                print(name, json.dumps(told), flush=True)
                if arguments.json:  # after each trial, so that an interruption loses one at most
                    known = json.loads(arguments.json.read_text()) if arguments.json.exists() else {}
                    write_json(arguments.json, {**known, name: told})


if __name__ == "__main__":
    main()
