"""Measure concepts mined from text: how many are titles of articles, and how many of their links are links of these.

    python benchmarks/concepts_found.py --json docs/results/concepts.json --page docs/results/links.md

A thousand articles of Wikispeedia (`$KGRL_DATA/wikispeedia`) without their titles, as `kgrl data build --topics
concepts` reads them. A concept is right if it is the title of one of the 4,604 articles, but for case, parentheses and
the plural. Links count between concepts that are right: a link is right if the articles are linked in either direction.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from numpy.typing import NDArray
from pages import fill

from kgrl.corpus import Corpus
from kgrl.data import load_corpus
from kgrl.data.building.concepts import ConceptTopics, concept_topics
from kgrl.data.building.document import Document, Section
from kgrl.data.building.hyperlinks import Ends
from kgrl.data.building.mentions import mention_links
from kgrl.data.building.near import NearTopics
from kgrl.data.building.passages import write_passages
from kgrl.data.building.similar import nearest_links
from kgrl.data.building.spool import Spool, TextFile
from kgrl.retrieval.encoder import Encoder
from kgrl.system.files import write_json, write_text
from kgrl.system.words import canonical

BEST = (100, 200, 500)


@dataclass(frozen=True)
class ConceptsFound:
    """Measure the concepts mined from text.

    Args:
        articles: Number of articles, at equal distances in the order of titles.
        root: Folder of the Wikispeedia archives; by default `$KGRL_DATA/wikispeedia`.
        encoder: Sentence encoder of the similarities.
        json: Write the figures to this file.
        page: Write the tables into this page.
    """

    articles: int = 1_000
    root: Path | None = None
    encoder: str = "static"
    json: Path | None = None
    page: Path | None = None


def main(command: ConceptsFound) -> None:
    corpus = load_corpus("wikispeedia", root=command.root)
    chosen = np.unique(np.linspace(0, len(corpus.graph) - 1, command.articles).astype(np.int32))
    with tempfile.TemporaryDirectory() as folder:
        result = figures(corpus, chosen, Path(folder), Encoder(command.encoder))
    text = tables(result)
    print(text)
    if command.json:
        write_json(command.json, result)
    if command.page:
        write_text(command.page, fill(command.page.read_text(encoding="utf-8"), "concepts_found", text))


def figures(corpus: Corpus, chosen: NDArray[np.int32], folder: Path, encoder: Encoder) -> dict[str, Any]:
    """Mine the concepts of some articles, link them, and compare both with what is known."""
    spool, passages = Spool(folder / "documents"), TextFile(folder / "texts")
    for article in chosen.tolist():
        spool.add(Document(str(article), sections=[Section(text=document(corpus, article))]))
    concepts = concept_topics("measured", spool, range(len(spool)), passages, "en")
    texts = concepts.texts(spool)
    cut = concepts.passages(spool, "en")
    embeddings = write_passages(folder / "passages.jsonl", concepts.titles, cut, encoder).embeddings
    mentions = mention_links(concepts.titles, texts, embeddings)
    both = tuple(np.concatenate(ends) for ends in zip(mentions, concepts.links, strict=True))
    near = nearest_links(NearTopics(embeddings, folder), *both)
    names = articles_by_name(corpus.graph.titles)
    article_of = np.array([article_named(title, names) for title in concepts.titles])
    kinds = {"mentions": mentions, "together": concepts.links, "mentions or together": both, "neighbours": near}
    return {
        "articles": len(chosen),
        "counts": concepts.counts,
        "concepts": len(concepts),
        "titles": int((article_of >= 0).sum()),
        "best": {str(n): round(float((article_of[:n] >= 0).mean()), 4) for n in BEST if n < len(concepts)},
        "articles_found": round(float(np.isin(chosen, article_of).mean()), 4),
        "own_passages": round(own_share(concepts, article_of, chosen), 4),
        "links": {kind: scored(ends, article_of, corpus) for kind, ends in kinds.items()},
        "some": concepts.titles[:10] + concepts.titles[len(concepts) // 2 :][:10],
    }


def document(corpus: Corpus, article: int) -> str:
    """Return the text of an article."""
    first, last = np.searchsorted(corpus.topics, [article, article + 1]).tolist()
    return "\n\n".join(corpus.texts[i] for i in range(first, last))


def articles_by_name(titles: Sequence[str]) -> dict[str, int]:
    """Return articles by their titles without case and parentheses."""
    return {bare(title): article for article, title in reversed(list(enumerate(titles)))}


def bare(title: str) -> str:
    """Return a title without case and parentheses."""
    return canonical(re.sub(r"\s*\([^()]*\)$", "", title)).casefold()


def article_named(concept: str, names: Mapping[str, int]) -> int:
    """Return the article that a concept is the title of, or -1."""
    name = bare(concept)
    forms = (name, f"{name}s", f"{name}es", name.removesuffix("s"), name.removesuffix("es"))
    return next((names[form] for form in forms if form in names), -1)


def own_share(concepts: ConceptTopics, article_of: NDArray[np.int64], chosen: NDArray[np.int32]) -> float:
    """Return the share of concepts with most of their text from their own article, of those that are titles."""
    right = np.isin(article_of, chosen)
    return float((chosen[concepts.documents[right]] == article_of[right]).mean())


def scored(ends: Ends, article_of: NDArray[np.int64], corpus: Corpus) -> dict[str, Any]:
    """Return how many links there are, how many between articles, and how many of these are links of the articles."""
    sources, targets = article_of[ends[0]], article_of[ends[1]]
    known = (sources >= 0) & (targets >= 0) & (sources != targets)
    found = unordered(sources[known], targets[known])
    true = unordered(*corpus.graph.links())
    among = np.isin(true >> 32, article_of) & np.isin(true & 0xFFFFFFFF, article_of)
    right = int(np.isin(found, true).sum())
    return {
        "found": len(ends[0]),
        "between_articles": len(found),
        "right": right,
        "precision": round(right / max(len(found), 1), 4),
        "recall": round(right / max(int(among.sum()), 1), 4),
    }


def unordered(sources: NDArray[Any], targets: NDArray[Any]) -> NDArray[np.int64]:
    """Return one number for each linked pair, each once."""
    low, high = np.minimum(sources, targets), np.maximum(sources, targets)
    return np.unique(low.astype(np.int64) << 32 | high)


def tables(told: Mapping[str, Any]) -> str:
    """Return the figures as Markdown."""
    return "\n".join(lines(told)) + "\n"


def lines(told: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of the tables."""
    counts, n = told["counts"], told["concepts"]
    yield f"{told['articles']:,} articles, {counts['passages']:,} passages, {counts['passages_left_out']:,} left out\n"
    yield "| concepts | titles of articles |\n|---|---|"
    for best, share in told["best"].items():
        yield f"| the best {best} | {share:.1%} |"
    yield f"| all {n:,} | {told['titles'] / n:.1%} |\n"
    yield f"{told['articles_found']:.1%} of the articles are concepts. {told['own_passages']:.1%} of these have more"
    yield "passages from their own article than from any other.\n"
    yield "| links | found | between articles | linked there | precision | recall |\n|---|---|---|---|---|---|"
    for kind, row in told["links"].items():
        yield (
            f"| {kind} | {row['found']:,} | {row['between_articles']:,} | {row['right']:,} | {row['precision']:.1%} "
            f"| {row['recall']:.1%} |"
        )


if __name__ == "__main__":
    main(tyro.cli(ConceptsFound, description=__doc__))
