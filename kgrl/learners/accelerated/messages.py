"""Messages from process 0 to the others: each is one thing that all processes do together."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

__all__ = [
    "End",
    "Gather",
    "Keep",
    "Make",
    "Measure",
    "Message",
    "PutBack",
    "Spread",
    "Teach",
    "as_bytes",
    "as_message",
]

Row = list[Annotated[int, Meta(ge=0)]]
"""Token ids of a text, of which each but the first is predicted; at least two."""


class Make(Struct, tag=True, frozen=True):
    """Load a model and make it ready.

    Args:
        model: Short name, folder or name on the Hugging Face hub.
        rank: Rank of a LoRA adapter; None to train all weights.
        alpha: Scale of the adapter.
        seed: Seeds the adapter.
    """

    model: str
    rank: int | None
    alpha: float
    seed: int


class Measure(Struct, tag=True, frozen=True):
    """Compute the losses of texts."""

    rows: list[Row]


class Teach(Struct, tag=True, frozen=True):
    """Take one optimizer step on texts, with a learning rate."""

    rows: list[Row]
    rate: float


class Keep(Struct, tag=True, frozen=True):
    """Keep a copy of weights and optimizer state under a number, and drop those of other numbers."""

    number: int
    dropped: list[int]


class PutBack(Struct, tag=True, frozen=True):
    """Go back to the copy of a number."""

    number: int


class Gather(Struct, tag=True, frozen=True):
    """Bring all weights and the optimizer's state to process 0."""


class Spread(Struct, tag=True, frozen=True):
    """Take weights and the optimizer's state from process 0, after so many updates."""

    steps: int


class End(Struct, tag=True, frozen=True):
    """End: process 0 is done."""


Message = Make | Measure | Teach | Keep | PutBack | Gather | Spread | End
_DECODER = msgspec.msgpack.Decoder(Message)


def as_bytes(message: Message) -> bytes:
    """Return a message as bytes.

    Example:
        >>> as_message(as_bytes(Keep(number=2, dropped=[1])))
        Keep(number=2, dropped=[1])
    """
    return msgspec.msgpack.encode(message)


def as_message(data: bytes) -> Message:
    """Return the message of some bytes.

    Raises:
        msgspec.ValidationError: If they are no message, as from another version of kgrl.
    """
    return _DECODER.decode(data)
