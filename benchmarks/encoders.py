"""Compare sentence encoders by what kgrl does with their vectors: links, coherence, retrieval, next clicks, and time.

    KGRL_DATA=FOLDER python benchmarks/encoders.py --without-vital FOLDER --json docs/results/encoders.json

The encoders: MiniLM; the static one that ships; the same trained without any passage of `vital`, as for a corpus that
it has not seen (`benchmarks/builtin_encoder.py --without vital --out FOLDER`); its vectors of tokens before training,
as model2vec distils them; WordLlama, if the package `wordllama` is installed; and random vectors. The linker's weights
are fitted anew for each. Where policies read vectors, only encoders in MiniLM's space can be compared.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from builtin_encoder import encode, token_vectors, weighted
from link_precision import Measured, fit, is_held_out
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from tokenizers import Tokenizer

from kgrl.agents.policy.network import load_policy
from kgrl.agents.pretraining.batches import PolicyPredictor
from kgrl.agents.pretraining.cloning import ClickData
from kgrl.builtin import FOLDER
from kgrl.corpus import Corpus
from kgrl.data import load_clicks, load_corpus
from kgrl.data.text.linking import best_of_mention, find_candidates, link_features
from kgrl.data.traps.planted import noisy
from kgrl.data.wikimedia.vital import find_leads, read_leads
from kgrl.data.wikispeedia.corpus import read_graph
from kgrl.graph.relations import coherence
from kgrl.retrieval import indexed_passages, topic_embeddings
from kgrl.retrieval.encoder import Encoder
from kgrl.retrieval.static_encoder import TOKENIZER_FILE, StaticModel
from kgrl.system.files import write_json
from kgrl.traces.next_click import score_clicks

FloatArray = NDArray[np.float32]
Encode = Callable[[Sequence[str]], FloatArray]

MINILM = "MiniLM"
NEIGHBOURS = 10
_TIMED = 512
"""Passages by which the time for a corpus is estimated."""
_TEST_BUCKET = 9


@dataclass(frozen=True)
class Compare:
    """Compare the encoders, one after another; figures in the file are kept and not measured again.

    Args:
        json: File for the figures.
        without_vital: Folder of a static encoder that was trained without `vital`.
        clicks: Score next clicks as well, which needs Wikispeedia.
    """

    json: Path
    without_vital: Path | None = None
    clicks: bool = True


@dataclass
class Measures:
    """Everything that encoders are measured on, read once.

    Args:
        noisy: `vital` with planted topics.
        real: Number of its real topics, which come first.
    """

    noisy: Corpus
    real: int
    minilm: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        ids = indexed_passages(self.noisy)
        self._topics = self.noisy.topics[ids]
        self.texts = [self.noisy.texts[i] for i in ids]
        self.minilm = Encoder("minilm").encode_cached(self.texts)
        self._is_real = self._topics < self.real
        self._candidates()

    def _candidates(self) -> None:
        """Find the candidate links between topics that Wikispeedia has, and which of them it has."""
        leads, graph = read_leads(find_leads("en")), read_graph()
        self.pairs = find_candidates(leads.titles, leads.texts, leads.aliases)
        titles = np.array(leads.titles)
        true = set(zip(*(np.array(graph.titles)[ends].tolist() for ends in graph.links()), strict=True))
        shared = np.isin(titles, graph.titles)
        self.at = np.flatnonzero(shared[self.pairs.sources] & shared[self.pairs.targets])
        sources, targets = titles[self.pairs.sources[self.at]].tolist(), titles[self.pairs.targets[self.at]].tolist()
        self.right = np.array([pair in true for pair in zip(sources, targets, strict=True)])
        self.held_out = np.array([is_held_out(source) for source in sources])

    def of(self, vectors: FloatArray, in_its_space: bool) -> dict[str, Any]:
        """Return the figures of an encoder's vectors of all texts."""
        figures: dict[str, Any] = {}
        if in_its_space:
            figures["cosine"] = float((vectors * self.minilm).sum(axis=1)[self._is_real].mean())
        own, given = vectors[self._is_real], self.minilm[self._is_real]
        figures["overlap"] = overlap(own, given)
        embeddings = topic_embeddings(self._topics, vectors, len(self.noisy.graph))
        figures |= self._links(embeddings[: self.real])
        with_text = embeddings.any(axis=1)
        planted = np.arange(len(embeddings)) >= self.real
        found = coherence(self.noisy.graph, embeddings)
        figures["coherence_auc"] = float(roc_auc_score(~planted[with_text], found[with_text]))
        return figures

    def _links(self, embeddings: FloatArray) -> dict[str, Any]:
        """Return how precise the linker is on held-out topics, with weights fitted to these vectors."""
        features = link_features(self.pairs, embeddings)
        none = np.zeros(len(self.at), dtype=bool)
        weights, bias, threshold = fit(Measured(self.right, self.held_out, features[self.at], none, none))
        probability = 1 / (1 + np.exp(-(features @ weights + bias)))
        kept = ((probability >= threshold) & best_of_mention(self.pairs, probability))[self.at] & self.held_out
        return {"links_kept": int(kept.sum()), "links_precision": float(self.right[kept].mean())}


def overlap(own: FloatArray, given: FloatArray) -> float:
    """Return the mean share of a passage's nearest passages that two encoders have in common."""
    shares = []
    for rows in np.array_split(np.arange(len(own)), max(1, len(own) // 1000)):
        nearest = []
        for vectors in (own, given):
            products = vectors[rows] @ vectors.T
            products[np.arange(len(rows)), rows] = -np.inf
            nearest.append(np.argpartition(-products, NEIGHBOURS, axis=1)[:, :NEIGHBOURS])
        shares += [len(np.intersect1d(a, b)) / NEIGHBOURS for a, b in zip(*nearest, strict=True)]
    return float(np.mean(shares))


def main(command: Compare) -> None:
    figures: dict[str, Any] = json.loads(command.json.read_text()) if command.json.exists() else {}
    planted = noisy(load_corpus("vital"))
    measures = Measures(planted.corpus, planted.real)
    for name, (encode_texts, in_its_space) in encoders(command, measures).items():
        row = figures.setdefault(name, {})
        if "overlap" not in row:
            row["seconds"] = seconds(encode_texts, measures.texts)
            vectors = measures.minilm if name == MINILM else encode_texts(measures.texts)
            row |= measures.of(vectors, in_its_space)
            write_json(command.json, figures)
        print(name, row)
    for name, encoder in (("static", Encoder()), (MINILM, Encoder("minilm"))):
        if command.clicks and "clicks" not in figures[name]:
            figures[name]["clicks"] = next_clicks(encoder)
            write_json(command.json, figures)
            print(name, figures[name])


def encoders(command: Compare, measures: Measures) -> dict[str, tuple[Encode, bool]]:
    """Return each encoder by name, and whether its vectors are in MiniLM's space."""
    found: dict[str, tuple[Encode, bool]] = {
        "static": (StaticModel(64).encode, True),
        MINILM: (Encoder("minilm").encode, True),
        "static, untrained": (untrained(measures.texts), False),
        "random": (random, False),
    }
    if command.without_vital:
        found["static, trained without vital"] = (StaticModel(64, command.without_vital).encode, True)
    try:
        import wordllama
    except ImportError:
        return found
    # The wheel has its tokenizer where the package looks for the cache's.
    here = Path(wordllama.__file__).parent
    model = wordllama.WordLlama.load(cache_dir=here, disable_download=True)
    return {**found, "WordLlama": (partial(model.embed, norm=True), False)}


def untrained(texts: list[str]) -> Encode:
    """Return the encoder by means of MiniLM's vectors of single tokens, as model2vec distils one."""
    tokenizer = Tokenizer.from_file(str(FOLDER / TOKENIZER_FILE))
    seen = np.concatenate([found.ids for found in encode(tokenizer, texts)])
    table = weighted(token_vectors(tokenizer), seen)

    def encoded(texts: Sequence[str]) -> FloatArray:
        """Return normalised means, `[texts, 384]`."""
        vectors = np.stack([table[found.ids[:64]].mean(axis=0) for found in encode(tokenizer, list(texts))])
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    return encoded


def random(texts: Sequence[str]) -> FloatArray:
    """Return random unit vectors."""
    vectors = np.random.default_rng(0).normal(size=(len(texts), 384)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def seconds(encode_texts: Encode, texts: list[str]) -> float:
    """Return the processor seconds for a thousand passages, with the model loaded."""
    encode_texts(texts[:8])
    some = texts[:: len(texts) // _TIMED]
    began = time.process_time()
    encode_texts(some)
    return (time.process_time() - began) / len(some) * 1000


def next_clicks(encoder: Encoder) -> dict[str, Any]:
    """Return the scores of the shipped policy on Wikispeedia's test clicks."""
    read = load_clicks("wikispeedia", None, None, encoder)
    clicks = read.clicks
    tables = ClickData(read.graph, read.embeddings, clicks).tables
    predictor = PolicyPredictor(load_policy(FOLDER)[0], tables)
    free = (clicks.bucket == _TEST_BUCKET) & ~clicks.final
    kinds = {"finished": free & clicks.finished, "unfinished": free & ~clicks.finished}
    taken = {kind: clicks.take(mask) for kind, mask in kinds.items()}
    return {
        kind: score_clicks(predictor.log_probabilities(some), some, read.graph).to_dict()
        for kind, some in taken.items()
    }


if __name__ == "__main__":
    main(tyro.cli(Compare))
