"""The parts of a sentence encoder on plain torch and transformers: tokenizer, transformer, pooling, layers behind it.

Each gives what sentence-transformers gives (tests compare them on saved models), but for padding: it is always behind
a text and masked, so that a text's vector does not depend on those that it is encoded with.
"""

from __future__ import annotations

import inspect
import json
import pickle  # noqa: TID251 - for the name of an error alone
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from tokenizers.normalizers import Lowercase
from tokenizers.normalizers import Sequence as Normalizers
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForTextEncoding, AutoTokenizer, PreTrainedTokenizerBase
from transformers.modeling_utils import load_state_dict
from transformers.models.auto.modeling_auto import MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES
from transformers.utils import logging as transformers_logging

from kgrl.errors import DataError, SettingError
from kgrl.retrieval.encoder_folder import Dense, EncoderFolder, Normalize
from kgrl.system.devices import CPU
from kgrl.system.tensors import read_tensors

__all__ = ["Tokens", "Transformer", "make_layers", "pool"]

_ACTIVATIONS = ("torch.nn.modules.activation", "torch.nn.modules.linear")
"""Modules of torch with activations; the second has `Identity`."""
_DAMAGE = (SafetensorError, pickle.UnpicklingError, EOFError)
"""Errors of damaged files of weights, and of elder ones that hold more than tensors."""
Tokens = dict[str, list[int]]
"""Inputs of a model for one text by name, such as `input_ids`."""

_WEIGHTS, _ELDER_WEIGHTS = "model.safetensors", "pytorch_model.bin"


class Transformer:
    """The transformer of an encoder with its tokenizer.

    Args:
        told: What the encoder's folder says.
        dtype: Number format of its weights.
        device: Name of the device to compute on.

    Raises:
        DataError: If it cannot be loaded; the message names the folder.
    """

    def __init__(self, told: EncoderFolder, dtype: str, device: str = CPU) -> None:
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call] # it is drawn even if stderr is not a terminal
        self._prompt = told.prompt
        try:
            self._model = _load_model(told.transformer, dtype).to(device)
            self._tokenizer = _load_tokenizer(told, self._model.config)
        except (OSError, ValueError, TypeError, KeyError, AttributeError, ImportError, RuntimeError, *_DAMAGE) as error:
            raise DataError(told.transformer, None, f"the encoder's model cannot be loaded: {error}") from error
        self._inputs = inspect.signature(self._model.forward).parameters.keys()

    def tokens(self, texts: Sequence[str], max_tokens: int) -> list[Tokens]:
        """Return what the model reads of each text, its tokens and what belongs to them; no text is padded."""
        limit = min(max_tokens, self._tokenizer.model_max_length)
        made = self._tokenizer([self._prompt + text for text in texts], truncation=True, max_length=limit)
        return [dict(zip(made, row, strict=True)) for row in zip(*made.values(), strict=True)]

    def states(self, batch: list[Tokens]) -> tuple[Tensor, Tensor]:
        """Return the states of the last layer `[texts, tokens, width]`, and the mask of tokens `[texts, tokens]`."""
        padded = self._tokenizer.pad(batch, return_tensors="pt")
        # Tokenizers make more than some models read, such as the types of tokens.
        given = {name: tensor.to(self._model.device) for name, tensor in padded.items() if name in self._inputs}
        mask = padded["attention_mask"].to(self._model.device)
        return self._model(**given).last_hidden_state.float(), mask


def _load_model(folder: Path, dtype: str) -> Any:
    """Return a transformer in which no weights are left to chance; of T5 and its like, the encoder."""
    named = MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES.get(AutoConfig.from_pretrained(folder).model_type, "")
    kind = AutoModelForTextEncoding if named.endswith("EncoderModel") else AutoModel
    model, loading = kind.from_pretrained(folder, dtype=dtype, output_loading_info=True)
    # The pooler is a layer behind the states, which are all that is used.
    if missing := sorted(name for name in loading["missing_keys"] if not name.startswith("pooler.")):
        raise ValueError(f"its files lack the weights {', '.join(missing[:5])}")
    return model.eval()


def _load_tokenizer(told: EncoderFolder, config: Any) -> PreTrainedTokenizerBase:
    tokenizer: Any = AutoTokenizer.from_pretrained(told.transformer)
    most = getattr(config, "max_position_embeddings", -1)  # -1: XLNet's word for any number
    own = tokenizer.model_max_length if most in (None, -1) else min(tokenizer.model_max_length, most)
    tokenizer.model_max_length = told.most_tokens or own
    tokenizer.padding_side = "right"
    if tokenizer.pad_token is None:  # any will do, since padding is masked
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token or tokenizer.convert_ids_to_tokens(0)
    if told.lower_case:
        _lower_case(tokenizer.backend_tokenizer)
    return tokenizer  # type: ignore[no-any-return]


def _lower_case(backend: Any) -> None:
    """Have a tokenizer put texts in small letters first, unless it does already."""
    known = json.dumps(json.loads(backend.to_str())["normalizer"])
    if '"Lowercase"' not in known and '"lowercase": true' not in known:
        first = [] if backend.normalizer is None else [backend.normalizer]
        backend.normalizer = Normalizers([Lowercase(), *first])


def pool(states: Tensor, mask: Tensor, modes: Sequence[str]) -> Tensor:
    """Pool the states of each text by some modes, and concatenate the results.

    Args:
        states: States of the last layer, shape `[texts, tokens, width]`.
        mask: 1 for tokens of the text and 0 behind them, shape `[texts, tokens]`.
        modes: Names of modes.

    Returns:
        Shape `[texts, modes * width]`.
    """
    return torch.cat([_MODES[mode](states, mask.unsqueeze(-1)) for mode in modes], dim=1)


def _mean(states: Tensor, mask: Tensor) -> Tensor:
    return (states * mask).sum(1) / mask.sum(1)


def _mean_sqrt_len(states: Tensor, mask: Tensor) -> Tensor:
    return (states * mask).sum(1) / mask.sum(1).sqrt()


def _weighted_mean(states: Tensor, mask: Tensor) -> Tensor:
    """The mean in which the n-th token counts n times (Muennighoff 2022)."""
    weights = mask * torch.arange(1, states.shape[1] + 1, device=states.device).view(1, -1, 1)
    return (states * weights).sum(1) / weights.sum(1)


def _last_token(states: Tensor, mask: Tensor) -> Tensor:
    last = (mask.squeeze(-1).sum(1) - 1).clamp(min=0)
    return states[torch.arange(len(states), device=states.device), last]


_MODES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cls": lambda states, mask: states[:, 0],
    "max": lambda states, mask: states.masked_fill(mask == 0, -np.inf).amax(1),
    "mean": _mean,
    "mean_sqrt_len_tokens": _mean_sqrt_len,
    "weightedmean": _weighted_mean,
    "lasttoken": _last_token,
}


def make_layers(layers: Sequence[tuple[Path, Dense | Normalize]]) -> nn.Sequential:
    """Make the layers behind the pooling, with their weights.

    Args:
        layers: The folder of each layer, and what its file says.

    Raises:
        DataError: If weights are missing or do not fit; the message names the file.
        SettingError: If an activation is not one of torch's that have no options.
    """
    made = [_Linear(folder, layer) if isinstance(layer, Dense) else _UnitLength() for folder, layer in layers]
    return nn.Sequential(*made).eval().requires_grad_(False)


class _UnitLength(nn.Module):
    """Division of each vector by its length."""

    def forward(self, vectors: Tensor) -> Tensor:
        """Return vectors of length 1, shape as given."""
        return nn.functional.normalize(vectors, dim=1)


class _Linear(nn.Module):
    """A linear layer, its activation, and the vector that came in added where the layer says so."""

    def __init__(self, folder: Path, told: Dense) -> None:
        super().__init__()
        sizes: dict[str, tuple[int, ...]] = {"linear.weight": (told.out_features, told.in_features)}
        sizes |= {"linear.bias": (told.out_features,)} if told.bias else {}
        if told.use_residual and told.in_features != told.out_features:
            sizes["residual.weight"] = (told.out_features, told.in_features)
        self.weights = _read_weights(folder, sizes)
        self.activation = _activation(told.activation_function, folder)
        self.use_residual = told.use_residual

    def forward(self, vectors: Tensor) -> Tensor:
        """Return the layer's vectors, shape `[texts, out_features]`."""
        linear = nn.functional.linear(vectors, self.weights["linear.weight"], self.weights.get("linear.bias"))
        made: Tensor = self.activation(linear)
        if not self.use_residual:
            return made
        residual = self.weights.get("residual.weight")
        return made + (vectors if residual is None else nn.functional.linear(vectors, residual))


def _activation(name: str, folder: Path) -> nn.Module:
    """Return an activation by its full name, such as `torch.nn.modules.activation.Tanh`."""
    module, _, kind = name.rpartition(".")
    known = getattr(nn, kind, None) if module == "torch.nn" or module in _ACTIVATIONS else None
    if isinstance(known, type) and issubclass(known, nn.Module) and known.__module__ in _ACTIVATIONS:
        with suppress(TypeError):  # one that has to be given options
            made = known()
            if not list(made.parameters()):
                return made
    raise SettingError(f"{folder} has the activation {name}, which kgrl does not carry out")


def _read_weights(folder: Path, sizes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Read a layer's weights; of the elder format nothing but tensors is loaded."""
    path = next((folder / name for name in (_WEIGHTS, _ELDER_WEIGHTS) if (folder / name).is_file()), folder / _WEIGHTS)
    try:
        found = read_tensors(path) if path.name == _WEIGHTS else load_state_dict(path, weights_only=True)
        shapes = {name: tuple(tensor.shape) for name, tensor in found.items()}
    except (RuntimeError, OSError, AttributeError, *_DAMAGE) as error:
        raise DataError(path, None, f"the weights of a layer cannot be read: {error}") from error
    if shapes != sizes:
        raise DataError(path, None, f"the layer has the weights {shapes}, and its config.json asks for {sizes}")
    return {name: tensor.float() for name, tensor in found.items()}
