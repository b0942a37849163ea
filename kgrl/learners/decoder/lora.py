"""The LoRA learner: a pretrained transformer whose weights stay as they are, and an adapter that is taught."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import peft
import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from kgrl.corpus import Corpus
from kgrl.errors import KgrlError, SettingError, UnknownNameError
from kgrl.learners.adapters.folder import Adapter, AdapterFacts, check_base, describe_adapter, read_adapter
from kgrl.learners.decoder.learner import DecoderLearner
from kgrl.learners.decoder.low_rank import fuse
from kgrl.learners.decoder.models import fingerprint, load_pretrained
from kgrl.learners.decoder.plugin import Plugin
from kgrl.system.device import best_dtype
from kgrl.system.files import write_json
from kgrl.system.tensors import read_tensors, save_tensors

__all__ = ["LoraLearner", "add_adapter", "write_adapter"]


_ADAPTER = "adapter_model.safetensors"

_PREFIX = "base_model.model."
"""What PEFT's files put before the base model's own names."""


class LoraLearner(DecoderLearner):
    """Low-rank adapters on all linear layers of a pretrained causal model (Hu et al. 2021), through PEFT.

    A saved learner is a plain PEFT folder, which `peft.PeftModel.from_pretrained` reads, with the optimizer's state.

    Args:
        corpus: The corpus whose passages are taught and measured.
        seed: Seeds the adapter's initial weights; the model's losses do not depend on it until something is learned.
        model: `"smollm2"` (SmolLM2-135M-Instruct), a folder, or a name on the Hugging Face hub.
        rank: Rank of the adapter's matrices.
        alpha: Scale of the adapter; its output is multiplied by `alpha / rank`.
        target_modules: `"all-linear"`, or names of the layers that get an adapter, such as `["q_proj", "v_proj"]`.
        learning_rate: AdamW's learning rate after the warm-up.
        block_tokens: Tokens of one update, about.
        warmup_steps: Updates until the learning rate is reached.
        dtype: Number format of the model's own weights; by default the fastest of this machine. The adapter is float32.
        plugins: What changes lessons, updates or measurements; see `kgrl.learners.plugins`.
        device: Where to compute, for example `"cuda"`; by default the CPU.

    Raises:
        MissingDataError: If the model is not to be had.
        UnknownNameError: If the model is unknown, or lacks a target module; the message lists those it has.
    """

    kind = "lora"

    def __init__(
        self,
        corpus: Corpus,
        *,
        seed: int = 0,
        model: str = "smollm2",
        rank: int = 8,
        alpha: int = 16,
        target_modules: str | Sequence[str] = "all-linear",
        learning_rate: float = 5e-4,
        block_tokens: int = 128,
        warmup_steps: int = 5,
        plugins: Sequence[Plugin] = (),
        dtype: torch.dtype | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        base, tokenizer = load_pretrained(model, dtype if dtype is not None else best_dtype(device))
        self._base = f"{Path(model).name}@{fingerprint(base)}"
        self.rank, self.alpha = rank, alpha
        self.peft_model = add_adapter(base, seed, rank, alpha, target_modules)
        fuse(self.peft_model)
        super().__init__(
            corpus,
            base.to(torch.device(device)),  # type: ignore[arg-type] # transformers' wrapper hides the signature
            tokenizer,
            learning_rate=learning_rate,
            block_tokens=block_tokens,
            warmup_steps=warmup_steps,
            plugins=plugins,
        )

    @property
    def identity(self) -> dict[str, str | int]:
        """The base model by name and content, and the adapter's shape."""
        return {"base_model": self._base, "rank": self.rank, "alpha": self.alpha}

    def load_adapter(self, folder: Path) -> None:
        """Read an adapter folder in place of what was learned; the optimizer starts afresh.

        Raises:
            KgrlError: If the folder holds no adapter, or one that does not fit, see `weights_of`.
        """
        weights = self.weights_of(read_adapter(folder))
        with torch.no_grad():
            self.weights.copy_(weights)
        self.begin_anew()

    def weights_of(self, adapter: Adapter) -> torch.Tensor:
        """Return the vector of weights that changes the model as an adapter does, shape `[trained weights]`.

        One of a lower rank is padded with zeros, one of another scale rescaled; layers it lacks stay as they are.

        Raises:
            SettingError: If the adapter's rank is higher than the learner's.
            KgrlError: If it is for another base model, or on layers that the learner has no adapter on.
        """
        check_base(adapter, str(self.identity["base_model"]))
        if adapter.rank > self.rank:
            ranks = f"has rank {adapter.rank}: give the learner at least that rank, not {self.rank}"
            raise SettingError(f"the adapter {adapter.name!r} {ranks}")
        weights = torch.zeros_like(self.weights.detach())
        for layer, (down, up) in adapter.layers.items():
            name = layer.removeprefix(_PREFIX)
            if f"{name}.lora_A.default.weight" not in self.slices:
                raise KgrlError(
                    f"the adapter {adapter.name!r} is on the layer {name}, which this learner does not adapt"
                )
            self.view(weights, f"{name}.lora_A.default.weight")[: len(down)] = down
            scaled = adapter.scale / (self.alpha / self.rank) * up
            self.view(weights, f"{name}.lora_B.default.weight")[:, : len(down)] = scaled
        return weights

    def _write_weights(self, folder: Path) -> None:
        save_tensors(folder / _ADAPTER, _adapter_state(self.peft_model))
        config = self.peft_model.peft_config["default"].to_dict()
        config["inference_mode"] = True
        write_json(folder / "adapter_config.json", _plain(config))

    def _read_weights(self, folder: Path) -> None:
        tensors = read_tensors(folder / _ADAPTER)
        own = _adapter_state(self.peft_model)
        if {n: t.shape for n, t in own.items()} != {n: t.shape for n, t in tensors.items()}:
            raise KgrlError(f"{folder / _ADAPTER} has an adapter on other layers than this learner's")
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(tensors[name])


def add_adapter(
    base: PreTrainedModel, seed: int, rank: int, alpha: int, target_modules: str | Sequence[str]
) -> peft.PeftModel:
    """Put an adapter on a model's layers, in place; its weights depend on the seed alone.

    Args:
        base: The model; all its own weights are frozen.
        seed: Seeds the matrices A; the matrices B are zero.
        rank: Rank of the matrices.
        alpha: Scale of the adapter; its output is multiplied by `alpha / rank`.
        target_modules: `"all-linear"`, or names of the layers that get an adapter.

    Raises:
        UnknownNameError: If the model lacks a target module; the message lists those it has.
    """
    layers = {name.rpartition(".")[2]: type(layer) for name, layer in base.named_modules()}
    linear = {name for name, layer in layers.items() if issubclass(layer, nn.Linear | Conv1D)}
    for name in [] if isinstance(target_modules, str) else target_modules:
        if name not in linear:
            raise UnknownNameError("target module", name, sorted(linear))
    config = peft.LoraConfig(
        task_type="CAUSAL_LM",
        r=rank,
        lora_alpha=alpha,
        target_modules=target_modules if isinstance(target_modules, str) else list(target_modules),
        fan_in_fan_out=Conv1D in layers.values(),  # GPT-2 keeps its weights transposed
    )
    with torch.random.fork_rng(), warnings.catch_warnings():
        # PEFT asks transformers by a name that the latter is about to change; nobody who runs kgrl can do anything.
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        torch.manual_seed(seed)
        return peft.get_peft_model(base, config)


def _adapter_state(model: peft.PeftModel) -> dict[str, torch.Tensor]:
    """The adapter's weights by name. Embeddings are never trained, so PEFT need not look at the base model's files."""
    state: dict[str, torch.Tensor] = peft.get_peft_model_state_dict(model, save_embedding_layers=False)
    return state


def _plain(config: dict[str, object]) -> dict[str, object]:
    """A PEFT configuration as JSON has it: sets become sorted lists."""
    return {key: sorted(value) if isinstance(value, set) else value for key, value in config.items()}


def write_adapter(learner: LoraLearner, folder: Path, about: AdapterFacts) -> None:
    """Write what a learner has learned as an adapter folder; each file is replaced atomically.

    Args:
        learner: The learner.
        folder: The folder; made if it is missing.
        about: What was learned.

    Raises:
        KgrlError: If a plug-in changed the base model's weights, so that an adapter alone would not fit it.
    """
    for plugin in learner.plugins:
        if plugin.rebased:
            raise KgrlError(f"no adapter holds what {plugin.name!r} merged into the base model; use the learner's save")
    folder.mkdir(parents=True, exist_ok=True)
    learner._write_weights(folder)
    describe_adapter(folder, str(learner.identity["base_model"]), about)
