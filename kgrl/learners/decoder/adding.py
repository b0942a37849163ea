"""Adapters on the layers of a causal model, and layers whose states are computed again in the backward pass."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from types import MethodType
from typing import Any

import peft
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.pytorch_utils import Conv1D

from kgrl.errors import SettingError, UnknownNameError

__all__ = ["add_adapter", "compute_again"]

_MAMBA = frozenset(("falcon_h1", "falcon_mamba", "mamba", "mamba2", "nemotron_h"))
"""Types of models whose layer `out_proj` gets no adapter: their kernels read its weight past PEFT's layer."""
_NAMES = re.compile(r"\w+(\+\w+)*")
"""Names of layers on one line, as `q_proj+v_proj`."""


def add_adapter(
    base: PreTrainedModel,
    seed: int,
    rank: int,
    alpha: float,
    target_modules: str | Sequence[str],
    *,
    dora: bool = False,
    rslora: bool = False,
) -> peft.PeftModel:
    """Put an adapter on a model's layers, in place; its weights depend on the seed alone.

    Args:
        base: The model; all its own weights are frozen.
        seed: Seeds the matrices A; the matrices B are zero.
        rank: Rank of the matrices.
        alpha: Scale of the adapter; its output is multiplied by `alpha / rank`.
        target_modules: `"all-linear"`; names of the layers that get an adapter, in a list or on one line as
            `"q_proj+v_proj"`; or a regular expression that whole names of layers match.
        dora: Whether directions and lengths of the weights' columns are trained apart (Liu et al. 2024).
        rslora: Whether the output is multiplied by `alpha / sqrt(rank)` (Kalajdzievski 2023).

    Raises:
        UnknownNameError: If the model lacks a target module; the message lists those it has.
        SettingError: If the output embedding is among the target modules, none is, PEFT puts no adapter on one of them,
            or rank or alpha are not above 0.
    """
    for name, value in (("rank", rank), ("alpha", alpha)):
        if not value > 0:
            raise SettingError(f"{name} must be above 0, not {value}")
    layers, output = _layers(base)
    targets = _targets(base, layers, output, target_modules)
    config = peft.LoraConfig(
        task_type="CAUSAL_LM",
        r=rank,
        lora_alpha=alpha,  # type: ignore[arg-type] # PEFT takes fractions, too
        target_modules=targets,
        fan_in_fan_out=Conv1D in layers.values(),  # GPT-2 keeps its weights transposed
        use_dora=dora,
        use_rslora=rslora,
    )
    with torch.random.fork_rng(), warnings.catch_warnings():
        # PEFT asks transformers by a name that the latter is about to change; users of kgrl cannot do anything.
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        # PEFT gives experts that are held in one tensor ranks by pattern, and warns of patterns that apply.
        warnings.filterwarnings("ignore", message="The following (rank|alpha)_pattern keys", category=RuntimeWarning)
        torch.manual_seed(seed)
        try:
            return peft.get_peft_model(base, config)
        except ValueError as error:
            raise SettingError(f"PEFT puts no adapter on {targets} of this model: {error}") from error


def _layers(base: PreTrainedModel) -> tuple[dict[str, type[nn.Module]], str]:
    """Types of a model's layers by the last part of their names, and the name of its output embedding."""
    head = base.get_output_embeddings()  # type: ignore[no-untyped-call]
    output = next((name for name, layer in base.named_modules() if layer is head), "")
    return {name.rpartition(".")[2]: type(layer) for name, layer in base.named_modules() if name != output}, output


def _targets(
    base: PreTrainedModel, layers: Mapping[str, type[nn.Module]], output: str, named: str | Sequence[str]
) -> str | list[str]:
    """Target modules as PEFT takes them: names, or a pattern for whole names; checked."""
    linear = sorted(name for name, layer in layers.items() if issubclass(layer, nn.Linear | Conv1D))
    if named == "all-linear":
        # PEFT itself leaves the output out of these.
        return [name for name in linear if name != "out_proj"] if base.config.model_type in _MAMBA else "all-linear"
    if isinstance(named, str) and not _NAMES.fullmatch(named):
        targets: str | list[str] = named
        with_output = re.fullmatch(named, output) is not None
    else:
        targets = named.split("+") if isinstance(named, str) else list(named)
        with_output = output.rpartition(".")[2] in targets
    if with_output:
        # The loss is computed from the output embedding's weight, past any adapter on it: it would never be trained.
        raise SettingError(f"the target module {output!r} is the output embedding, which gets no adapter; leave it out")
    for name in [] if isinstance(targets, str) else targets:
        if name not in linear:
            raise UnknownNameError("target module", name, linear)
    return targets


def compute_again(model: PreTrainedModel) -> None:
    """Let a model's layers keep their inputs alone for the backward pass, and compute their states again in it.

    Results are the same; an update needs less memory and more time. Gradient checkpointing of
    transformers works in its training mode alone, where dropout is on.

    Raises:
        SettingError: If the model has no layers that transformers marks for it.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, GradientCheckpointingLayer)]
    if not layers:
        kind = model.config.model_type
        raise SettingError(
            f"models of type {kind!r} have no layers that can be computed again; leave checkpointing out"
        )
    for layer in layers:
        layer.forward = MethodType(_forward_again, layer)


def _forward_again(layer: nn.Module, *arguments: Any, **options: Any) -> Any:
    """A layer's forward, whose states are not kept where a gradient is wanted."""
    forward = MethodType(type(layer).forward, layer)
    if not torch.is_grad_enabled():
        return forward(*arguments, **options)
    # Without dropout nothing is drawn.
    return checkpoint(forward, *arguments, use_reentrant=False, preserve_rng_state=False, **options)
