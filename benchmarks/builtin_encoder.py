"""Make kgrl/builtin/encoder.safetensors: a static encoder that is trained to give MiniLM's vectors.

    KGRL_DATA=FOLDER python benchmarks/builtin_encoder.py --json docs/results/builtin_encoder.json

A text's vector is the mean of its tokens' vectors, times a matrix, plus a bias, normalised. The vocabulary is a
byte-level BPE of the train passages of `vital`, `vital-es`, `vital-fr` and `wikispeedia`. A token's vector begins as
MiniLM's vector of the token as a text, less in proportion to how common the token is, and is then trained on MiniLM's
vectors of the passages. First a tenth of the topics is held out, by title, and the figures are of these; then what
ships is trained on all. MiniLM takes some twenty minutes for the passages, and the rest takes ten.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.nn import functional

from kgrl.builtin import FOLDER
from kgrl.data import load_corpus
from kgrl.retrieval import indexed_passages
from kgrl.retrieval.encoder import Encoder
from kgrl.retrieval.static_encoder import TOKENIZER_FILE, WEIGHTS_FILE, StaticModel, pack_vectors
from kgrl.system.files import replacing, write_json

FloatArray = NDArray[np.float32]

CORPORA = ("vital", "vital-es", "vital-fr", "wikispeedia")
TOKENS, RANK, MAX_TOKENS = 30_000, 256, 64
COMMON = 1e-3
"""Share of the text from which on a token counts as common: it weighs half at this share, less beyond."""
RIDGE = 1e-3
"""Penalty of the first fit, as a share of the features' mean variance."""
DROPPED = 0.2
"""Share of tokens that are left out of a text in training, so that no few tokens have a passage by heart."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Make:
    """Train the static encoder, measure it on held-out topics, and put the one trained on all into the package.

    Args:
        epochs: Passes over the passages.
        batch: Passages of a step.
        rate: Largest learning rate.
        out: Folder for the two files.
        without: A corpus that is left out altogether: one encoder is trained on the others, and nothing is measured.
        json: Write the figures of held-out topics to this file.
    """

    epochs: int = 8
    batch: int = 1024
    rate: float = 1e-2
    out: Path = FOLDER
    without: str | None = None
    json: Path | None = None


@dataclass(frozen=True)
class Passages:
    """The passages that are trained on.

    Args:
        texts: The texts.
        corpus: The number of each one's corpus, `[passages]`.
        held_out: Whether its topic is held out for the figures, `[passages]`.
        vectors: MiniLM's vectors, float32 `[passages, 384]`.
    """

    texts: list[str]
    corpus: NDArray[np.int64]
    held_out: NDArray[np.bool_]
    vectors: FloatArray


class Student(nn.Module):
    """Token vectors, and a matrix and a bias that bring their mean into MiniLM's space."""

    def __init__(self, table: FloatArray, matrix: FloatArray, bias: FloatArray) -> None:
        super().__init__()
        self.table, self.matrix, self.bias = (nn.Parameter(torch.from_numpy(a.copy())) for a in (table, matrix, bias))

    def forward(self, tokens: Tensor, starts: Tensor, weights: Tensor) -> Tensor:
        """Return unit vectors of texts, `[texts, 384]`, from their tokens in one row and each token's weight."""
        sums = functional.embedding_bag(tokens, self.table, starts, mode="sum", per_sample_weights=weights)
        return functional.normalize(sums @ self.matrix + self.bias, dim=1)


def main(command: Make) -> None:
    logging.basicConfig(level=logging.INFO)
    passages = read_passages([name for name in CORPORA if name != command.without])
    tokenizer = train_tokenizer(passages.texts)
    initial = token_vectors(tokenizer)
    tokens = [np.array(found.ids[:MAX_TOKENS]) for found in encode(tokenizer, passages.texts)]
    if command.without is None:
        part = fit(tokens, passages.vectors, initial, np.flatnonzero(~passages.held_out), command)
        with tempfile.TemporaryDirectory() as folder:
            save(Path(folder), tokenizer, part)
            figures = score(StaticModel(MAX_TOKENS, Path(folder)), passages)
        print(figures)
        if command.json:
            write_json(command.json, figures)
    save(command.out, tokenizer, fit(tokens, passages.vectors, initial, np.arange(len(tokens)), command))


def read_passages(corpora: list[str]) -> Passages:
    """Read the indexed train passages of corpora, with MiniLM's vectors."""
    texts, numbers, held_out, vectors = [], [], [], []
    for number, corpus in enumerate(map(load_corpus, corpora)):
        ids = indexed_passages(corpus)
        own = [corpus.texts[i] for i in ids]
        texts += own
        numbers += [number] * len(own)
        held_out += [is_held_out(corpus.graph.titles[topic]) for topic in corpus.topics[ids]]
        vectors.append(Encoder("minilm").encode_cached(own))
    return Passages(texts, np.array(numbers), np.array(held_out), np.concatenate(vectors))


def is_held_out(title: str) -> bool:
    """Return whether a topic is in the tenth that the figures are of."""
    # By a digest of the title: a topic of two corpora is then held out in both.
    return int(hashlib.sha256(title.encode()).hexdigest()[:8], 16) % 10 == 0


def train_tokenizer(texts: list[str]) -> Tokenizer:
    """Learn a byte-level BPE without case and accents, in which no text has an unknown character."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=TOKENS, min_frequency=2, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def token_vectors(tokenizer: Tokenizer) -> FloatArray:
    """Return MiniLM's vector of each token as a text of its own, `[tokens, 384]`."""
    decoder = decoders.ByteLevel()
    names = [decoder.decode([tokenizer.id_to_token(i)]).strip() for i in range(tokenizer.get_vocab_size())]
    return Encoder("minilm").encode_cached(names)


def encode(tokenizer: Tokenizer, texts: list[str]) -> list[Any]:
    """Return the tokens of texts, of which as many characters are read as `StaticModel` reads."""
    return tokenizer.encode_batch_fast([text[: 8 * MAX_TOKENS] for text in texts])


def fit(
    tokens: list[NDArray[np.int64]], vectors: FloatArray, initial: FloatArray, rows: NDArray[np.int64], command: Make
) -> Student:
    """Train a student on some passages: one cycle of Adam on the cosine to MiniLM's vectors."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    student = begin(tokens, vectors, initial, rows)
    optimizer = torch.optim.Adam(student.parameters(), lr=command.rate, betas=(0.9, 0.99))
    batches = -(-len(rows) // command.batch)
    plan = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, command.rate, total_steps=command.epochs * batches, pct_start=0.1
    )
    for epoch in range(command.epochs):
        cosines = []
        for batch in np.array_split(rng.permutation(rows), batches):
            found = student(*flat([tokens[i] for i in batch], DROPPED))
            cosine = (found * torch.from_numpy(vectors[batch])).sum(dim=1).mean()
            optimizer.zero_grad()
            (1 - cosine).backward()
            optimizer.step()
            plan.step()
            cosines.append(cosine.item())
        _log.info("epoch %d: cosine %.4f", epoch + 1, np.mean(cosines))
    return student


def begin(
    tokens: list[NDArray[np.int64]], vectors: FloatArray, initial: FloatArray, rows: NDArray[np.int64]
) -> Student:
    """Return the student before training: MiniLM's vectors of tokens, fitted linearly to those of passages."""
    table = weighted(initial, np.concatenate([tokens[i] for i in rows]))
    means = np.stack([table[tokens[i]].mean(axis=0) if len(tokens[i]) else 0 * table[0] for i in rows])
    centre, goal = means.mean(axis=0), vectors[rows].mean(axis=0)
    covariance = (means - centre).T @ (means - centre)
    covariance += RIDGE * np.trace(covariance) / len(covariance) * np.eye(len(covariance), dtype=np.float32)
    linear = np.linalg.solve(covariance, (means - centre).T @ (vectors[rows] - goal))
    # Of the fitted vectors, only the directions that vary most are kept: this is reduced-rank regression.
    fitted = (means - centre) @ linear
    directions = np.linalg.eigh(fitted.T @ fitted)[1][:, : -RANK - 1 : -1]
    return Student(table @ linear @ directions, np.ascontiguousarray(directions.T), goal - centre @ linear)


def weighted(initial: FloatArray, seen: NDArray[np.int64]) -> FloatArray:
    """Return centred token vectors, of which those of common tokens are short."""
    share = np.bincount(seen, minlength=len(initial)) / len(seen)
    return ((initial - initial.mean(axis=0)) * (COMMON / (COMMON + share))[:, None]).astype(np.float32)


def flat(texts: list[NDArray[np.int64]], dropped: float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
    """Return the tokens of texts in one row, where each text starts, and each token's weight; some weigh nothing."""
    lengths = np.array([len(text) for text in texts])
    weights = torch.from_numpy(np.repeat(1 / np.maximum(lengths, 1), lengths).astype(np.float32))
    kept = (torch.rand(len(weights)) >= dropped) / (1 - dropped)
    starts = torch.from_numpy(np.cumsum(lengths) - lengths)
    return torch.from_numpy(np.concatenate(texts)), starts, weights * kept


def save(folder: Path, tokenizer: Tokenizer, student: Student) -> None:
    """Write the two files of a static encoder."""
    table, matrix, bias = (p.detach().numpy() for p in (student.table, student.matrix, student.bias))
    packed, scales = pack_vectors(table)
    tensors = {
        "vectors": packed,
        "scales": scales,
        "matrix": matrix.astype(np.float16),
        "bias": bias.astype(np.float16),
    }
    with replacing(folder / WEIGHTS_FILE) as temporary:
        save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, temporary)
    with replacing(folder / TOKENIZER_FILE) as temporary:
        tokenizer.save(str(temporary), pretty=False)


def score(model: StaticModel, passages: Passages) -> dict[str, Any]:
    """Return the mean cosine to MiniLM's vectors, on held-out topics and others, by corpus."""
    cosines = (model.encode(passages.texts) * passages.vectors).sum(axis=1)
    figures = {}
    for number, corpus in enumerate(CORPORA):
        here = passages.corpus == number
        figures[corpus] = {
            name: {"passages": int(rows.sum()), "cosine": round(float(cosines[rows].mean()), 4)}
            for name, rows in (("held out", here & passages.held_out), ("trained on", here & ~passages.held_out))
        }
    return figures


if __name__ == "__main__":
    main(tyro.cli(Make))
