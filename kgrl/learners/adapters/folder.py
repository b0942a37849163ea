"""Adapter folders: what a LoRA learner learned, as a plain PEFT folder that says what is in it.

    FOLDER/adapter_config.json          PEFT's own two files: `peft.PeftModel.from_pretrained` loads the folder,
    FOLDER/adapter_model.safetensors    and `merge_and_unload` merges it
    FOLDER/kgrl.json                    the base model as name@hash, and the facts
    FOLDER/README.md                    the same for people: a model card with Hugging Face's front matter

Folders made by others have the first two only; of their base model no more than the name is known.
"""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from importlib.metadata import version
from pathlib import Path, PurePath
from typing import Any

import yaml
from safetensors import SafetensorError
from torch import Tensor

from kgrl.errors import DataError, KgrlError
from kgrl.learners.decoder.model_names import HUB_NAMES
from kgrl.system.files import write_json, write_text
from kgrl.system.tensors import read_tensors, save_tensors

__all__ = [
    "Adapter",
    "AdapterFacts",
    "check_base",
    "describe_adapter",
    "is_adapter",
    "read_adapter",
    "same_base",
    "save_adapter",
]


_CONFIG, _WEIGHTS, _FACTS, _CARD = "adapter_config.json", "adapter_model.safetensors", "kgrl.json", "README.md"

_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"

_MOST_TITLES = 20


@dataclass(frozen=True)
class AdapterFacts:
    """What an adapter learned, as its card tells it.

    Args:
        corpus: The name of the corpus; empty if not known.
        titles: Titles of the topics it was trained on.
        tokens: Tokens it was trained on.
        seed: The learner's seed; None for a composed adapter.
        losses: Losses by what was measured, in nats per token, for example `{"exam": 3.1}`.
        method: How it was composed; empty if it was trained.
        sources: Names of the adapters it was composed of.
    """

    corpus: str = ""
    titles: tuple[str, ...] = ()
    tokens: int = 0
    seed: int | None = None
    losses: Mapping[str, float] = field(default_factory=dict)
    method: str = ""
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class Adapter:
    """An adapter in memory.

    Args:
        name: What it is called in messages and cards: its folder's name.
        base: Its base model as `name@hash`, or the name alone where the hash is not known.
        config: The content of `adapter_config.json`.
        tensors: Its weights by PEFT's names.
        facts: What it learned; empty for a folder made by others.
    """

    name: str
    base: str
    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    facts: AdapterFacts = AdapterFacts()

    @property
    def rank(self) -> int:
        """Rank of the matrices."""
        return int(self.config["r"])

    @property
    def scale(self) -> float:
        """What the product of the matrices is multiplied by: alpha / rank, or alpha / sqrt(rank) with rsLoRA."""
        divisor = math.sqrt(self.rank) if self.config.get("use_rslora") else self.rank
        return float(self.config["lora_alpha"]) / divisor

    @cached_property
    def layers(self) -> dict[str, tuple[Tensor, Tensor]]:
        """The matrices A `[rank, inputs]` and B `[outputs, rank]` of each layer by the layer's name."""
        names = [name.removesuffix(_DOWN) for name in self.tensors if name.endswith(_DOWN)]
        return {name: (self.tensors[name + _DOWN], self.tensors[name + _UP]) for name in names}

    def delta(self, layer: str) -> Tensor:
        """What the adapter adds to a layer's weight, scale * B A, shape `[outputs, inputs]`."""
        down, up = self.layers[layer]
        return self.scale * (up @ down)


def is_adapter(folder: Path) -> bool:
    """Return whether a folder holds a PEFT adapter."""
    return (folder / _CONFIG).is_file()


def save_adapter(adapter: Adapter, folder: Path) -> None:
    """Write an adapter as an adapter folder; each file is replaced atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    save_tensors(folder / _WEIGHTS, dict(adapter.tensors))
    write_json(folder / _CONFIG, dict(adapter.config))
    describe_adapter(folder, adapter.base, adapter.facts)


def describe_adapter(folder: Path, base: str, about: AdapterFacts) -> None:
    """Write `kgrl.json` and the model card beside the two files that PEFT writes.

    Args:
        folder: The adapter's folder, which has those two files.
        base: The base model as `name@hash`.
        about: What was learned.
    """
    config = _read_config(folder)
    write_json(folder / _FACTS, {"base_model": base, "kgrl": version("kgrl"), **asdict(about)})
    write_text(folder / _CARD, _card(base, config, about))


def read_adapter(folder: Path) -> Adapter:
    """Read an adapter folder, also one that others made.

    Raises:
        KgrlError: If the folder holds no adapter.
        DataError: If a file of it cannot be used; the message names the file.
    """
    config = _read_config(folder)
    base, facts = _read_facts(folder)
    try:
        tensors = read_tensors(folder / _WEIGHTS)
    except SafetensorError as error:
        raise DataError(folder / _WEIGHTS, None, f"not a whole safetensors file: {error}") from error
    return Adapter(folder.name, base or _base_name(config), config, tensors, facts)


def check_base(adapter: Adapter, base: str) -> None:
    """Check that an adapter is for a base model.

    Models are told apart by hash; for a folder made by others, which has none, by name.

    Args:
        adapter: The adapter.
        base: The base model as `name@hash`.

    Raises:
        KgrlError: If the adapter is for another base model; the message names both with their hashes.
    """
    if not same_base(adapter.base, base):
        raise KgrlError(f"the adapter {adapter.name!r} is for the base model {adapter.base}, not for {base}")


def same_base(one: str, other: str) -> bool:
    """Return whether two base models are the same: by hash where both have one, else by name.

    Example:
        >>> same_base("smollm2@12ab", "copy-of-smollm2@12ab"), same_base("smollm2@12ab", "smollm2@34cd")
        (True, False)
        >>> same_base("smollm2@12ab", "HuggingFaceTB/SmolLM2-135M-Instruct")
        True
    """
    (name, _, digest), (other_name, _, other_digest) = one.partition("@"), other.partition("@")
    if digest and other_digest:
        return digest == other_digest
    return _short(name) == _short(other_name)


def _short(name: str) -> str:
    """A model's name without its owner or the folders it lies in."""
    return PurePath(HUB_NAMES.get(name, name)).name


def _read_config(folder: Path) -> dict[str, Any]:
    if not is_adapter(folder):
        raise KgrlError(f"{folder} holds no adapter: {_CONFIG} is missing")
    config = _read_object(folder / _CONFIG)
    for name in ("r", "lora_alpha") if config.get("peft_type") == "LORA" else ():
        if not isinstance(config.get(name), int | float) or config[name] <= 0:
            raise DataError(folder / _CONFIG, None, f"{name} must be a positive number, not {config.get(name)!r}")
    return config


def _read_facts(folder: Path) -> tuple[str, AdapterFacts]:
    """The base model as name@hash, and the facts; both empty for a folder that others made."""
    path = folder / _FACTS
    if not path.is_file():
        return "", AdapterFacts()
    record = _read_object(path)
    known: dict[str, Any] = {f.name: record[f.name] for f in fields(AdapterFacts) if f.name in record}
    known |= {name: tuple(known[name]) for name in ("titles", "sources") if name in known}
    return str(record.get("base_model", "")), AdapterFacts(**known)


def _read_object(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # no UTF-8, or no JSON
        raise DataError(path, None, f"not JSON: {error}") from error
    if not isinstance(record, dict):
        raise DataError(path, None, f"holds a {type(record).__name__}, not a JSON object")
    return record


def _base_name(config: Mapping[str, Any]) -> str:
    """The base model's name as PEFT wrote it; of a folder on somebody's machine the last part."""
    name = str(config.get("base_model_name_or_path") or "unknown")
    return PurePath(name).name if PurePath(name).is_absolute() else name


def _card(base: str, config: Mapping[str, Any], about: AdapterFacts) -> str:
    """The model card, Markdown with YAML front matter; texts from outside are escaped."""
    name = base.partition("@")[0]
    model = HUB_NAMES.get(name, name)
    head = {"base_model": model, "library_name": "peft", "pipeline_tag": "text-generation", "tags": ["kgrl", "lora"]}
    front = yaml.safe_dump(head, sort_keys=False, allow_unicode=True)
    title = "Composed adapter" if about.method else "Adapter"
    facts = "\n".join(f"- {name}: {value}" for name, value in _facts_shown(base, config, about))
    # A JSON string is a Python string too, and has no line break that could end the block.
    load = (
        "from peft import PeftModel\n"
        "from transformers import AutoModelForCausalLM\n"
        f"model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained({json.dumps(model)}), FOLDER)"
    )
    return f"---\n{front}---\n\n# {title} for {_escaped(model)}\n\n{facts}\n\nTo load it:\n\n```python\n{load}\n```\n"


def _facts_shown(base: str, config: Mapping[str, Any], about: AdapterFacts) -> list[tuple[str, str]]:
    """Names and values, ready for Markdown; what is not known is left out."""
    shown = [("base model", _escaped(base)), ("rank, alpha", f"{config.get('r')}, {config.get('lora_alpha')}")]
    shown += [("composed by", _escaped(about.method))] if about.method else []
    shown += [("composed of", _listed(about.sources))] if about.sources else []
    shown += [("corpus", _escaped(about.corpus))] if about.corpus else []
    shown += [(f"topics ({len(about.titles)})", _listed(about.titles))] if about.titles else []
    shown += [("tokens trained on", f"{about.tokens:,}")] if about.tokens else []
    shown += [("seed", str(about.seed))] if about.seed is not None else []
    shown += [(f"{_escaped(name)} loss", f"{loss:.4f} nats per token") for name, loss in about.losses.items()]
    return [*shown, ("made with", f"kgrl {version('kgrl')}")]


def _listed(names: tuple[str, ...]) -> str:
    more = [f"and {len(names) - _MOST_TITLES} more"] if len(names) > _MOST_TITLES else []
    return ", ".join([_escaped(name) for name in names[:_MOST_TITLES]] + more)


def _escaped(text: str) -> str:
    """A text as one line of Markdown in which nothing is markup."""
    line = "".join(character for character in " ".join(text.split()) if character.isprintable())
    return re.sub(r"([\\`*_\[\]|~#])", r"\\\1", html.escape(line, quote=False))
