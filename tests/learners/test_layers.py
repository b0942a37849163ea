"""Fused Llama layers compute what transformers' own do, forwards and backwards."""

from __future__ import annotations

from typing import Any

import peft
import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from kgrl.learners.decoder.functions import rms_norm, rotate
from kgrl.learners.decoder.layers import fuse, fuse_llama, packed_attention

IDS = torch.arange(24).view(2, 12) % 20


def llama(**options: Any) -> LlamaForCausalLM:
    """A small model whose norms and positions all matter to its logits."""
    config = LlamaConfig(
        vocab_size=20,
        hidden_size=24,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=6,
        num_key_value_heads=2,
        **options,
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config).eval()
    for name, weight in model.named_parameters():
        torch.nn.init.normal_(weight, float("norm" in name), 0.3)
    return model


def adapted() -> peft.PeftModel:
    model = peft.get_peft_model(llama(), peft.LoraConfig(task_type="CAUSAL_LM", r=2, target_modules="all-linear"))
    torch.manual_seed(1)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    return model


def loss(model: Any) -> Tensor:
    result: Tensor = model(IDS, labels=IDS).loss
    return result


def test_losses_and_gradients_of_an_adapter_are_those_of_the_plain_model() -> None:
    plain, fused = adapted(), adapted()
    fuse(fused)
    expected, actual = loss(plain), loss(fused)
    torch.testing.assert_close(actual, expected)
    expected.backward()
    actual.backward()
    gradients = {name: weight.grad for name, weight in plain.named_parameters() if weight.requires_grad}
    assert len(gradients) == 28
    for name, gradient in gradients.items():
        difference = fused.get_parameter(name).grad - gradient
        assert difference.norm() < 1e-4 * gradient.norm()


def test_weights_of_norms_have_the_gradient_of_the_plain_model() -> None:
    plain, fused = llama(), llama()
    fuse_llama(fused)
    loss(plain).backward()
    loss(fused).backward()
    for name, weight in plain.named_parameters():
        torch.testing.assert_close(fused.get_parameter(name).grad, weight.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_half_precision_is_as_exact_as_before(attention: str) -> None:
    exact = llama(attn_implementation=attention)(IDS).logits
    errors = []
    for fused in (False, True):
        model = llama(attn_implementation=attention)
        if fused:
            model.requires_grad_(False)
            fuse_llama(model)
        errors.append((model.bfloat16()(IDS).logits - exact).abs().max().item())
    assert errors[1] < 2 * errors[0]


def test_text_is_still_generated_with_a_cache() -> None:
    plain, fused = llama(), llama()
    fuse_llama(fused)
    options: dict[str, Any] = {"max_new_tokens": 8, "do_sample": False, "pad_token_id": 0}
    assert torch.equal(fused.generate(IDS[:1], **options), plain.generate(IDS[:1], **options))


def test_rotations_and_norms_have_the_gradients_of_finite_differences() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    cos, sin = (torch.randn(1, 1, 3, 2, dtype=torch.float64).repeat(1, 1, 1, 2) for _ in range(2))
    assert torch.autograd.gradcheck(lambda t: rotate(t, cos, sin), x)
    states = torch.randn(3, 4, requires_grad=True)
    weight = torch.randn(4, requires_grad=True)
    exact = {"eps": 1e-2, "atol": 1e-2, "rtol": 1e-2}
    assert torch.autograd.gradcheck(lambda t, w: rms_norm(t, w, 1e-6), (states, weight), **exact)


def test_attention_in_half_precision_has_gradients_as_exact_as_torchs_own() -> None:
    """On a CPU it is computed in float32 where a gradient is wanted, which is faster there."""
    torch.manual_seed(2)
    exact = [torch.randn(1, heads, 14, 8) for heads in (4, 2, 2)]
    layer = llama().model.layers[0].self_attn
    layer.num_key_value_groups = 2

    def gradients(dtype: torch.dtype, lengths: list[int] | None) -> list[Tensor]:
        states = [x.to(dtype).clone().requires_grad_() for x in exact]
        pieces = [states] if lengths else zip(*(torch.split(x, [9, 5], dim=2) for x in states), strict=True)
        outputs = [packed_attention(layer, q, k, v, None, lengths=lengths)[0] for q, k, v in pieces]
        torch.cat(outputs, dim=1).float().square().sum().backward()  # type: ignore[no-untyped-call]
        return [x.grad.float() for x in states if x.grad is not None]

    expected = gradients(torch.float32, None)

    def error(lengths: list[int] | None) -> float:
        found = gradients(torch.bfloat16, lengths)
        return sum(float((gradient - own).norm()) for gradient, own in zip(found, expected, strict=True))

    assert error([9, 5]) < 1.1 * error(None)
