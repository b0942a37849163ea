"""Likelihood of titles as the next line of a text, by a pretrained causal model: the model behind generated walks."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from kgrl.learners.decoder.loss import token_losses
from kgrl.learners.decoder.models import load_pretrained
from kgrl.learners.decoder.token_store import document_token
from kgrl.system.devices import find_device, to_device
from kgrl.system.tensors import best_dtype

__all__ = ["ModelTitleScorer"]

_TITLE_TOKENS = 1_024
"""Tokens of titles that are scored at once; bounds the attention mask to a few megabytes."""


class ModelTitleScorer:
    r"""Scores titles as the next line of a text, by their mean log-probability; the line's end counts as a token.

    The context is read once for many titles: they are laid end to end after it, each at the positions that follow the
    context, and attend to the context and to themselves alone.

    Args:
        model: `"smollm2"`, a folder, or a name on the Hugging Face hub.
        device: Device to compute on, see `kgrl.system.devices.find_device`.

    Raises:
        MissingDataError: If a short-named model is neither on this machine nor available from the hub.
        UnknownNameError: If the model is unknown.

    Example:
        >>> score = ModelTitleScorer()                                                       # doctest: +SKIP
        >>> score("Countries of Europe:\n- Germany\n- ", ["France", "Toaster"])              # doctest: +SKIP
        array([-1.1, -5.4])
    """

    def __init__(self, model: str = "smollm2", *, device: str | torch.device = "cpu") -> None:
        self._device = find_device(device)
        loaded, self._tokenizer = load_pretrained(model, best_dtype(self._device))
        loaded.to(self._device)  # type: ignore[arg-type] # transformers' wrapper hides the signature
        loaded.set_attn_implementation("sdpa")
        self._decoder = loaded.eval().get_decoder()  # type: ignore[no-untyped-call]
        self._head = loaded.get_output_embeddings().weight  # type: ignore[no-untyped-call] # [vocabulary, width]
        self._document = document_token(self._tokenizer)

    def __call__(self, context: str, titles: Sequence[str]) -> NDArray[np.float64]:
        """Return each title's mean log-probability after `context`, in nats per token, float64 `[titles]`.

        Args:
            context: The text so far; it ends where a title begins. A space at its end is read with the title.
            titles: The titles, at least one.
        """
        # Tokens of byte-pair encoders begin with their space: a space at the context's end belongs to the title.
        stripped = context.rstrip(" ")
        gap = context[len(stripped) :]
        prefix = [self._document, *self._encode(stripped)]
        continuations = [self._encode(f"{gap}{title}\n") for title in titles]
        groups = _groups([len(tokens) for tokens in continuations], _TITLE_TOKENS)
        return np.concatenate([self._scores(prefix, continuations[group]) for group in groups])

    def _encode(self, text: str) -> list[int]:
        """Token ids of a text, without special tokens."""
        tokens: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return tokens

    @torch.inference_mode()
    def _scores(self, prefix: list[int], continuations: list[list[int]]) -> NDArray[np.float64]:
        """Mean log-probability of each of some titles after a prefix, given as token ids, `[titles]`."""
        shared = len(prefix) - 1
        # Each title is led by a copy of the prefix's last token, from which its first token is predicted.
        inputs = prefix[:shared] + [t for tokens in continuations for t in (prefix[-1], *tokens[:-1])]
        lengths = np.array([len(tokens) for tokens in continuations])
        owners = np.repeat(np.arange(len(lengths)), lengths)  # number of its title, [tokens of titles]
        # Every title counts its positions on from the end of the context.
        positions = np.arange(len(owners)) - np.repeat(np.cumsum(lengths) - lengths, lengths) + shared
        output = self._decoder(
            input_ids=torch.tensor([inputs], device=self._device),
            position_ids=to_device(np.r_[np.arange(shared), positions], self._device)[None],
            attention_mask=_mask(shared, owners)[None, None].to(self._device),
            use_cache=False,
        )
        targets = torch.tensor([t for tokens in continuations for t in tokens], device=self._device)
        losses = token_losses(output.last_hidden_state[0, shared:], self._head, targets).cpu().double().numpy()
        scores: NDArray[np.float64] = -np.bincount(owners, losses) / lengths
        return scores


def _mask(shared: int, owners: NDArray[np.int64]) -> torch.Tensor:
    """Attention mask, bool `[tokens, tokens]`: tokens see the shared ones and those of their own title, never ahead."""
    groups = torch.from_numpy(np.r_[np.full(shared, -1), owners])
    return ((groups[None] == -1) | (groups[None] == groups[:, None])).tril()


def _groups(lengths: list[int], limit: int) -> list[slice]:
    """Slices of a list, each of items whose lengths sum to about `limit`."""
    number = (np.cumsum(lengths) - lengths) // limit
    cuts = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), len(lengths)]
    return [slice(a, b) for a, b in itertools.pairwise(cuts)]
