"""The LoRA learner: a pretrained transformer whose weights stay as they are, and an adapter that is taught."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import peft
import torch

from kgrl.corpus import Corpus
from kgrl.errors import KgrlError, SettingError
from kgrl.learners.adapters.folder import (
    PREFIX,
    Adapter,
    AdapterFacts,
    check_base,
    check_plain,
    describe_adapter,
    read_adapter,
)
from kgrl.learners.decoder.adding import add_adapter, compute_again
from kgrl.learners.decoder.layers import fuse
from kgrl.learners.decoder.learner import DecoderLearner
from kgrl.learners.decoder.models import Origin, fingerprint, load_pretrained, origin_of
from kgrl.learners.decoder.pretrained import PretrainedDecoder
from kgrl.learners.decoder.schedule import ScheduleName
from kgrl.learners.decoder.token_store import document_token
from kgrl.learners.plugins.base import Plugin
from kgrl.system.devices import find_device
from kgrl.system.files import write_json
from kgrl.system.tensors import as_dtype, best_dtype, read_tensors, save_tensors

__all__ = ["ADAPTER", "LoraLearner", "adapter_config", "write_adapter"]


ADAPTER = "adapter_model.safetensors"
"""The file of an adapter's weights in its folder."""

_LENGTHS = ".lora_magnitude_vector.default.weight"


class LoraLearner(DecoderLearner):
    """Low-rank adapters on all linear layers of a pretrained causal model (Hu et al. 2021), through PEFT.

    A saved learner is a plain PEFT folder, which `peft.PeftModel.from_pretrained` reads, with the optimizer's state.

    Args:
        corpus: The corpus whose passages are taught and measured.
        seed: Seeds the adapter's initial weights; the model's losses do not depend on it until something is learned.
        model: `"smollm2"` (SmolLM2-135M-Instruct), a folder, or a name on the Hugging Face hub.
        rank: Rank of the adapter's matrices.
        alpha: Scale of the adapter; its output is multiplied by `alpha / rank`.
        target_modules: `"all-linear"`, names of the layers that get an adapter, such as `["q_proj", "v_proj"]` or
            `"q_proj+v_proj"`, or a regular expression that whole names match. The output embedding gets none: it is
            read directly, a tile at a time.
        dora: Whether lengths of the weights' columns are trained apart from their directions (DoRA, Liu et al. 2024).
        rslora: Whether the output is multiplied by `alpha / sqrt(rank)` (rsLoRA, Kalajdzievski 2023).
        checkpointing: Whether layers keep their inputs alone for the backward pass, and compute their states again in
            it: less memory, more time, the same results.
        bits: 8 or 4 to hold the model's own weights in so many bits, by the package bitsandbytes; all by default.
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
        dtype: Number format of the model's own weights, such as `"float32"`; by default the fastest of the device. The
            adapter is float32.
        plugins: Changes to lessons, updates or measurements; see `kgrl.learners.plugins`.
        device: Device to compute on: `"cpu"`, `"cuda"`, `"cuda:1"`, `"mps"`, or `"auto"` for the fastest that is there.

    Raises:
        MissingDataError: If a short-named model is neither on this machine nor available from the hub.
        UnknownNameError: If the model, schedule or number format is unknown, the device is not there, or the model
            lacks a target module; the message lists those there are.
        SettingError: If the output embedding is among the target modules, a number is out of range, a schedule that
            decays is not told its tokens, bitsandbytes is missing, or a plug-in does not work with this learner.

    Example:
        >>> import tempfile
        >>> from kgrl.graph import TopicGraph
        >>> from kgrl.learners import ScratchLearner
        >>> graph = TopicGraph.from_links(["Logic", "Set"], [0], [1])
        >>> corpus = Corpus("two", graph, ["Logic asks what follows.", "A set has members."], [0, 1], [0, 0])
        >>> base = Path(tempfile.mkdtemp())
        >>> ScratchLearner(corpus, width=16, heads=2).save(base)  # any folder of a model will do
        >>> learner = LoraLearner(corpus, model=str(base), rank=4, alpha=8)
        >>> before = learner.losses(corpus.select([0]))
        >>> learned = learner.learn(corpus.select([0]), token_budget=100)
        >>> bool(learner.losses(corpus.select([0])) < before)
        True
    """

    kind = "lora"

    def __init__(
        self,
        corpus: Corpus,
        *,
        seed: int = 0,
        model: str = "smollm2",
        rank: int = 8,
        alpha: float = 16,
        target_modules: str | Sequence[str] = "all-linear",
        dora: bool = False,
        rslora: bool = False,
        checkpointing: bool = False,
        bits: int | None = None,
        learning_rate: float = 5e-4,
        block_tokens: int = 128,
        accumulate: int = 1,
        warmup_steps: int = 5,
        schedule: ScheduleName = "constant",
        schedule_tokens: int | None = None,
        average_tokens: int | None = None,
        linked_windows: bool = False,
        plugins: Sequence[Plugin] = (),
        dtype: torch.dtype | str | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        device = find_device(device)
        if dora and any(plugin.adapts for plugin in plugins):
            names = ", ".join(plugin.name for plugin in plugins if plugin.adapts)
            raise SettingError(f"the plug-in {names} does not know the lengths that DoRA trains; leave one of them out")
        format_ = as_dtype(dtype) if dtype is not None else best_dtype(device)
        base, tokenizer = load_pretrained(model, format_, bits=bits, device=device)
        self._base = f"{Path(model).name}@{fingerprint(base)}"
        self._loaded_by, self._seed = model, seed
        self.rank, self.alpha = rank, alpha
        self._kinds = {"dora": dora, "rslora": rslora, **({} if bits is None else {"bits": bits})}
        self._checkpointing = checkpointing
        self.peft_model = add_adapter(base, seed, rank, alpha, target_modules, dora=dora, rslora=rslora)
        if device.type == "cpu":  # elsewhere other passes over memory cost the most
            fuse(self.peft_model)
        if bits is None:  # quantised weights are where they were loaded
            base.to(device)  # type: ignore[arg-type] # transformers' wrapper hides the signature
        decoder = PretrainedDecoder(base)  # compares a few passages, before layers compute again
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
    def _settings(self) -> dict[str, Any]:
        computed = {"checkpointing": True} if self._checkpointing else {}
        named = {"model": self._loaded_by, "rank": self.rank, "alpha": self.alpha}
        return {**named, **self._set_kinds, **computed, "seed": self._seed}

    @property
    def _set_kinds(self) -> Mapping[str, int]:
        """Settings of the adapter's kind, and of the base model's, that are not the usual ones."""
        return {name: value for name, value in self._kinds.items() if value}

    @property
    def scale(self) -> float:
        """Factor of the adapter's output."""
        return self.alpha / (math.sqrt(self.rank) if self._kinds["rslora"] else self.rank)

    @property
    def identity(self) -> dict[str, str | float]:
        """The base model by name and content, and the adapter's shape and kind."""
        return {"base_model": self._base, "rank": self.rank, "alpha": self.alpha, **self._set_kinds}

    @cached_property
    def origin(self) -> Origin:
        """Origin of the base model's weights."""
        return origin_of(self._loaded_by, self.model, str(self.tokenizer.id_to_token(self._document)))

    def load_adapter(self, folder: Path) -> None:
        """Read an adapter folder, which replaces the learner's own adapter and average; the optimizer starts afresh.

        Raises:
            KgrlError: If the folder holds no adapter, or one that does not fit, see `weights_of`.
        """
        weights = self.weights_of(read_adapter(folder))
        with torch.no_grad():
            self.weights.copy_(weights)
            if self._average is not None:
                self._average.vector.copy_(weights)
        self.reset_optimizer()

    def weights_of(self, adapter: Adapter) -> torch.Tensor:
        """Return the vector of weights that changes the model as an adapter does, shape `[trained weights]`.

        Layers of a lower rank are padded with zeros, those of another scale rescaled; layers it lacks stay as they are.

        Raises:
            SettingError: If the adapter's rank is higher than the learner's, or the learner trains DoRA and the adapter
                is none, or on fewer layers.
            KgrlError: If it is for another base model, is not plain LoRA, see
                `kgrl.learners.adapters.folder.check_plain`, or is on layers that the learner has no adapter on.
        """
        own = Adapter(self.kind, self._base, adapter_config(self.peft_model), {})
        check_base(adapter, own.base)
        check_plain(adapter, host=own.config)
        for layer in adapter.layers:
            if (rank := adapter.rank_of(layer)) > own.rank_of(layer):
                ranks = f"has rank {rank}: give the learner at least that rank, not {self.rank}"
                raise SettingError(f"the adapter {adapter.name!r} {ranks}")
        weights = torch.zeros_like(self.weights.detach())
        if self._kinds["dora"]:
            self._set_lengths(weights, adapter)
        for layer, (down, up) in adapter.layers.items():
            name = layer.removeprefix(PREFIX)
            if f"{name}.lora_A.default.weight" not in self.slices:
                raise KgrlError(
                    f"the adapter {adapter.name!r} is on the layer {name}, which this learner does not adapt"
                )
            own_down = self.view(weights, f"{name}.lora_A.default.weight")[: len(down)]
            own_up = self.view(weights, f"{name}.lora_B.default.weight")[:, : len(down)]
            if own_down.shape != down.shape or own_up.shape != up.shape:
                raise KgrlError(
                    f"the adapter {adapter.name!r} has matrices of shapes {list(down.shape)} and {list(up.shape)} on "
                    f"the layer {name}, which do not fit {list(own_down.shape)} and {list(own_up.shape)}"
                )
            own_down.copy_(down)
            # The learner's scale multiplies B A too: dividing by it leaves the adapter's own.
            own_up.copy_(adapter.scale_of(layer) / own.scale_of(layer) * up)
        return weights

    def _set_lengths(self, weights: torch.Tensor, adapter: Adapter) -> None:
        """Set DoRA's lengths in a vector of weights to an adapter's."""
        if not adapter.lengths:
            raise SettingError("a learner with dora=true has no matrices alone; give the adapter to one without it")
        own = {name for name in self.slices if name.endswith(_LENGTHS)}
        given = {f"{layer.removeprefix(PREFIX)}{_LENGTHS}": lengths for layer, lengths in adapter.lengths.items()}
        if lacking := sorted(own - given.keys()):
            layer, way_out = lacking[0].removesuffix(_LENGTHS), "give the learner the adapter's target_modules"
            raise SettingError(f"the adapter {adapter.name!r} is not on {layer}, which this learner adapts; {way_out}")
        for name in own:
            self.view(weights, name).copy_(given[name])

    def _write_weights(self, folder: Path) -> None:
        save_tensors(folder / ADAPTER, _adapter_state(self.peft_model))
        write_json(folder / "adapter_config.json", {**adapter_config(self.peft_model), "inference_mode": True})

    def _read_weights(self, folder: Path) -> None:
        tensors = read_tensors(folder / ADAPTER)
        own = _adapter_state(self.peft_model)
        if {n: t.shape for n, t in own.items()} != {n: t.shape for n, t in tensors.items()}:
            raise KgrlError(f"{folder / ADAPTER} has an adapter on other layers than this learner's")
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(tensors[name])


def write_adapter(learner: LoraLearner, folder: Path, about: AdapterFacts) -> None:
    """Write what a learner has learned as an adapter folder; each file is replaced atomically.

    Args:
        learner: The learner.
        folder: The folder; made if it is missing.
        about: Facts about the training.

    Raises:
        KgrlError: If a plug-in changed the base model's weights, so that an adapter alone would not fit it.
    """
    for plugin in learner.plugins:
        if plugin.rebased:
            raise KgrlError(f"no adapter holds what {plugin.name!r} merged into the base model; use the learner's save")
    folder.mkdir(parents=True, exist_ok=True)
    learner._write_weights(folder)
    describe_adapter(folder, str(learner.identity["base_model"]), about, learner.origin)


def _adapter_state(model: peft.PeftModel) -> dict[str, torch.Tensor]:
    """The adapter's weights by name. Embeddings are never trained, so PEFT need not look at the base model's files."""
    state: dict[str, torch.Tensor] = peft.get_peft_model_state_dict(model, save_embedding_layers=False)
    return state


def adapter_config(model: peft.PeftModel) -> dict[str, Any]:
    """Return the adapter's PEFT configuration as JSON has it: sets become sorted lists."""
    config = model.peft_config["default"].to_dict()
    return {name: sorted(value) if isinstance(value, set) else value for name, value in config.items()}
