"""Measure how many of the links found in vital articles' leads Wikispeedia has, and fit the linker's weights.

    python benchmarks/link_precision.py --json docs/results/link_precision.json
    python benchmarks/link_precision.py --fit

Both corpora have some two thousand topics of the same title. Among these a link found by mention counts as right if
Wikispeedia's article has it anywhere. Articles changed between 2007 and the leads' date, so a perfect linker would not
reach 100%. Weights and threshold were fitted to the links of half of the source topics; the other half is held out.
It takes about ten seconds once the leads are embedded.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from kgrl.data.text.build import build_corpus
from kgrl.data.text.linking import (
    LINK_EVIDENCE,
    THRESHOLD,
    best_of_mention,
    find_candidates,
    link_features,
    link_probability,
)
from kgrl.data.wikimedia.vital import find_leads, read_leads
from kgrl.data.wikispeedia.corpus import read_graph
from kgrl.retrieval import embed_corpus
from kgrl.retrieval.encoder import Encoder
from kgrl.system.files import write_json

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

PENALTY = 1.0
WANTED_PRECISION = 0.785


@dataclass(frozen=True)
class LinkPrecision:
    """Measure the linker on the topics that the English vital articles and Wikispeedia share.

    Args:
        root: Folder of the Wikispeedia archives; by default `$KGRL_DATA/wikispeedia`, else they are downloaded.
        json: Write the figures to this file.
        encoder: Sentence encoder of the similarities. The links that ship were found with MiniLM.
        fit: Fit the weights and the threshold anew and print them.
    """

    root: Path | None = None
    json: Path | None = None
    encoder: str = "minilm"
    fit: bool = False


@dataclass(frozen=True)
class Measured:
    """Candidate links between shared topics, and those of them that Wikispeedia has.

    Args:
        right: Whether Wikispeedia has the link, `[candidates]`.
        held_out: Whether its source topic is in the half that nothing was fitted to, `[candidates]`.
        features: The evidence for it, `[candidates, features]`.
        naive: Whether longest match alone would take it, `[candidates]`.
        kgrl: Whether kgrl takes it, `[candidates]`.
    """

    right: BoolArray
    held_out: BoolArray
    features: FloatArray
    naive: BoolArray
    kgrl: BoolArray


def main(command: LinkPrecision) -> None:
    leads = read_leads(find_leads("en"))
    titles = np.array(leads.titles)
    candidates = find_candidates(leads.titles, leads.texts, leads.aliases)
    unlinked = build_corpus("leads", leads.titles, leads.categories, leads.texts)
    features = link_features(candidates, embed_corpus(unlinked, Encoder(command.encoder))[1])
    probability = link_probability(features)
    best = best_of_mention(candidates, probability)

    graph = read_graph(command.root)
    true = set(zip(*(np.array(graph.titles)[ends].tolist() for ends in graph.links()), strict=True))
    shared = np.isin(titles, graph.titles)
    at = np.flatnonzero(shared[candidates.sources] & shared[candidates.targets])
    pairs = zip(titles[candidates.sources[at]].tolist(), titles[candidates.targets[at]].tolist(), strict=True)
    measured = Measured(
        right=np.array([pair in true for pair in pairs]),
        held_out=np.array([is_held_out(title) for title in titles[candidates.sources[at]]]),
        features=features[at],
        naive=candidates.primary[at],
        kgrl=((probability >= THRESHOLD) & best)[at],
    )
    result = figures(measured) | {
        "shared_topics": int(shared.sum()),
        "links": int(((probability >= THRESHOLD) & best).sum()),
    }
    show(result)
    if command.fit:
        show_fit(*fit(measured))
    if command.json:
        write_json(command.json, result)


def is_held_out(title: str) -> bool:
    """Return whether a source topic is in the half that nothing was fitted to."""
    # By a digest of the title: the halves are then the same whatever the order of topics.
    return int(hashlib.sha256(title.encode()).hexdigest()[:8], 16) % 2 == 1


def figures(measured: Measured) -> dict[str, Any]:
    """Return links kept, links right and precision of each linker on each set of source topics."""
    sets = {
        "all": np.ones_like(measured.held_out),
        "fitted half": ~measured.held_out,
        "held-out half": measured.held_out,
    }
    result: dict[str, Any] = {}
    for linker, taken in (("naive", measured.naive), ("kgrl", measured.kgrl)):
        result[linker] = {}
        for name, rows in sets.items():
            kept = taken & rows
            right = int(measured.right[kept].sum())
            precision = right / max(int(kept.sum()), 1)
            result[linker][name] = {"kept": int(kept.sum()), "right": right, "precision": round(precision, 4)}
    return result


def fit(measured: Measured) -> tuple[FloatArray, float, float]:
    """Fit weights, bias and threshold to the fitted half: penalised logistic regression by Newton's method."""
    rows = ~measured.held_out
    x, y = measured.features[rows], measured.right[rows]
    mean, scale = x.mean(axis=0), x.std(axis=0)
    z = np.c_[(x - mean) / scale, np.ones(len(x))]
    penalty = np.diag(np.r_[np.full(x.shape[1], PENALTY), 0])
    w = np.zeros(z.shape[1])
    # Newton's method on a convex loss converges in a few steps; 20 are more than enough.
    for _ in range(20):
        p = 1 / (1 + np.exp(-z @ w))
        w -= np.linalg.solve((z.T * (p * (1 - p))) @ z + penalty, z.T @ (p - y) + penalty @ w)
    p = np.sort(1 / (1 + np.exp(-z @ w)))[::-1]
    # The precision of taking the most probable candidates, for each number of them.
    precision = np.cumsum(y[np.argsort(-(z @ w))]) / np.arange(1, len(y) + 1)
    threshold = float(p[np.flatnonzero(precision >= WANTED_PRECISION)[-1]])
    # Weights of standardised features, turned into weights of the features themselves.
    return w[:-1] / scale, float(w[-1] - (w[:-1] * mean / scale).sum()), threshold


def show(result: dict[str, Any]) -> None:
    """Print the precision of both linkers."""
    table = Table("linker", "source topics", "links kept", "in Wikispeedia", "precision")
    for linker in ("naive", "kgrl"):
        for name, row in result[linker].items():
            table.add_row(linker, name, f"{row['kept']:,}", f"{row['right']:,}", f"{row['precision']:.1%}")
    Console().print(table)
    print(f"{result['shared_topics']:,} shared topics; {result['links']:,} links among all vital articles")


def show_fit(weights: FloatArray, bias: float, threshold: float) -> None:
    """Print the weights that were fitted."""
    for name, weight in zip(LINK_EVIDENCE, weights, strict=True):
        print(f"{name:12} {weight:+.3f}")
    print(f"{'bias':12} {bias:+.3f}\n{'threshold':12} {threshold:.3f}")


if __name__ == "__main__":
    main(tyro.cli(LinkPrecision, description=__doc__))
