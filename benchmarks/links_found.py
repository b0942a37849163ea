"""Measure the links that `kgrl data build` finds in text: precision and recall by kind, with the true links hidden.

    python benchmarks/links_found.py --json docs/results/links.json --page docs/results/links.md

- Wikispeedia (`$KGRL_DATA/wikispeedia`): its articles without their links. A link found is right if the article has it.
- An invented world: the share of its facts that are links found, of texts that tell each fact in words of their own.

It takes a few minutes. The page gets the tables between two marks, and keeps the rest.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from numpy.typing import NDArray

from kgrl.corpus import Corpus, Split
from kgrl.data import load_corpus
from kgrl.data.building.hyperlinks import Ends
from kgrl.data.building.mentions import chosen_mentions
from kgrl.data.building.near import NearTopics
from kgrl.data.building.similar import nearest_links
from kgrl.data.text.linking import (
    MentionPairs,
    best_of_mention,
    chosen_links,
    find_candidates,
    link_features,
    link_probability,
)
from kgrl.retrieval import embed_corpus
from kgrl.retrieval.encoder import Encoder
from kgrl.system.files import write_json, write_text

BEGIN, END = "<!-- links_found: begin -->", "<!-- links_found: end -->"
LOWER = 0.3
"""A lower threshold of the model, to compare with."""
NONE = np.empty(0, dtype=np.int32)


@dataclass(frozen=True)
class LinksFound:
    """Measure the links found in text.

    Args:
        root: Folder of the Wikispeedia archives; by default `$KGRL_DATA/wikispeedia`.
        world: The invented world.
        encoder: Sentence encoder of the similarities.
        json: Write the figures to this file.
        page: Write the tables into this page.
    """

    root: Path | None = None
    world: str = "invented:400"
    encoder: str = "static"
    json: Path | None = None
    page: Path | None = None


def main(command: LinksFound) -> None:
    encoder = Encoder(command.encoder)
    corpora = {
        "wikispeedia": load_corpus("wikispeedia", root=command.root),
        command.world: load_corpus(command.world),
    }
    result = {name: figures(corpus, encoder) for name, corpus in corpora.items()} | {"encoder": command.encoder}
    tables = "\n".join(table(name, result[name]) for name in corpora)
    print(tables)
    if command.json:
        write_json(command.json, result)
    if command.page:
        write_text(command.page, with_tables(command.page.read_text(encoding="utf-8"), tables))


def figures(corpus: Corpus, encoder: Encoder) -> dict[str, Any]:
    """Return precision and recall of each kind of links in a corpus whose own links are hidden."""
    texts = documents(corpus)
    embeddings = embed_corpus(corpus, encoder)[1]
    titles = list(corpus.graph.titles)
    named = find_candidates(titles, texts)
    mentions = chosen_mentions(named, embeddings)
    near = NearTopics(embeddings, Path())
    few = nearest_links(near, *mentions)
    kinds = {
        "every mention": (named.sources, named.targets),
        "mentions, by the model alone": chosen_links(named, embeddings),
        f"mentions, by the model at {LOWER}": at_threshold(named, embeddings, LOWER),
        "mentions": mentions,
        "neighbours of all": nearest_links(near, NONE, NONE),
        "neighbours where few": few,
        "both": tuple(np.concatenate(pair) for pair in zip(mentions, few, strict=True)),
    }
    true = codes(*corpus.graph.links())
    told = {name: scored(ends, true) for name, ends in kinds.items()}
    return {"topics": len(corpus.graph), "links": len(true), "kinds": told}


def at_threshold(named: MentionPairs, embeddings: NDArray[np.float32], threshold: float) -> Ends:
    """Return the candidates that the model takes at another threshold."""
    probability = link_probability(link_features(named, embeddings))
    taken = (probability >= threshold) & best_of_mention(named, probability)
    return named.sources[taken], named.targets[taken]


def documents(corpus: Corpus) -> Sequence[str]:
    """Return the text of each topic; of an invented world its train passages, which tell every fact."""
    if corpus.name.startswith("invented"):
        return ["\n\n".join(corpus.of(topic, Split.TRAIN).texts) for topic in range(len(corpus.graph))]
    starts = np.searchsorted(corpus.topics, np.arange(len(corpus.graph) + 1)).tolist()
    return ["\n\n".join(corpus.texts[i] for i in range(start, stop)) for start, stop in itertools.pairwise(starts)]


def codes(sources: NDArray[np.int32], targets: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return one number for each link, ascending, each once."""
    return np.unique(sources.astype(np.int64) << 32 | targets)


def scored(ends: Ends, true: NDArray[np.int64]) -> dict[str, Any]:
    """Return how many links were found, how many of them are right, precision and recall.

    A link is right as it is, or (`either_way`) if its reverse is there: who learns goes along a link both ways.
    """
    found = codes(*ends)
    right = int(np.isin(found, true).sum())
    reverse = (found & 0xFFFFFFFF) << 32 | found >> 32
    either = int((np.isin(found, true) | np.isin(reverse, true)).sum())
    return {
        "found": len(found),
        "right": right,
        "precision": round(right / max(len(found), 1), 4),
        "recall": round(right / len(true), 4),
        "either_way": round(either / max(len(found), 1), 4),
    }


def table(name: str, told: Mapping[str, Any]) -> str:
    """Return the figures of a corpus as a Markdown table."""
    rows = [
        f"| {kind} | {row['found']:,} | {row['right']:,} | {row['precision']:.1%} | {row['either_way']:.1%} "
        f"| {row['recall']:.1%} |"
        for kind, row in told["kinds"].items()
    ]
    head = "| kind | found | right | precision | right either way | recall |\n|---|---|---|---|---|---|"
    return f"`{name}`: {told['topics']:,} topics, {told['links']:,} links\n\n{head}\n" + "\n".join(rows) + "\n"


def with_tables(page: str, tables: str) -> str:
    """Return the page with the tables between its marks."""
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n\n{tables}\n{END}{after}"


if __name__ == "__main__":
    main(tyro.cli(LinksFound, description=__doc__))
