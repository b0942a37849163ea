"""The scratch learner: a small transformer taught from random weights, for lessons of milliseconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from kgrl.corpus import Corpus, Split
from kgrl.errors import UnknownNameError
from kgrl.learners.decoder.layers import fuse, merged_state
from kgrl.learners.decoder.learner import DecoderLearner
from kgrl.learners.decoder.lora import add_adapter
from kgrl.learners.decoder.models import fingerprint
from kgrl.learners.plugins.base import Plugin
from kgrl.system.cache import cached
from kgrl.system.files import cache_dir, content_key, write_text
from kgrl.system.tensors import read_tensors, save_tensors

__all__ = ["PRESETS", "ScratchLearner", "Shape", "train_tokenizer"]

_DOCUMENT = "<|document|>"
"""Token that leads every passage."""
_WEIGHTS, _TRAINED = "model.safetensors", "trained.safetensors"
_ALPHA_PER_RANK = 2
"""Factor of an adapter's output; as in the LoRA learner, where rank 8 has an alpha of 16."""


@dataclass(frozen=True)
class Shape:
    """A decoder's shape.

    Args:
        width: Width of the decoder's states.
        layers: Number of layers.
        heads: Number of attention heads.
        vocabulary: Entries of the tokenizer, at most.
    """

    width: int
    layers: int
    heads: int
    vocabulary: int


PRESETS: Mapping[str, Shape] = {
    "0.4m": Shape(width=96, layers=2, heads=3, vocabulary=2048),
    "0.7m": Shape(width=128, layers=2, heads=4, vocabulary=2048),
    "2m": Shape(width=192, layers=4, heads=6, vocabulary=2048),
    "5m": Shape(width=256, layers=5, heads=8, vocabulary=4096),
    "10m": Shape(width=320, layers=7, heads=10, vocabulary=4096),
}
"""Shapes by name. The name is the number of parameters in millions, if the text has words enough for the vocabulary."""


class ScratchLearner(DecoderLearner):
    """A Llama-style decoder with random initial weights; 0.7 million of them by default.

    All weights are trained, or with a rank those that ReLoRA trains (Lialin et al. 2023): embeddings, norms, and
    low-rank adapters over linear layers that stay as they were drawn. The plug-in `ReLoRA` merges the adapters into
    those layers from time to time.

    Its tokenizer is trained on the corpus's train passages. A saved learner is a plain Hugging Face model folder,
    adapters merged, with the trained weights and the optimizer's state beside it.

    Args:
        corpus: The corpus whose passages are taught and measured.
        seed: Seeds the initial weights.
        preset: A name in `PRESETS`, from `"0.4m"` to `"10m"`: the shape, by its number of parameters.
        width: Width of the decoder's states, if not the preset's.
        layers: Number of layers, if not the preset's.
        heads: Number of attention heads, if not the preset's.
        vocabulary: Entries of the tokenizer, at most, if not the preset's.
        rank: Rank of the adapters; by default there are none.
        learning_rate: AdamW's learning rate after the warm-up.
        block_tokens: Tokens of one update, about.
        warmup_steps: Updates until the learning rate is reached.
        plugins: Changes to lessons, updates or measurements; see `kgrl.learners.plugins`.
        device: Device to compute on, for example `"cuda"`; by default the CPU.

    Raises:
        UnknownNameError: If the preset is unknown.

    Example:
        >>> from kgrl.graph import TopicGraph
        >>> graph = TopicGraph.from_links(["Logic", "Set"], [0], [1])
        >>> corpus = Corpus("two", graph, ["Logic asks what follows.", "A set has members."], [0, 1], [0, 0])
        >>> learner = ScratchLearner(corpus, width=16, heads=2)
        >>> learner
        ScratchLearner(width=16, layers=2, heads=2, vocabulary=2048, seed=0)
        >>> learner.learn(corpus.select([0, 1]), token_budget=10).tokens
        10
    """

    kind = "scratch"

    def __init__(
        self,
        corpus: Corpus,
        *,
        seed: int = 0,
        preset: str = "0.7m",
        width: int | None = None,
        layers: int | None = None,
        heads: int | None = None,
        vocabulary: int | None = None,
        rank: int | None = None,
        learning_rate: float = 3e-3,
        block_tokens: int = 256,
        warmup_steps: int = 5,
        plugins: Sequence[Plugin] = (),
        device: str | torch.device = "cpu",
    ) -> None:
        if preset not in PRESETS:
            raise UnknownNameError("preset", preset, PRESETS)
        own = {"width": width, "layers": layers, "heads": heads, "vocabulary": vocabulary}
        shape = Shape(**asdict(PRESETS[preset]) | {name: value for name, value in own.items() if value is not None})
        self._shape, self._seed = shape, seed
        tokenizer = train_tokenizer(corpus, shape.vocabulary)
        model = _random_model(shape, tokenizer, seed)
        # An adapter fits the weights under it alone, which the seed draws and nothing trains.
        self._frozen = {} if rank is None else {"rank": rank, "base_model": f"scratch@{fingerprint(model)}"}
        if rank is not None:
            _make_low_rank(model, rank, seed)
        super().__init__(
            corpus,
            model.to(torch.device(device)),  # type: ignore[arg-type] # transformers' wrapper hides the signature
            tokenizer,
            learning_rate=learning_rate,
            block_tokens=block_tokens,
            warmup_steps=warmup_steps,
            plugins=plugins,
        )

    @property
    def _settings(self) -> dict[str, Any]:
        rank = {"rank": self._frozen["rank"]} if self._frozen else {}
        return {**asdict(self._shape), **rank, "seed": self._seed}

    @property
    def identity(self) -> dict[str, str | int]:
        """The tokenizer by content, the model's shape, and with a rank the weights under the adapters by content."""
        config = self.model.config
        return {
            "tokenizer": content_key(self.tokenizer.backend_tokenizer.to_str()),
            "width": config.hidden_size,
            "layers": config.num_hidden_layers,
            "heads": config.num_attention_heads,
            **self._frozen,
        }

    def _write_weights(self, folder: Path) -> None:
        save_tensors(folder / _WEIGHTS, merged_state(self.model))
        if self._frozen:
            save_tensors(folder / _TRAINED, self.views())
        self.model.config.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def _read_weights(self, folder: Path) -> None:
        tensors = read_tensors(folder / (_TRAINED if self._frozen else _WEIGHTS))
        with torch.no_grad():
            for name, weight in self.views().items():
                weight.copy_(tensors[name])


def train_tokenizer(corpus: Corpus, vocabulary: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer on a corpus's train passages, or read the one trained before.

    Args:
        corpus: The corpus; its held-out passages are not read.
        vocabulary: Entries, at most; 256 bytes and the document token are among them.
    """
    path = cache_dir() / "tokenizers" / f"{content_key(corpus.fingerprint, str(vocabulary))}.json"
    cached(path, make=lambda: write_text(path, _trained_tokenizer(corpus, vocabulary).to_str()))
    # Read even when it was trained just now, so that the first run and the next have the same tokenizer.
    return PreTrainedTokenizerFast(tokenizer_file=str(path), bos_token=_DOCUMENT)  # type: ignore[no-untyped-call]


def _trained_tokenizer(corpus: Corpus, vocabulary: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[_DOCUMENT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    train = (corpus.texts[i] for i in range(len(corpus)) if corpus.splits[i] == Split.TRAIN)
    tokenizer.train_from_iterator(train, trainer)
    return tokenizer


def _random_model(shape: Shape, tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    """A model whose weights depend on its shape and the seed alone."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.width,
        intermediate_size=8 * shape.width // 3,  # as in Llama: three matrices with the weights of the usual two
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        max_position_embeddings=512,  # the most tokens of a passage that learners read in one piece
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=None,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)


def _make_low_rank(model: LlamaForCausalLM, rank: int, seed: int) -> None:
    """Freeze a model's linear layers and put adapters on them, in place; embeddings and norms stay trained."""
    # Listed first, since PEFT freezes everything but its own matrices.
    rest = {name for name, weight in model.named_parameters() if "_proj." not in name}
    adapted = add_adapter(model, seed, rank, _ALPHA_PER_RANK * rank, "all-linear")
    for name, weight in model.named_parameters():
        if name in rest:
            weight.requires_grad_(True)
    fuse(adapted)  # last, since norms that are trained keep their own forward
