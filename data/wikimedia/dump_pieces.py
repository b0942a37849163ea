"""Parser of a batch of a dump's pages, run in its own process: markup to passages."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kgrl.corpus import cut, near_duplicates, split_passages, wording
from kgrl.data.wikimedia.wiki_site import WikiSite, folded
from kgrl.data.wikimedia.wikitext import read_wikitext
from kgrl.system.files import write_text
from kgrl.system.prose import clean_text

__all__ = ["RawPage", "parse_batch"]

_SECONDS = 20
"""Time limit for one page; a page that takes longer is left out, with that as the reason."""


class RawPage(NamedTuple):
    """A page of a dump.

    Args:
        title: Its title.
        text: Its markup, `""` for a redirect.
        redirect: The title it redirects to, None where it does not.
    """

    title: str
    text: str
    redirect: str | None = None


def parse_batch(pages: list[RawPage], piece: Path, site: WikiSite) -> None:
    """Parse pages and write them as a piece: one JSON object a line, in order.

    A line has a `title`, and either `redirect`, or `left_out` with the reason, or `links`, `category`, `texts`,
    `splits`, `templates` and `wording`, a hash of each passage that is equal for passages with the same words.
    Near-duplicates across splits within the piece are dropped.
    """
    records = [_record(page, site) for page in pages]
    texts = [text for record in records for text in record.get("texts", ())]
    splits = np.array([split for record in records for split in record.get("splits", ())], dtype=np.uint8)
    # One call for all pages, whose result is then dealt out page by page.
    kept = iter((~near_duplicates(texts, splits)).tolist())
    lines = []
    for record in records:
        if "texts" in record:
            rows = [row for row in range(len(record["texts"])) if next(kept)]
            for name in ("texts", "splits"):
                record[name] = [record[name][row] for row in rows]
            record["wording"] = [wording(text) for text in record["texts"]]
        lines.append(json.dumps(record, ensure_ascii=False) + "\n")
    write_text(piece, "".join(lines))


def _record(page: RawPage, site: WikiSite) -> dict[str, Any]:
    if page.redirect is not None:
        return {"title": page.title, "redirect": page.redirect}
    if not page.text.strip():
        return {"title": page.title, "left_out": "no text"}
    try:
        with _limited():
            article = read_wikitext(page.text, site)
    except TimeoutError:
        return {"title": page.title, "left_out": f"took longer than {_SECONDS} s"}
    if article.disambiguation:
        return {"title": page.title, "left_out": "disambiguation"}
    texts = cut(clean_text(article.text), language=site.language or "en")
    if not texts:
        return {"title": page.title, "left_out": "no text"}
    splits = split_passages(page.title, texts).tolist()
    category = article.categories[0] if article.categories else ""
    # The wiki's own list of disambiguation templates may come after the pages that use them.
    templates = sorted({folded(name) for name in article.templates})
    about = {"title": page.title, "links": article.links, "category": category, "templates": templates}
    return {**about, "texts": texts, "splits": splits}


@contextmanager
def _limited() -> Iterator[None]:
    """Raise a `TimeoutError` if the body takes too long.

    Markup is read in time proportional to its length; this is for what else may be slow.
    """

    def end(number: int, frame: object) -> None:
        """Handle the alarm."""
        raise TimeoutError

    # Workers run this in their main thread, where alone signals can be handled.
    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
