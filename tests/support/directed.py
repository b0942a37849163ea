"""Corpora with prerequisites, made of others."""

from __future__ import annotations

from kgrl.corpus import Corpus

__all__ = ["directed", "needs_of"]


def directed(corpus: Corpus, share: int = 2) -> Corpus:
    """Return the corpus with every second link to a larger number (or every `share`-th) as a prerequisite."""
    sources, targets = corpus.graph.links()
    upward = sources < targets
    graph = corpus.graph.with_prerequisites(sources[upward][::share], targets[upward][::share])
    return Corpus(corpus.name, graph, corpus.texts, corpus.topics, corpus.splits, corpus.questions)


def needs_of(corpus: Corpus) -> dict[int, set[int]]:
    """The prerequisites of each topic that has some."""
    needs: dict[int, set[int]] = {}
    for source, target in zip(*(ends.tolist() for ends in corpus.graph.prerequisites()), strict=True):
        needs.setdefault(target, set()).add(source)
    return needs
