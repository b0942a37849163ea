"""Crawl from broken and hostile sites, and write what time and memory they take to docs/results/robustness.md.

    PYTHONPATH=. python benchmarks/hostile_site.py --json docs/results/hostile_site.json

The sites are HTTP servers on this machine; kgrl has its usual limits. Each crawl is a process of its own, whose peak of
memory is compared with that before the first request. It takes some three minutes, most of them waiting for slow sites.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.pages import fill
from kgrl.data.wikimedia.crawl import crawl
from kgrl.data.wikimedia.wikipedia import MediaWiki
from kgrl.errors import KgrlError
from kgrl.system.files import write_json, write_text
from tests.support.hostile_site import HostileSite
from tests.support.malformed_answers import MALFORMED

PAGE = Path("docs/results/robustness.md")
SITES = {
    "a body without end": ("endless", 1),
    "gzip, 6 MB that unpack to 6 GB": ("bomb", 6_000),
    "a page of 300 MB": ("large", 300),
    "a page of 25 MB": ("large", 25),
    "a byte of the body each second": ("slow-body", 1),
    "a byte of the headers each second": ("slow-headers", 1),
    "connections that are cut": ("cut", 1),
    "redirects without end": ("onward", 1),
    "a list that goes on for ever": ("continues", 1),
}
"""Mode and size of each site."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, default=Path("docs/results/hostile_site.json"))
    arguments = parser.parse_args()
    told = {}
    for name, (mode, megabytes) in SITES.items():
        with HostileSite(drip_seconds=1.0, text_megabytes=megabytes) as site:
            (told[name],) = apart([site.url(mode)])
        print(name, json.dumps(told[name]), flush=True)
    with HostileSite(MALFORMED) as site:
        answers = apart([site.url(name) for name in MALFORMED])
    told[f"{len(MALFORMED)} malformed answers"] = {
        "seconds": max(answer["seconds"] for answer in answers),
        "mib": max(answer["mib"] for answer in answers),
        "outcome": ", ".join(sorted({answer["outcome"].split(":")[0] for answer in answers})),
    }
    write_json(arguments.json, told)
    write_text(PAGE, fill(PAGE.read_text(encoding="utf-8"), "sites", table(told)))


def apart(urls: list[str]) -> list[dict[str, Any]]:
    """Return time, memory and outcome of some crawls, in a process of their own."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=work, args=(urls, sender))
    child.start()
    told: list[dict[str, Any]] = receiver.recv()
    child.join()
    return told


def work(urls: list[str], sender: Any) -> None:
    """Crawl, and send what came of it."""
    sender.send([crawled(url) for url in urls])


def crawled(url: str) -> dict[str, Any]:
    """Crawl a page from a site."""
    with tempfile.TemporaryDirectory() as folder:
        source = MediaWiki(url, cache=Path(folder) / "pages.db")
        before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
        try:
            corpus = crawl(source, ["Logic"], 1)
            outcome = f"read: {len(corpus)} passages"
        except KgrlError as error:
            outcome = f"named error: {str(error).partition('cannot be asked: ')[2]}"
        seconds = time.monotonic() - began
        source.close()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return {"seconds": round(seconds, 1), "mib": round(grown), "outcome": outcome}


def table(told: dict[str, dict[str, Any]]) -> str:
    """Return the table of sites."""
    head = "| site | seconds | memory, MiB | outcome |\n|---|---|---|---|"
    rows = [f"| {name} | {r['seconds']:.1f} | {r['mib']} | {r['outcome']} |" for name, r in told.items()]
    return "\n".join([head, *rows]) + "\n"


if __name__ == "__main__":
    main()
