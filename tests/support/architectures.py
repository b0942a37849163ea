"""Tiny random checkpoints of transformers' causal models, and kgrl's losses and gradients beside transformers' own."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM

from kgrl.corpus import Corpus
from kgrl.errors import KgrlError
from kgrl.learners import LoraLearner
from kgrl.learners.decoder.adding import add_adapter

__all__ = ["FAMILIES", "Comparison", "compare", "save_tiny"]

VOCABULARY = 416
_RANK, _ALPHA, _PASSAGES = 2, 4, 5

_SIZE: Mapping[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
}
_GROUPED: Mapping[str, Any] = {**_SIZE, "num_key_value_heads": 2}
_WIDE: Mapping[str, Any] = {**_GROUPED, "head_dim": 8}
_EXPERTS: Mapping[str, Any] = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
_DEEPSEEK: Mapping[str, Any] = {
    **_SIZE,
    "num_key_value_heads": 4,
    "moe_intermediate_size": 16,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 2,
    "topk_group": 1,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
    "kv_lora_rank": 16,
    "q_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
}

FAMILIES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "GPT-2": ("gpt2", {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256}),
    "GPT-Neo": (
        "gpt_neo",
        {
            "hidden_size": 32,
            "num_layers": 2,
            "num_heads": 4,
            "attention_types": [[["global", "local"], 1]],
            "max_position_embeddings": 256,
        },
    ),
    "GPT-NeoX": ("gpt_neox", _SIZE),
    "GPT-J": ("gptj", {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256, "rotary_dim": 4}),
    "OPT": ("opt", {**_SIZE, "ffn_dim": 48, "word_embed_proj_dim": 32}),
    "BLOOM": ("bloom", {"hidden_size": 32, "n_layer": 2, "n_head": 4}),
    "MPT": ("mpt", {"d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 256}),
    "Falcon": ("falcon", {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}),
    "Llama": ("llama", _GROUPED),
    "Mistral": ("mistral", {**_WIDE, "sliding_window": None}),
    "Mixtral": ("mixtral", {**_WIDE, "num_local_experts": 4, "num_experts_per_tok": 2}),
    "Qwen2": ("qwen2", _GROUPED),
    "Qwen2 MoE": ("qwen2_moe", {**_GROUPED, **_EXPERTS, "shared_expert_intermediate_size": 16}),
    "Qwen3": ("qwen3", _WIDE),
    "Qwen3 MoE": ("qwen3_moe", {**_WIDE, **_EXPERTS}),
    "Qwen3-Next": (
        "qwen3_next",
        {
            **_WIDE,
            **_EXPERTS,
            "shared_expert_intermediate_size": 16,
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 4,
            "linear_key_head_dim": 8,
            "linear_value_head_dim": 8,
            "layer_types": ["linear_attention", "full_attention"],
        },
    ),
    "Gemma": ("gemma", _WIDE),
    "Gemma 2": ("gemma2", {**_WIDE, "query_pre_attn_scalar": 8, "final_logit_softcapping": 3.0}),
    "Gemma 3": ("gemma3_text", {**_WIDE, "query_pre_attn_scalar": 8}),
    "Phi": ("phi", _GROUPED),
    "Phi-3": ("phi3", {**_GROUPED, "pad_token_id": 0}),
    "OLMo": ("olmo", _GROUPED),
    "OLMo 2": ("olmo2", _GROUPED),
    "OLMoE": ("olmoe", {**_GROUPED, "num_experts": 4, "num_experts_per_tok": 2}),
    "StarCoder2": ("starcoder2", _GROUPED),
    "SmolLM3": ("smollm3", {**_GROUPED, "pad_token_id": 0}),
    "StableLM": ("stablelm", _GROUPED),
    "Granite": ("granite", {**_GROUPED, "logits_scaling": 8.0}),
    "Granite MoE": (
        "granitemoe",
        {**_GROUPED, "logits_scaling": 8.0, "num_local_experts": 4, "num_experts_per_tok": 2},
    ),
    "Cohere": ("cohere", {**_GROUPED, "logit_scale": 0.0625}),
    "Cohere 2": ("cohere2", {**_GROUPED, "logit_scale": 0.25, "layer_types": ["sliding_attention", "full_attention"]}),
    "GPT-OSS": ("gpt_oss", {**_WIDE, "sliding_window": 256, "num_local_experts": 4, "num_experts_per_tok": 2}),
    "Mamba": ("mamba", {"hidden_size": 32, "state_size": 8, "num_hidden_layers": 2}),
    "Mamba 2": (
        "mamba2",
        {"hidden_size": 32, "state_size": 8, "num_hidden_layers": 2, "num_heads": 8, "head_dim": 8, "n_groups": 2},
    ),
    "Jamba": (
        "jamba",
        {
            **_GROUPED,
            "num_hidden_layers": 4,
            "num_experts": 2,
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "mamba_d_state": 8,
            "mamba_dt_rank": 4,
            "use_mamba_kernels": False,
        },
    ),
    "RWKV": (
        "rwkv",
        {"hidden_size": 32, "attention_hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2},
    ),
    "DeepSeek V2": ("deepseek_v2", {**_DEEPSEEK, "topk_method": "greedy"}),
    "DeepSeek V3": ("deepseek_v3", _DEEPSEEK),
    "LFM2": ("lfm2", {**_GROUPED, "layer_types": ["conv", "full_attention"]}),
}
"""Families by their usual names: transformers' type of model, and the settings of a tiny one."""


@dataclass(frozen=True)
class Comparison:
    """A family's losses and gradients by kgrl beside those of transformers and PEFT, one passage at a time.

    Args:
        family: The family's name.
        reading: `"packed"`, `"one at a time"` or `"refused"`.
        loss: Largest difference of a passage's loss, in nats per token.
        gradient: Norm of the difference of the gradients of the mean loss, as share of the norm.
        why: The message of a refusal or a warning.
    """

    family: str
    reading: str
    loss: float = float("nan")
    gradient: float = float("nan")
    why: str = ""


def save_tiny(family: str, tokenizer: Path, folder: Path) -> None:
    """Write a tiny checkpoint of a family with random weights that all matter, and a tokenizer.

    Args:
        family: A name in `FAMILIES`.
        tokenizer: A folder with a tokenizer of at most 416 tokens.
        folder: The folder; made if it is missing.
    """
    kind, settings = FAMILIES[family]
    folder.mkdir(parents=True, exist_ok=True)
    config = AutoConfig.for_model(kind, vocab_size=VOCABULARY, bos_token_id=0, eos_token_id=0, **settings)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        _strengthen(model)
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((tokenizer / name).read_bytes())


@torch.no_grad()
def _strengthen(model: nn.Module) -> None:
    """Enlarge matrices and draw biases: as they are initialised, what a layer does hardly changes a loss."""
    for name, weight in model.named_parameters():
        if name.endswith("bias"):
            weight.add_(torch.randn_like(weight), alpha=0.3)
        elif weight.dim() == 2 and "A_log" not in name:
            weight.mul_(0.25 / weight.std().clamp(min=1e-6))


def compare(family: str, corpus: Corpus, tokenizer: Path, folder: Path) -> Comparison:
    """Teach a tiny checkpoint of a family a few passages, and compare losses and gradients with transformers'."""
    save_tiny(family, tokenizer, folder)
    said: list[str] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            learner = LoraLearner(
                corpus, model=str(folder), rank=_RANK, alpha=_ALPHA, learning_rate=3e-2, dtype=torch.float32
            )
        said = [str(warning.message) for warning in caught if "one passage at a time" in str(warning.message)]
    except KgrlError as error:
        return Comparison(family, "refused", why=str(error))
    passages = corpus.select(range(_PASSAGES))
    learner.learn(passages, 400)  # so that both matrices of an adapter have gradients
    losses, gradient = _plain(learner, folder, [learner.tokens[i] for i in range(_PASSAGES)])
    found = torch.from_numpy(learner.loss_gradient(passages))
    return Comparison(
        family,
        "one at a time" if said else "packed",
        float(np.abs(learner.losses(passages) - np.array(losses)).max()),
        float((found - gradient).norm() / gradient.norm()),
        "".join(said),
    )


def _plain(learner: LoraLearner, folder: Path, sequences: list[NDArray[Any]]) -> tuple[list[float], Tensor]:
    """Losses of passages, and the gradient of their mean by token, by transformers and PEFT alone."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    add_adapter(model, 0, _RANK, _ALPHA, "all-linear")
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    assert list(trained) == list(learner.slices)
    with torch.no_grad():
        for name, weight in trained.items():
            weight.copy_(learner.view(learner.weights, name))
    losses, total = list[float](), torch.zeros(())
    for sequence in sequences:
        ids = torch.from_numpy(sequence.astype(np.int64))[None]
        logits = model(input_ids=ids[:, :-1], use_cache=False).logits[0].float()
        sums = nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum")
        losses.append(sums.item() / (len(sequence) - 1))
        total = total + sums
    total = total / sum(len(sequence) - 1 for sequence in sequences)
    gradients = torch.autograd.grad(total, list(trained.values()), allow_unused=True)
    parts = zip(gradients, trained.values(), strict=True)
    return losses, torch.cat([(torch.zeros_like(w) if g is None else g).reshape(-1) for g, w in parts])
