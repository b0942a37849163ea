"""Learners by name: the registry of the learners that ship with kgrl or are added by packages.

A learner's module is imported when the learner is made, since torch and transformers take seconds to import.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kgrl.corpus import Corpus
from kgrl.errors import SettingError
from kgrl.learners.base import Learner
from kgrl.system.declared import DeclaredOption, declared_options
from kgrl.system.options import check_options, named_options, split_options
from kgrl.system.registry import Registry
from kgrl.system.starting import without_collection

if TYPE_CHECKING:
    from kgrl.retrieval.encoder import AnyEncoder

__all__ = [
    "PRETRAINED",
    "SIMULATED",
    "check_learner",
    "described_options",
    "learner_options",
    "learners",
    "make_learner",
]

PRETRAINED = frozenset(("accelerate", "full", "lora"))
"""Learners whose model is chosen by name or folder."""
_CLASSES = {
    "accelerate": "kgrl.learners.accelerated.learner:AccelerateLearner",
    "full": "kgrl.learners.decoder.full:FullLearner",
    "lora": "kgrl.learners.decoder.lora:LoraLearner",
    "remembering": "kgrl.learners.simulated.remembering:RememberingLearner",
    "scratch": "kgrl.learners.decoder.scratch:ScratchLearner",
    "simulated": "kgrl.learners.simulated.learner:SimulatedLearner",
}
"""The classes of the learners that ship with kgrl."""
_CALLERS = ("corpus", "encoder", "plugins", "seed")
"""Arguments of learners that whoever makes one gives, and a name does not."""

learners: Registry[Learner] = Registry("learner", group="kgrl.learners")
"""Learners by name. Their factories take the corpus and, by keyword, the options of their constructors."""

SIMULATED = frozenset(("remembering", "simulated"))
"""Learners without a model, which know topics by an encoder."""


def _class(kind: str) -> type[Learner] | None:
    """The class of a learner that ships with kgrl; None for others. Imported here: it takes seconds."""
    if kind not in _CLASSES:
        return None
    module, _, name = _CLASSES[kind].partition(":")
    with without_collection():
        made: type[Learner] = getattr(importlib.import_module(module), name)
    return made


@learners.register("accelerate")
def _make_accelerate(corpus: Corpus, **options: Any) -> Learner:
    return _made("accelerate", corpus, options)


@learners.register("full")
def _make_full(corpus: Corpus, **options: Any) -> Learner:
    return _made("full", corpus, options)


@learners.register("lora")
def _make_lora(corpus: Corpus, **options: Any) -> Learner:
    return _made("lora", corpus, options)


@learners.register("scratch")
def _make_scratch(corpus: Corpus, **options: Any) -> Learner:
    return _made("scratch", corpus, options)


def _made(kind: str, corpus: Corpus, options: dict[str, Any]) -> Learner:
    made: Any = _class(kind)
    learner: Learner = made(corpus, **options)
    return learner


@learners.register("simulated")
def _make_simulated(corpus: Corpus, plugins: Sequence[object] = (), **options: Any) -> Learner:
    _refuse_plugins(plugins)
    return _made("simulated", corpus, options)


@learners.register("remembering")
def _make_remembering(corpus: Corpus, plugins: Sequence[object] = (), **options: Any) -> Learner:
    _refuse_plugins(plugins)
    return _made("remembering", corpus, options)


def _refuse_plugins(plugins: Sequence[object]) -> None:
    # Commands pass plug-ins to every learner: the refusal is worded here, or it would be a TypeError.
    if plugins:
        raise SettingError("a simulated learner has no weights for plug-ins to change; leave them out")


def learner_options(kind: str) -> dict[str, Any] | None:
    """Return the types of the options that may follow a learner's name; None for a learner of another package.

    Raises:
        UnknownNameError: If no learner has that name.

    Example:
        >>> learner_options("lora")["rank"]
        <class 'int'>
    """
    learners[kind]
    made = _class(kind)
    return None if made is None else named_options(made, without=_CALLERS)


def described_options() -> dict[str, list[DeclaredOption]]:
    """Return the options of the learners that ship with kgrl, by learner, with defaults and meanings.

    They are read from the source: importing the learners takes seconds.

    Example:
        >>> described_options()["scratch"][0].name
        'preset'
    """
    return {kind: declared_options(place, without=_CALLERS) for kind, place in _CLASSES.items()}


def check_learner(name: str) -> None:
    """Refuse the name of a learner, and options that follow it, before anything is made.

    Raises:
        UnknownNameError: If no learner has that name.
        SettingError: If it has no such option, or a value is of another type.

    Example:
        >>> check_learner("lorra:rank=4")
        Traceback (most recent call last):
        kgrl.errors.UnknownNameError: unknown learner 'lorra'; did you mean 'lora'? Known: ...
    """
    kind, own = split_options(name)
    learners[kind]  # raises for an unknown name
    if own and (known := learner_options(kind)) is not None:
        check_options(name, own, known, f"the learner {kind}")


def make_learner(
    name: str,
    corpus: Corpus,
    *,
    seed: int = 0,
    encoder: AnyEncoder | None = None,
    budget_tokens: int | None = None,
    **options: Any,
) -> Learner:
    """Make a learner by its registered name, which options may follow.

    Args:
        name: `"lora"`, `"full"`, `"accelerate"`, `"scratch"`, `"simulated"`, `"remembering"`, or the name of one that a
            package adds; with options after a colon as in `"scratch:preset=2m,learning_rate=0.0015"`.
        corpus: The corpus it will be taught; a scratch learner trains its tokenizer on it.
        seed: Seeds its initial weights and its random draws.
        encoder: Embeds topics for the simulated learners, the only ones that know them so; the default one if None.
        budget_tokens: Tokens that it will be trained on in total, which a learner whose name asks for a schedule that
            decays (`"scratch:schedule=wsd"`) is told as its `schedule_tokens`.
        options: Passed on to the learner's constructor; those after the name win.

    Raises:
        UnknownNameError: If no learner has that name.
        SettingError: If it has no such option, and the message suggests the nearest; or a value is of another type or
            out of range.

    Example:
        >>> from kgrl.graph import TopicGraph
        >>> corpus = Corpus("one", TopicGraph.from_links(["Set"], [], []), ["A set has members."], [0], [0])
        >>> make_learner("scratch", corpus, width=16, heads=2)
        ScratchLearner(width=16, layers=2, heads=2, vocabulary=2048, seed=0)
    """
    kind, own = split_options(name)
    if kind in SIMULATED and encoder is not None:
        options = {"encoder": encoder, **options}
    if own.get("schedule", "constant") != "constant":
        options = {**options, "schedule_tokens": budget_tokens}
    check_learner(name)
    make = learners[kind]
    try:
        return make(corpus, seed=seed, **{**options, **own})
    except TypeError as error:
        # Only where the name asked for options: any other type error is a fault of the learner's.
        if not any(option in str(error) for option in own):
            raise
        raise SettingError(f"the learner {kind!r} cannot be made with the options of {name!r}: {error}") from error
