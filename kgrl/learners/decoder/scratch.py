"""The scratch learner: a small transformer taught from random weights, for lessons of milliseconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from kgrl.corpus import Corpus, Split
from kgrl.errors import UnknownNameError
from kgrl.learners.decoder.learner import DecoderLearner
from kgrl.learners.decoder.llama import Llama, Shape
from kgrl.learners.decoder.measuring import Decoder
from kgrl.learners.decoder.models import fingerprint
from kgrl.learners.decoder.schedule import ScheduleName
from kgrl.learners.plugins.base import Plugin
from kgrl.system.cache import cached
from kgrl.system.devices import find_device
from kgrl.system.files import cache_dir, content_key, write_json, write_text
from kgrl.system.tensors import read_tensors, save_tensors

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

__all__ = ["PRESETS", "ScratchLearner", "train_tokenizer"]

_DOCUMENT = "<|document|>"
"""Token that leads every passage."""
_WEIGHTS, _TRAINED = "model.safetensors", "trained.safetensors"
_ALPHA_PER_RANK = 2
"""Factor of an adapter's output; as in the LoRA learner, where rank 8 has an alpha of 16."""


PRESETS: Mapping[str, Shape] = {
    "0.4m": Shape(width=96, layers=2, heads=3, vocabulary=2048),
    "0.7m": Shape(width=128, layers=2, heads=4, vocabulary=2048),
    "2m": Shape(width=192, layers=4, heads=6, vocabulary=2048),
    "5m": Shape(width=256, layers=5, heads=8, vocabulary=4096),
    "10m": Shape(width=320, layers=7, heads=10, vocabulary=4096),
}
"""Shapes by name, with the most entries of the vocabulary. The name is the number of parameters in millions, if the
text has words enough for the vocabulary."""


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
        block_tokens: Tokens of a block, about, which is read at once.
        accumulate: Blocks of one update, whose gradients are added up.
        warmup_steps: Updates until the learning rate is reached.
        schedule: `"constant"`, `"wsd"` (falls over the last fifth) or `"cosine"`; see
            `kgrl.learners.decoder.schedule.RateSchedule`.
        schedule_tokens: Tokens that are trained on in total, which `"wsd"` and `"cosine"` have to know.
        average_tokens: Tokens over which trained weights are averaged, to measure with the average; see
            `kgrl.learners.decoder.average.WeightAverage`. By default there is no average.
        linked_windows: Whether passages of linked topics are read in one context; see
            `kgrl.learners.decoder.windows.linked_windows`.
        plugins: Changes to lessons, updates or measurements; see `kgrl.learners.plugins`.
        device: Device to compute on: `"cpu"`, `"cuda"`, `"cuda:1"`, `"mps"`, or `"auto"` for the fastest that is there.

    Raises:
        UnknownNameError: If the preset or the schedule is unknown, or the device is not there.
        SettingError: If the shape is impossible, a schedule that decays is not told its tokens, or a plug-in does not
            work with this learner.

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
        accumulate: int = 1,
        warmup_steps: int = 5,
        schedule: ScheduleName = "constant",
        schedule_tokens: int | None = None,
        average_tokens: int | None = None,
        linked_windows: bool = False,
        plugins: Sequence[Plugin] = (),
        device: str | torch.device = "cpu",
    ) -> None:
        device = find_device(device)
        if preset not in PRESETS:
            raise UnknownNameError("preset", preset, PRESETS)
        own = {"width": width, "layers": layers, "heads": heads, "vocabulary": vocabulary}
        shape = Shape(**asdict(PRESETS[preset]) | {name: value for name, value in own.items() if value is not None})
        self._shape, self._seed = shape, seed
        tokenizer = train_tokenizer(corpus, shape.vocabulary)
        document = tokenizer.token_to_id(_DOCUMENT)
        assert document is not None
        drawn = _random_model(replace(shape, vocabulary=tokenizer.get_vocab_size()), seed)
        # An adapter fits the weights under it alone, which the seed draws and nothing trains.
        self._frozen = {} if rank is None else {"rank": rank, "base_model": f"scratch@{fingerprint(drawn)}"}
        drawn.to(device)
        model, decoder = (drawn, drawn) if rank is None else _make_low_rank(drawn, rank, seed)
        super().__init__(
            corpus,
            model,
            decoder,
            tokenizer,
            document,
            learning_rate=learning_rate,
            block_tokens=block_tokens,
            accumulate=accumulate,
            warmup_steps=warmup_steps,
            schedule=schedule,
            schedule_tokens=schedule_tokens,
            average_tokens=average_tokens,
            linked_windows=linked_windows,
            plugins=plugins,
        )

    @property
    def _settings(self) -> dict[str, Any]:
        rank = {"rank": self._frozen["rank"]} if self._frozen else {}
        return {**asdict(self._shape), **rank, "seed": self._seed}

    @property
    def identity(self) -> dict[str, str | float]:
        """The tokenizer by content, the model's shape, and with a rank the weights under the adapters by content."""
        shape = {name: size for name, size in asdict(self._shape).items() if name != "vocabulary"}
        return {"tokenizer": content_key(self.tokenizer.to_str()), **shape, **self._frozen}

    def _write_weights(self, folder: Path) -> None:
        if self._frozen:
            from kgrl.learners.decoder.layers import merged_state  # here, since PEFT takes seconds to import

            save_tensors(folder / _WEIGHTS, merged_state(self.model))
            save_tensors(folder / _TRAINED, self.views())
        else:
            save_tensors(folder / _WEIGHTS, self.views())
        vocabulary = self.tokenizer.get_vocab_size()
        write_json(folder / "config.json", replace(self._shape, vocabulary=vocabulary).config(self._document))
        write_text(folder / "tokenizer.json", self.tokenizer.to_str(pretty=True))
        write_json(folder / "tokenizer_config.json", {"bos_token": _DOCUMENT, "tokenizer_class": "TokenizersBackend"})

    def _read_weights(self, folder: Path) -> None:
        tensors = read_tensors(folder / (_TRAINED if self._frozen else _WEIGHTS))
        with torch.no_grad():
            for name, weight in self.views().items():
                weight.copy_(tensors[name])


def train_tokenizer(corpus: Corpus, vocabulary: int) -> Tokenizer:
    """Train a byte-level BPE tokenizer on a corpus's train passages, or read the one trained before.

    Args:
        corpus: The corpus; its held-out passages are not read.
        vocabulary: Entries, at most; 256 bytes and the document token are among them.
    """
    path = cache_dir() / "tokenizers" / f"{content_key(corpus.fingerprint, str(vocabulary))}.json"
    cached(path, make=lambda: write_text(path, _trained_tokenizer(corpus, vocabulary).to_str()))
    # Read even when it was trained just now, so that the first run and the next have the same tokenizer.
    tokenizer: Tokenizer = Tokenizer.from_file(str(path))
    # As transformers sets it, which changes no token: saved learners of earlier versions know their tokenizer by it.
    tokenizer.post_processor = processors.TemplateProcessing(single="$A:0", pair="$A:0 $B:1", special_tokens=[])
    return tokenizer


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


def _random_model(shape: Shape, seed: int) -> Llama:
    """A model whose weights depend on its shape and the seed alone."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Llama(shape)


def _make_low_rank(drawn: Llama, rank: int, seed: int) -> tuple[LlamaForCausalLM, Decoder]:
    """Return a model as drawn, with frozen linear layers and adapters on them; embeddings and norms are trained."""
    # Here, since transformers and PEFT take seconds to import.
    from transformers import LlamaConfig, LlamaForCausalLM

    from kgrl.learners.decoder.adding import add_adapter
    from kgrl.learners.decoder.layers import fuse
    from kgrl.learners.decoder.pretrained import PretrainedDecoder

    with torch.random.fork_rng():  # the weights that it draws are replaced
        model = LlamaForCausalLM(LlamaConfig(**drawn.shape.config(first=0)))
    model.to(drawn.head.device)  # type: ignore[arg-type] # transformers' wrapper hides the signature
    model.load_state_dict(drawn.state_dict(), strict=False)  # without the output embedding, which is the input's
    # Listed first, since PEFT freezes everything but its own matrices.
    rest = {name for name, weight in model.named_parameters() if "_proj." not in name}
    adapted = add_adapter(model, seed, rank, _ALPHA_PER_RANK * rank, "all-linear")
    for name, weight in model.named_parameters():
        if name in rest:
            weight.requires_grad_(True)
    if drawn.head.device.type == "cpu":  # elsewhere other passes over memory cost the most
        fuse(adapted)
    return model, PretrainedDecoder(model)
