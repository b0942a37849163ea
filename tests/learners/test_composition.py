"""Composed adapters: each method's change of the base's weights, against dense sums and against PEFT's own."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from kgrl.errors import KgrlError, SettingError, UnknownNameError
from kgrl.learners.adapters.composition import compose, methods
from kgrl.learners.adapters.folder import Adapter, AdapterFacts, read_adapter, save_adapter

LAYERS = {"first": (6, 5), "second": (5, 7)}
PREFIX = "base_model.model."


class Net(nn.Module):
    """The base model: two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = (nn.Linear(*shape, bias=False) for shape in LAYERS.values())

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))


def make(name: str = "one", seed: int = 1, rank: int = 2, alpha: int = 6, **config: Any) -> Adapter:
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for layer, (inputs, outputs) in LAYERS.items():
        tensors[f"{PREFIX}{layer}.lora_A.weight"] = torch.randn(rank, inputs, generator=generator)
        tensors[f"{PREFIX}{layer}.lora_B.weight"] = torch.randn(outputs, rank, generator=generator)
    plain = {"peft_type": "LORA", "r": rank, "lora_alpha": alpha, "target_modules": list(LAYERS)}
    return Adapter(name, "net@12ab", {**plain, **config}, tensors, AdapterFacts("tiny", (name,), 100, seed))


def deltas(adapter: Adapter) -> Tensor:
    """The changes of all layers as one vector."""
    return torch.cat([adapter.delta(PREFIX + layer).reshape(-1) for layer in LAYERS])


def merged_change(adapter: Adapter, folder: Path) -> Tensor:
    """The change of the base's weights when PEFT loads the adapter's folder and merges it."""
    save_adapter(adapter, folder)
    model = peft.PeftModel.from_pretrained(Net(), folder).merge_and_unload()
    return torch.cat([(getattr(model, n).weight - getattr(Net(), n).weight).detach().reshape(-1) for n in LAYERS])


def through_peft(adapters: list[Adapter], folder: Path, kind: str, weight: float, **options: Any) -> Tensor:
    """The change of `add_weighted_adapter`."""
    for adapter in adapters:
        save_adapter(adapter, folder / adapter.name)
    names = [adapter.name for adapter in adapters]
    model = peft.PeftModel.from_pretrained(Net(), folder / names[0], adapter_name=names[0])
    for name in names[1:]:
        model.load_adapter(folder / name, adapter_name=name)
    model.add_weighted_adapter(names, [weight] * len(names), "both", kind, **options)
    layers = [getattr(model.base_model.model, name) for name in LAYERS]
    return torch.cat([layer.get_delta_weight("both").detach().reshape(-1) for layer in layers])


ADAPTERS = [make("one", 1), make("two", 2), make("three", 3)]
TOLERANCE: dict[str, float] = {"rtol": 1e-4, "atol": 1e-5}


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=5), st.floats(0.1, 2), st.sampled_from([1, 6, 16]))
@settings(deadline=None)
def test_task_arithmetic_is_the_weighted_sum_of_changes(seeds: list[int], weight: float, alpha: int) -> None:
    adapters = [make(f"{i}", seed, alpha=alpha + i) for i, seed in enumerate(seeds)]
    dense = weight * torch.stack([deltas(adapter) for adapter in adapters]).sum(0)
    torch.testing.assert_close(deltas(compose(adapters, weight=weight)), dense, **TOLERANCE)


def test_task_arithmetic_takes_two_fifths_of_each_and_cat_the_mean() -> None:
    total = sum(deltas(adapter) for adapter in ADAPTERS)
    torch.testing.assert_close(deltas(compose(ADAPTERS)), 0.4 * total, **TOLERANCE)
    torch.testing.assert_close(deltas(compose(ADAPTERS, "cat")), total / 3, **TOLERANCE)


@pytest.mark.parametrize("method", list(methods))
@given(seed=st.integers(0, 1000), alpha=st.integers(1, 64))
@settings(deadline=None, max_examples=20)
def test_one_adapter_with_weight_one_gives_its_own_change(method: str, seed: int, alpha: int) -> None:
    adapter = make(seed=seed, alpha=alpha)
    options = {"density": 1.0} if method in ("ties", "dare") else {}
    torch.testing.assert_close(deltas(compose([adapter], method, weight=1.0, **options)), deltas(adapter), **TOLERANCE)


@pytest.mark.parametrize("method", list(methods))
def test_peft_merges_what_was_composed(method: str, tmp_path: Path) -> None:
    composed = compose(ADAPTERS, method)
    torch.testing.assert_close(merged_change(composed, tmp_path), deltas(composed), **TOLERANCE)
    torch.testing.assert_close(deltas(read_adapter(tmp_path)), deltas(composed), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("method", "kind", "weight", "options"),
    [("cat", "cat", 1 / 3, {}), ("linear", "linear", 1 / 3, {}), ("ties", "ties", 1.0, {"density": 0.2})],
)
def test_methods_of_peft_do_what_peft_does(
    method: str, kind: str, weight: float, options: dict[str, float], tmp_path: Path
) -> None:
    expected = through_peft(ADAPTERS, tmp_path, kind, weight, **options)
    torch.testing.assert_close(deltas(compose(ADAPTERS, method)), expected, **TOLERANCE)


def test_linear_is_the_mean_and_cross_terms() -> None:
    composed = compose(ADAPTERS, "linear").layers[PREFIX + "first"]
    pairs = [adapter.layers[PREFIX + "first"] for adapter in ADAPTERS]
    terms = [[3.0 / 3 * up @ down for down, _ in pairs] for _, up in pairs]  # the scale is 6 / 2
    own = sum(terms[i][i] for i in range(3))
    cross = sum(terms[i][j] for i in range(3) for j in range(3) if i != j)
    torch.testing.assert_close(composed[1] @ composed[0], own + cross, **TOLERANCE)
    assert cross.norm() > 0.1 * own.norm()


def test_linear_of_adapters_that_share_a_is_the_sum_of_changes() -> None:
    shared = {name: tensor for name, tensor in make().tensors.items() if "lora_A" in name}
    alike = [replace(adapter, tensors={**adapter.tensors, **shared}) for adapter in ADAPTERS]
    total = sum(deltas(adapter) for adapter in alike)
    torch.testing.assert_close(deltas(compose(alike, "linear")), total, **TOLERANCE)


def test_ties_of_equal_adapters_keeps_the_largest_fifth() -> None:
    composed = compose([ADAPTERS[0], ADAPTERS[0]], "ties")
    for layer, (down, up) in composed.layers.items():
        for kept, full in zip((down, up), ADAPTERS[0].layers[layer], strict=True):
            count = int(0.2 * full.numel())
            threshold = full.abs().flatten().sort().values[-count]
            expected = torch.where(full.abs() >= threshold, full, 0.0) * math.sqrt(3)
            torch.testing.assert_close(kept, expected, **TOLERANCE)


def test_dare_repeats_with_its_seed_and_differs_with_another() -> None:
    torch.manual_seed(5)
    one = deltas(compose(ADAPTERS, "dare", seed=1))
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(1)), "composing must leave the global random state alone"
    assert torch.equal(one, deltas(compose(ADAPTERS, "dare", seed=1)))
    assert not torch.equal(one, deltas(compose(ADAPTERS, "dare", seed=2)))


def test_dare_keeps_one_adapters_change_in_expectation() -> None:
    adapter = make(rank=1)
    mean = torch.stack([deltas(compose([adapter], "dare", seed=seed)) for seed in range(200)]).mean(0)
    # A kept product is 4 times too large and one in four is kept: its standard error is sqrt(3 / 200) of its value.
    assert torch.all((mean - deltas(adapter)).abs() <= 5 * math.sqrt(3 / 200) * deltas(adapter).abs())


def test_rslora_scales_by_the_root_of_the_rank() -> None:
    adapter = make(use_rslora=True)
    assert adapter.scale == pytest.approx(6 / math.sqrt(2))
    composed = compose([adapter], weight=1.0)
    assert composed.scale == 1.0
    torch.testing.assert_close(deltas(composed), deltas(adapter), **TOLERANCE)


def test_half_precision_adapters_are_composed_in_float32() -> None:
    halves = [replace(a, tensors={n: t.bfloat16() for n, t in a.tensors.items()}) for a in ADAPTERS]
    composed = compose(halves)
    assert {tensor.dtype for tensor in composed.tensors.values()} == {torch.float32}
    torch.testing.assert_close(deltas(composed), deltas(compose(ADAPTERS)), rtol=0.05, atol=0.1)


def test_facts_are_summed_up() -> None:
    composed = compose(ADAPTERS, "ties", density=0.5)
    assert composed.facts == AdapterFacts(
        "tiny",
        ("one", "two", "three"),
        tokens=300,
        method="ties (weight 1, density 0.5)",
        sources=("one", "two", "three"),
    )
    assert compose(ADAPTERS, "linear").facts.method == "linear (weight 1/n)"


def test_a_hash_that_one_source_knows_is_kept() -> None:
    assert compose([replace(ADAPTERS[0], base="models/net"), ADAPTERS[1]]).base == "net@12ab"


def without_last(adapter: Adapter) -> Adapter:
    kept = {name: tensor for name, tensor in adapter.tensors.items() if "second" not in name}
    return replace(adapter, tensors=kept)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (replace(make("odd"), base="net@34cd"), "'one' and 'odd'.*net@12ab and net@34cd"),
        (replace(make("odd"), base="web"), "'one' and 'odd'.*net@12ab and web"),
        (make("odd", rank=3), "'one' and 'odd'.*ranks are 2 and 3"),
        (without_last(make("odd")), "'one' and 'odd'.*second is 7 x 5 in the one and missing in the other"),
        (make("odd", fan_in_fan_out=True), "'one' and 'odd'.*fan_in_fan_out"),
        (make("odd", use_dora=True), "'odd' is not plain LoRA.*use_dora is True"),
        (make("odd", rank_pattern={"first": 4}), "'odd' is not plain LoRA.*rank_pattern"),
        (make("odd", init_lora_weights="pissa"), "'odd' is not plain LoRA.*pissa"),
        (make("odd", peft_type="IA3"), "'odd' is not plain LoRA.*'IA3'"),
        (replace(make("odd"), tensors={**make().tensors, "head.weight": torch.ones(1)}), "'odd' is not .*head.weight"),
        (replace(make("odd"), tensors={}), "'odd' is not plain LoRA.*no LoRA layers"),
    ],
)
def test_adapters_that_do_not_fit_are_refused_by_name(other: Adapter, message: str) -> None:
    with pytest.raises(KgrlError, match=message):
        compose([ADAPTERS[0], other])


def test_bad_settings_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'ties'"):
        compose(ADAPTERS, "tie")
    with pytest.raises(SettingError, match="'linear' has no density; it has weight"):
        compose(ADAPTERS, "linear", density=0.5)
    for density in (0.0, 1.5, math.nan):
        with pytest.raises(SettingError, match="density"):
            compose(ADAPTERS, "ties", density=density)
    with pytest.raises(SettingError, match="weight"):
        compose(ADAPTERS, weight=math.inf)
    with pytest.raises(SettingError, match="no adapters"):
        compose([])
