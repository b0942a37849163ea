"""Measure how fast a dump becomes a corpus, and project the hours and the disk space of English Wikipedia.

    python benchmarks/dump.py --pages 6000 --json docs/results/dump.json

The dump is made of Wikispeedia's articles: their real text and links, with an infobox, a table and a reference with a
template behind every passage; articles are repeated under other titles until there are enough. The projection scales
with bytes of markup, and assumes 7 million articles of 8,000 bytes; redirects come on top and cost only reading. For
3,000 pages it takes about two minutes.
"""

from __future__ import annotations

import argparse
import bz2
import json
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from kgrl.corpus import Corpus
from kgrl.data import load_corpus
from kgrl.data.wikimedia.dump import import_dump
from kgrl.system.files import write_json

_ARTICLES, _ARTICLE_BYTES = 7_000_000, 8_000
_HEAD = (
    '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="en"><siteinfo><sitename>W'
    '</sitename><dbname>w</dbname><namespaces><namespace key="0" /></namespaces></siteinfo>\n'
)
_PAGE = (
    "<page><title>{title}</title><ns>0</ns><id>{id}</id><revision><id>{id}</id><timestamp>2026-01-01T00:00:00Z</timestamp>"
    "<text>{text}</text></revision></page>\n"
)
_REFERENCE = (
    "<ref>{{{{cite book |last=Author |title=On {title} |year=1999 |publisher=Press |isbn=0-{n} |page={n}}}}}</ref>"
)
_INFOBOX = (
    "{{{{Infobox thing\n| name = {title}\n| image = {title}.jpg\n| kind = [[Thing]]\n"
    "| date = {{{{start date|1900|1|1}}}}\n}}}}\n"
)
_TABLE = '{| class="wikitable"\n! Year !! Number\n|-\n| 1900 || 12\n|-\n| 1950 || 345\n|}\n'


def wikitext(corpus: Corpus, topic: int, copy: int) -> str:
    """Return an article's markup: its passages with a reference each, its links, an infobox, a table and a category."""
    title = corpus.graph.titles[topic]
    suffix = "" if copy == 0 else f" ({copy})"
    links = [f"[[{corpus.graph.titles[t]}{suffix}|{corpus.graph.titles[t]}]]" for t in corpus.graph.out(topic)]
    first, last = corpus.topics.searchsorted([topic, topic + 1])
    texts = [f"{corpus.texts[i]}{_REFERENCE.format(title=title, n=i)}" for i in range(first, last)]
    # Links are spread over the passages, as in an article.
    for number, link in enumerate(links):
        texts[number % len(texts)] += f" See {link}." if texts else ""
    sections = [f"== Part {n} ==\n{text}" if n % 6 == 5 else text for n, text in enumerate(texts)]
    category = f"[[Category:{corpus.graph.categories[topic] or 'All'}]]"
    return _INFOBOX.format(title=title) + "\n\n".join(sections) + f"\n{_TABLE}{category}"


def pages(corpus: Corpus, count: int) -> Iterator[str]:
    """Give the pages of the dump as XML."""
    with_text = [
        t for t in range(len(corpus.graph)) if corpus.topics.searchsorted(t, "right") > corpus.topics.searchsorted(t)
    ]
    for number in range(count):
        topic, copy = with_text[number % len(with_text)], number // len(with_text)
        title = corpus.graph.titles[topic] + ("" if copy == 0 else f" ({copy})")
        yield _PAGE.format(title=escape(title), id=number + 1, text=escape(wikitext(corpus, topic, copy)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=6_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    corpus = load_corpus("wikispeedia")
    with tempfile.TemporaryDirectory() as temporary:
        dump, markup = Path(temporary) / "wiki.xml.bz2", 0
        with bz2.open(dump, "wt", encoding="utf-8") as file:
            file.write(_HEAD)
            for page in pages(corpus, args.pages):
                markup += len(page.encode())
                file.write(page)
            file.write("</mediawiki>\n")
        began = time.perf_counter()
        done = import_dump(dump, Path(temporary) / "out", workers=args.workers)
        seconds = time.perf_counter() - began
        disk = sum(path.stat().st_size for path in (Path(temporary) / "out").rglob("*") if path.is_file())
        result = figures(done.pages, done.topics, seconds, markup, dump.stat().st_size, disk, args.workers)
    print(json.dumps(result, indent=1))
    if args.json:
        write_json(args.json, result)


def figures(
    pages: int, topics: int, seconds: float, markup: int, packed: int, disk: int, workers: int
) -> dict[str, Any]:
    """Return the measured figures and the projection."""
    scale = _ARTICLES * _ARTICLE_BYTES / markup
    reader = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    worker = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**10
    return {
        "pages": pages,
        "topics": topics,
        "workers": workers,
        "markup_bytes_per_page": markup / pages,
        "packed_mib": packed / 2**20,
        "seconds": seconds,
        "pages_per_second": pages / seconds,
        "markup_mib_per_second": markup / 2**20 / seconds,
        "reader_peak_mib": reader,
        "largest_worker_peak_mib": worker,
        "disk_bytes_per_markup_byte": disk / markup,
        "english_wikipedia": {
            "articles": _ARTICLES,
            "hours": seconds * scale / 3600,
            "corpus_gib": disk * scale / 2**30,
            # While the workers' pieces are put together, pieces and corpus are both on the disk.
            "corpus_and_pieces_gib": 2.2 * disk * scale / 2**30,
        },
    }


if __name__ == "__main__":
    main()
