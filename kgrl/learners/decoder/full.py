"""Full fine-tuning: a pretrained transformer, all of whose weights are taught."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from transformers import PreTrainedModel

from kgrl.corpus import Corpus
from kgrl.learners.decoder.adding import compute_again
from kgrl.learners.decoder.layers import fuse_llama
from kgrl.learners.decoder.learner import DecoderLearner
from kgrl.learners.decoder.models import fingerprint, load_pretrained
from kgrl.learners.decoder.pretrained import PretrainedDecoder
from kgrl.learners.decoder.schedule import ScheduleName
from kgrl.learners.decoder.token_store import document_token
from kgrl.learners.plugins.base import Plugin
from kgrl.system.devices import find_device
from kgrl.system.files import write_json, write_text
from kgrl.system.tensors import read_tensors, save_tensors

__all__ = ["WEIGHTS", "FullLearner", "ModelFolder"]

WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class ModelFolder:
    """The files of a model's folder beside its weights, by which transformers loads it.

    Args:
        config: The model's configuration.
        tokenizer: The tokenizer, as `tokenizer.json` has it.
        marks: The tokens that begin and end a text; None where there is none.
    """

    config: Mapping[str, Any]
    tokenizer: str
    marks: Mapping[str, str | None]

    @classmethod
    def of(cls, model: PreTrainedModel, tokenizer: Any) -> Self:
        """Describe a model, whose weights are to be written as float32, and its tokenizer."""
        marks = {"bos_token": tokenizer.bos_token, "eos_token": tokenizer.eos_token}
        config = json.loads(model.config.to_json_string()) | {"dtype": "float32"}
        return cls(config, tokenizer.backend_tokenizer.to_str(pretty=True), marks)

    def write(self, folder: Path, weights: Mapping[str, torch.Tensor]) -> None:
        """Write the files of a model into an existing folder."""
        save_tensors(folder / WEIGHTS, dict(weights))
        write_json(folder / "config.json", self.config)
        write_text(folder / "tokenizer.json", self.tokenizer)
        marks = {name: token for name, token in self.marks.items() if token}
        write_json(folder / "tokenizer_config.json", {**marks, "tokenizer_class": "TokenizersBackend"})


class FullLearner(DecoderLearner):
    """A pretrained causal model, all of whose weights are trained, in float32.

    Weights, gradient and the optimizer's averages take 16 bytes a parameter, and a snapshot 12. A saved learner is a
    plain Hugging Face model folder, with the optimizer's state beside it.

    Args:
        corpus: The corpus whose passages are taught and measured.
        seed: Kept for the record; nothing is drawn.
        model: `"smollm2"` (SmolLM2-135M-Instruct), a folder, or a name on the Hugging Face hub.
        checkpointing: Whether layers keep their inputs alone for the backward pass, and compute their states again in
            it: less memory, more time, the same results.
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
        MissingDataError: If a short-named model is neither on this machine nor available from the hub.
        UnknownNameError: If the model or schedule is unknown, or the device is not there.
        SettingError: If a number is out of range, a schedule that decays is not told its tokens, or a plug-in does not
            work with this learner.

    Example:
        >>> import tempfile
        >>> from kgrl.graph import TopicGraph
        >>> from kgrl.learners import ScratchLearner
        >>> graph = TopicGraph.from_links(["Logic", "Set"], [0], [1])
        >>> corpus = Corpus("two", graph, ["Logic asks what follows.", "A set has members."], [0, 1], [0, 0])
        >>> base = Path(tempfile.mkdtemp())
        >>> ScratchLearner(corpus, width=16, heads=2).save(base)  # any folder of a model will do
        >>> learner = FullLearner(corpus, model=str(base))
        >>> learner.learn(corpus.select([0]), token_budget=100).changed > 0.5
        True
    """

    kind = "full"

    def __init__(
        self,
        corpus: Corpus,
        *,
        seed: int = 0,
        model: str = "smollm2",
        checkpointing: bool = False,
        learning_rate: float = 2e-5,
        block_tokens: int = 128,
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
        base, tokenizer = load_pretrained(model, torch.float32)
        self._base = f"{Path(model).name}@{fingerprint(base)}"
        self._loaded_by, self._seed, self._checkpointing = model, seed, checkpointing
        self._folder = ModelFolder.of(base, tokenizer)
        base.to(device)  # type: ignore[arg-type] # transformers' wrapper hides the signature
        decoder = PretrainedDecoder(base)  # compares a few passages, before layers compute again
        if device.type == "cpu":  # elsewhere other passes over memory cost the most
            fuse_llama(base)
        if checkpointing:
            compute_again(base)
        super().__init__(
            corpus,
            base,
            decoder,
            tokenizer.backend_tokenizer,
            document_token(tokenizer),
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
    def _settings(self) -> Mapping[str, Any]:
        computed = {"checkpointing": True} if self._checkpointing else {}
        return {"model": self._loaded_by, **computed, "seed": self._seed}

    @property
    def identity(self) -> dict[str, str | float]:
        """The model by name and content, as it was before training."""
        return {"base_model": self._base}

    def _write_weights(self, folder: Path) -> None:
        self._folder.write(folder, self.views())

    def _read_weights(self, folder: Path) -> None:
        tensors = read_tensors(folder / WEIGHTS)
        with torch.no_grad():
            for name, weight in self.views().items():
                weight.copy_(tensors[name])
