"""One adapter composed of several, by task arithmetic and its relatives.

Adapter i changes a layer's weight by s_i B_i A_i. Concatenating the ranks represents a weighted sum of such changes
exactly, at n times the rank. PEFT's `linear`, `ties` and `dare` keep the rank: they merge the A and the B apart, each
weighted by sqrt(w s_i), as `LoraModel.add_weighted_adapter` does, by the functions it uses. The result is therefore not
the merged change. For `linear` it is

    (sum_i sqrt(w s_i) B_i) (sum_j sqrt(w s_j) A_j) = sum_i w s_i B_i A_i + cross terms w sqrt(s_i s_j) B_i A_j, i != j.

The cross terms are noise if the A were initialised apart. If they started alike and moved little, A_i = A, the product
is n w s (sum_i B_i) A: with the mean's w = 1/n that is the whole sum of the changes, not their mean.
"""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from kgrl.errors import KgrlError, SettingError
from kgrl.learners.adapters.folder import Adapter, AdapterFacts, check_plain, same_base
from kgrl.system.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Factors", "compose", "methods"]

Factors: TypeAlias = "tuple[Tensor, Tensor]"
"""The matrices A `[rank, inputs]` and B `[outputs, rank]` of a layer, whose change is B A."""

methods = Registry[Factors]("composition method")
"""Functions from one layer's A, its B, and its scales s `[n]` in all adapters to the composed layer."""


def compose(
    adapters: Sequence[Adapter], method: str = "task-arithmetic", *, seed: int = 0, **options: float
) -> Adapter:
    """Compose adapters of the same base model, rank and layers into one.

    Args:
        adapters: The adapters, at least one.
        method: `task-arithmetic`, `cat`, `linear`, `ties` or `dare`.
        seed: Seeds the choice of values that `dare` drops.
        options: `weight`, the factor of each adapter, and for `ties` and `dare` also `density`, the share of values
            kept; the method's own defaults where they are left out.

    Returns:
        An adapter with the scale 1, `lora_alpha` equal to its rank; its facts sum up those of the sources.

    Raises:
        UnknownNameError: If no method has that name.
        SettingError: If the method has no such option, the weight is not finite, or the density not in (0, 1].
        KgrlError: If an adapter is not plain LoRA, see `kgrl.learners.adapters.folder.check_plain`, or the adapters
            do not fit together; the message names two that differ, and in what.

    Example:
        >>> import torch
        >>> config = {"peft_type": "LORA", "r": 1, "lora_alpha": 2}
        >>> tensors = {"q.lora_A.weight": torch.ones(1, 2), "q.lora_B.weight": torch.ones(3, 1)}
        >>> one = Adapter("one", "smollm2@12ab", config, tensors)
        >>> both = compose([one, one], weight=0.25)
        >>> both.rank, both.scale, both.delta("q")[0].tolist()
        (2, 1.0, [1.0, 1.0])
    """
    import torch  # here, since it takes seconds to import, and names are listed without it

    if not adapters:
        raise SettingError("no adapters to compose")
    merge = methods[method]
    _check_options(method, options)
    for adapter in adapters:
        check_plain(adapter)
        _check_alike(adapters[0], adapter)
    scales = torch.tensor([adapter.scale for adapter in adapters])
    tensors: dict[str, Tensor] = {}
    # PEFT's `dare` draws from torch's global generator, which is put back afterwards.
    with torch.random.fork_rng(devices=[]), torch.no_grad(), warnings.catch_warnings():
        torch.manual_seed(seed)
        warnings.filterwarnings("ignore", message="The density 1")  # PEFT says that this prunes nothing; it is wanted
        for layer in sorted(adapters[0].layers):
            downs, ups = zip(*(adapter.layers[layer] for adapter in adapters), strict=True)
            down, up = merge([a.float() for a in downs], [b.float() for b in ups], scales, **options)
            tensors |= {f"{layer}.lora_A.weight": down, f"{layer}.lora_B.weight": up}
    return _composed(adapters, tensors, len(down), _described(method, options))


@methods.register("task-arithmetic")
def _task_arithmetic(downs: list[Tensor], ups: list[Tensor], scales: Tensor, weight: float = 0.4) -> Factors:
    """The sum of the changes times a weight, exactly (Ilharco et al. 2023).

    The default weight is the one that they advise without validation data, as Yadav et al. 2023 report it.
    """
    import torch

    # [n rank, inputs] and [outputs, n rank]: block i of the product is the change of adapter i.
    return torch.cat(downs), torch.cat([weight * s * up for s, up in zip(scales, ups, strict=True)], dim=1)


@methods.register("cat")
def _concatenate(downs: list[Tensor], ups: list[Tensor], scales: Tensor, weight: float | None = None) -> Factors:
    """The mean of the changes, exactly: PEFT's `cat` with the weight 1/n."""
    return _task_arithmetic(downs, ups, scales, 1 / len(ups) if weight is None else weight)


@methods.register("linear")
def _linear(downs: list[Tensor], ups: list[Tensor], scales: Tensor, weight: float | None = None) -> Factors:
    """Sums of the A and of the B; the weight is 1/n if none is given."""
    left, right = _shares(scales, 1 / len(ups) if weight is None else weight)
    return _merges().task_arithmetic(downs, left), _merges().task_arithmetic(ups, right)


@methods.register("ties")
def _ties(downs: list[Tensor], ups: list[Tensor], scales: Tensor, weight: float = 1.0, density: float = 0.2) -> Factors:
    """Keep the largest values, elect signs, average the values that agree (Yadav et al. 2023, with their defaults).

    They merge the changes of all weights; PEFT, and so this function, merges the A and the B.
    """
    left, right = _shares(scales, weight)
    return _merges().ties(downs, left, density), _merges().ties(ups, right, density)


@methods.register("dare")
def _dare(
    downs: list[Tensor], ups: list[Tensor], scales: Tensor, weight: float | None = None, density: float = 0.5
) -> Factors:
    """Drop values at random, rescale the others by 1 / density and sum (Yu et al. 2024); the weight is 1/n by default.

    Dropping in A and in B keeps the share density^2 of the products that make up a change. The paper's drop rates of
    0.9 are for changes themselves.
    """
    left, right = _shares(scales, 1 / len(ups) if weight is None else weight)
    return _merges().dare_linear(downs, left, density), _merges().dare_linear(ups, right, density)


def _merges() -> Any:
    """PEFT's functions, imported when a method is carried out: PEFT takes seconds, and names are listed without it."""
    from peft.utils import merge_utils

    return merge_utils


def _shares(scales: Tensor, weight: float) -> Factors:
    """The factors of the A and of the B, `[n]` each: PEFT puts the root of weight times scale on either side."""
    factors = weight * scales
    roots = factors.abs().sqrt()
    return roots * factors.sign(), roots  # the sign once, or a negative weight would cancel out


def _check_options(method: str, options: dict[str, float]) -> None:
    """Refuse options that the method does not have, and values that make no sense."""
    known = [name for name in inspect.signature(methods[method]).parameters if name in ("weight", "density")]
    for name in options:
        if name not in known:
            raise SettingError(f"the composition method {method!r} has no {name}; it has {', '.join(known)}")
    if not math.isfinite(options.get("weight", 1.0)):
        raise SettingError(f"the weight must be a finite number, not {options['weight']}")
    if not 0 < options.get("density", 1.0) <= 1:
        raise SettingError(f"the density must be above 0 and at most 1, not {options['density']}")


def _check_alike(one: Adapter, other: Adapter) -> None:
    """Refuse two adapters whose base models, ranks, orientations or layers differ."""
    pair = f"the adapters {one.name!r} and {other.name!r} cannot be composed"
    if not same_base(one.base, other.base):
        raise KgrlError(f"{pair}: their base models are {one.base} and {other.base}")
    if one.rank != other.rank:
        raise KgrlError(f"{pair}: their ranks are {one.rank} and {other.rank}")
    if one.config.get("fan_in_fan_out", False) != other.config.get("fan_in_fan_out", False):
        raise KgrlError(f"{pair}: one has transposed weights (fan_in_fan_out), the other has not")
    for layer in sorted(one.layers.keys() | other.layers.keys()):
        shapes = [_shape(adapter, layer) for adapter in (one, other)]
        if shapes[0] != shapes[1]:
            raise KgrlError(f"{pair}: the layer {layer} is {shapes[0]} in the one and {shapes[1]} in the other")


def _shape(adapter: Adapter, layer: str) -> str:
    """The shape of a layer that an adapter changes, for messages."""
    if layer not in adapter.layers:
        return "missing"
    down, up = adapter.layers[layer]
    return f"{up.shape[0]} x {down.shape[1]}"


def _described(method: str, options: dict[str, float]) -> str:
    """A method's name with its options, defaults included."""
    parameters = inspect.signature(methods[method]).parameters.values()
    settings = {p.name: options.get(p.name, p.default) for p in parameters if p.default is not p.empty}
    values = ((name, "1/n" if value is None else f"{value:g}") for name, value in settings.items())
    return f"{method} ({', '.join(f'{name} {value}' for name, value in values)})"


def _composed(adapters: Sequence[Adapter], tensors: dict[str, Tensor], rank: int, method: str) -> Adapter:
    """The composed adapter, with facts that sum up those of its sources."""
    facts = [adapter.facts for adapter in adapters]
    about = AdapterFacts(
        corpus=", ".join(dict.fromkeys(f.corpus for f in facts if f.corpus)),
        titles=tuple(dict.fromkeys(title for f in facts for title in f.titles)),
        tokens=sum(f.tokens for f in facts),
        method=method,
        sources=tuple(adapter.name for adapter in adapters),
    )
    # A folder made by others has no hash: the base model is named by one that has it, if there is one.
    known = next((adapter for adapter in adapters if "@" in adapter.base), adapters[0])
    config = {**adapters[0].config, "r": rank, "lora_alpha": rank, "use_rslora": False}
    return Adapter(method.partition(" ")[0], known.base, config, tensors, about, known.origin)
