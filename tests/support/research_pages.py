"""What tests of the research queue share: made-up pages, a source of them, and an encoder that needs no model."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from kgrl.errors import KgrlError
from kgrl.research import Page
from kgrl.research.queue import ResearchQueue
from kgrl.research.worker import Worker
from kgrl.retrieval.encoder import Encoder

__all__ = ["Pages", "TinyEncoder", "finish", "made_up"]

_NOUNS = ["river", "stone", "forest", "engine", "letter", "theorem", "vessel", "market", "season", "signal", "garden"]
_VERBS = ["shapes", "carries", "counts", "follows", "divides", "repairs", "covers", "reads"]


class TinyEncoder(Encoder):
    """Unit vectors of four numbers that are drawn by a hash of the text, the same in every process."""

    dimensions = 4

    def __init__(self, fingerprint: str = "tiny") -> None:
        self.fingerprint = fingerprint

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode texts."""
        drawn = [np.random.default_rng(zlib.crc32(text.encode())).normal(size=self.dimensions) for text in texts]
        rows = np.array(drawn, dtype=np.float32).reshape(len(texts), self.dimensions)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


class Pages:
    """Gives made-up pages.

    Args:
        seconds: How long each takes.
        redirects: Titles that lead to another.
        missing: Titles without a page.
        texts: Texts of some titles; others get a made-up one.
        broken: How often each title cannot be had before it can.
    """

    def __init__(
        self,
        seconds: float = 0.0,
        redirects: dict[str, str] | None = None,
        missing: Sequence[str] = (),
        texts: dict[str, str] | None = None,
        broken: dict[str, int] | None = None,
    ) -> None:
        self.seconds, self.redirects, self.missing = seconds, redirects or {}, missing
        self.texts, self.broken = texts or {}, dict(broken or {})
        self.asked: list[str] = []

    def page(self, title: str) -> Page | None:
        """Return the page that a title leads to."""
        self.asked.append(title)
        time.sleep(self.seconds)
        if self.broken.get(title, 0):
            self.broken[title] -= 1
            raise KgrlError("the site cannot be reached")
        title = self.redirects.get(title, title)
        return None if title in self.missing else Page(title, self.texts.get(title) or made_up(title), fetched=1.0)


def made_up(title: str, sentences: int = 16) -> str:
    """Prose about a title that no other title has."""
    rng = np.random.default_rng(zlib.crc32(title.encode()))
    return " ".join(
        f"In the year {rng.integers(900, 2000)} the {rng.choice(_NOUNS)} of {title} {rng.choice(_VERBS)} its "
        f"{rng.integers(2, 10_000)} {rng.choice(_NOUNS)}s near the {rng.choice(_NOUNS)} of {rng.integers(10_000)}."
        for _ in range(sentences)
    )


def finish(queue: ResearchQueue, source: Pages, until: Callable[[], bool] = lambda: False, seconds: float = 60) -> None:
    """Do the jobs of a queue in this thread until nothing is under way."""
    worker, deadline = Worker(queue, source, TinyEncoder()), time.monotonic() + seconds
    while queue.busy() and not until():
        assert time.monotonic() < deadline, queue.status()
        if not worker.step():
            queue.board.tend(worker.messages)  # what waits for a retry or a dead worker is not waited for
            time.sleep(0.005)
