"""Crawl a real MediaWiki undisturbed, and again with kills: is the corpus the same, byte for byte?

    KGRL_DATA=... python benchmarks/crawl.py --pages 2000 --json docs/results/crawl.json

The site is Debian's MediaWiki on this machine. Its articles are Wikispeedia's nearest to the nucleus, with their text
and links; half of the links to every tenth article go through a redirect, and links to articles that the site lacks
are red. `kgrl data crawl` is killed with SIGKILL at random moments, spread over the crawl. Figures are seconds,
requests and whether both folders are equal. It takes about five minutes, of which setting up the site takes one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kgrl.corpus import Corpus
from kgrl.data import load_corpus
from kgrl.system.files import write_json

if TYPE_CHECKING:
    from tests.support.mediawiki import MediaWikiServer

PAGES, KILLS, RATE = 2_000, 3, 1_000.0
NUCLEUS = ("Physics", "Mathematics")
REDIRECTED = 10
"""One article in so many has a redirect."""
LOOK_SECONDS = 0.02
"""Seconds between two looks at the progress of a crawl that is to be killed."""
MARKUP = re.compile(r"[&<>\[\]{}|'~=_]|^[*#:; -]")


def nearest(corpus: Corpus, count: int) -> list[int]:
    """Return the topics nearest to the nucleus along links, the nucleus included."""
    waiting = deque(corpus.graph.index(title) for title in NUCLEUS)
    found = dict.fromkeys(waiting)
    while waiting and len(found) < count:
        for target in corpus.graph.out(waiting.popleft()).tolist():
            if target not in found and len(found) < count:
                found[target] = None
                waiting.append(target)
    return list(found)


def wiki_pages(corpus: Corpus, topics: Sequence[int]) -> dict[str, str]:
    """Return the wikitext of these articles and of the redirects to some of them, by title."""
    titles = corpus.graph.titles
    redirected = {topic: f"{titles[topic]} (redirect)" for topic in topics[::REDIRECTED]}
    pages = {name: f"#REDIRECT [[{titles[topic]}]]" for topic, name in redirected.items()}
    texts: dict[int, list[str]] = {topic: [] for topic in topics}
    for topic, text in zip(corpus.topics.tolist(), corpus.texts, strict=True):
        if topic in texts:
            texts[topic].append(text)
    for topic in topics:
        # Half of the topics link through the redirect, the others directly: both must come out as one link.
        targets = {
            titles[target]: redirected[target] if target in redirected and topic % 2 else titles[target]
            for target in corpus.graph.out(topic).tolist()
        }
        pages[titles[topic]] = article("\n\n".join(texts[topic]), targets, corpus.graph.categories[topic])
    return pages


def article(text: str, targets: dict[str, str], category: str) -> str:
    """Return wikitext that links the first mention of each title; titles without a mention are listed at the end."""
    parts, listed = [text], []
    # Longer titles first, so that "Set theory" is not linked as "Set" and the remaining word.
    for title, target in sorted(targets.items(), key=lambda item: (-len(item[0]), item)):
        for at in range(0, len(parts), 2):  # between them are links
            before, mention, after = parts[at].partition(title)
            if mention:
                parts[at : at + 1] = [before, f"[[{target}|{title}]]", after]
                break
        else:
            listed.append(f"* [[{target}|{title}]]")
    # Characters with a meaning in wikitext are written as entities, outside of links only.
    parts[::2] = [MARKUP.sub(lambda found: f"&#{ord(found.group())};", part) for part in parts[::2]]
    also = ["== See also ==", *listed] if listed else []
    return "\n".join(["".join(parts), *also, f"[[Category:{category or 'Other'}]]"])


@contextlib.contextmanager
def serving(pages: dict[str, str]) -> Iterator[MediaWikiServer]:
    """Serve a MediaWiki with these pages."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests.support.mediawiki import MediaWikiServer

    with tempfile.TemporaryDirectory() as folder, MediaWikiServer(Path(folder) / "wiki", pages) as site:
        yield site


class Crawl:
    """`kgrl data crawl` in a process of its own, with a folder and a cache of its own."""

    def __init__(self, site: MediaWikiServer, folder: Path, pages: int) -> None:
        self.out, self.cache, self.pages = folder / "corpus", folder / "pages.db", pages
        where = ["--url", site.api_url, "--out", str(self.out), "--cache", str(self.cache)]
        what = ["--nucleus", *NUCLEUS, "--topics", str(pages), "--rate", str(RATE)]
        self.command = [sys.executable, "-c", "from kgrl.cli import main; raise SystemExit(main())"]
        self.command += ["data", "crawl", *what, *where]
        self.log = site.folder / "server.log"

    def start(self) -> subprocess.Popen[bytes]:
        """Start it, in a session of its own, so that all of it can be killed."""
        return subprocess.Popen(self.command, start_new_session=True, stdout=subprocess.DEVNULL)

    def fetched(self) -> int:
        """Return the number of titles in the cache."""
        if not self.cache.exists():
            return 0
        with contextlib.closing(sqlite3.connect(f"file:{self.cache}?mode=ro", uri=True, timeout=60)) as connection:
            try:
                return int(connection.execute("select count(*) from pages").fetchone()[0])
            except sqlite3.OperationalError:  # it is being made
                return 0

    def finish(self) -> None:
        """Start it and wait until it ends."""
        process = self.start()
        if process.wait():
            raise RuntimeError(f"the crawl ended with {process.returncode}")

    def start_and_kill(self, at: int) -> int:
        """Start it, kill it once so many titles are fetched, and return the number in its cache."""
        process = self.start()
        while self.fetched() < at:
            if process.poll() is not None:
                raise RuntimeError(f"the crawl ended with {process.returncode} before it was killed")
            time.sleep(LOOK_SECONDS)
        os.killpg(process.pid, signal.SIGKILL)  # the whole session: the crawl has threads and could have children
        process.wait()
        if self.out.exists():
            raise RuntimeError("the crawl was over before it was killed")
        return self.fetched()

    def requests(self) -> int:
        """Return the number of requests that the site has answered so far."""
        return self.log.read_text(errors="replace").count("GET /api.php")


def measure(site: MediaWikiServer, folder: Path, pages: int, kills: int) -> dict[str, Any]:
    """Crawl undisturbed and with kills, and return figures on both."""
    whole, parts = Crawl(site, folder / "whole", pages), Crawl(site, folder / "parts", pages)
    before, began = whole.requests(), time.monotonic()
    whole.finish()
    seconds, requests = time.monotonic() - began, whole.requests() - before
    drawn = random.Random(0)
    # One moment in each of equal parts of the crawl, so that kills are spread over it.
    moments = [round(whole.fetched() * (kill + drawn.random()) / (kills + 1)) for kill in range(kills)]
    before, began = parts.requests(), time.monotonic()
    killed_at = [parts.start_and_kill(max(1, moment)) for moment in moments]
    parts.finish()
    corpus = load_corpus(str(whole.out))
    return {
        "pages": len(corpus.graph),
        "links": corpus.graph.n_links,
        "passages": len(corpus),
        "kills": kills,
        "titles_fetched": whole.fetched(),
        "killed_at": killed_at,
        "equal": contents(whole.out) == contents(parts.out),
        "undisturbed": {"seconds": seconds, "requests": requests},
        "killed": {"seconds": time.monotonic() - began, "requests": parts.requests() - before},
    }


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pages", type=int, default=PAGES, help="articles of the site, all of which are crawled")
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    arguments = parser.parse_args()
    corpus = load_corpus("wikispeedia")
    pages = wiki_pages(corpus, nearest(corpus, arguments.pages))
    began = time.monotonic()
    with serving(pages) as site, tempfile.TemporaryDirectory() as folder:
        made = time.monotonic() - began
        result = {**measure(site, Path(folder), arguments.pages, arguments.kills), "site_seconds": made}
    print(json.dumps(result, indent=2))
    if arguments.json:
        write_json(arguments.json, result)


if __name__ == "__main__":
    main()
