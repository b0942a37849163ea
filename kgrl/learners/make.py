"""Learners by name: the registry of the learners that ship with kgrl or are added by packages.

A learner's module is imported when the learner is made, since torch and transformers take seconds to import.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kgrl.corpus import Corpus
from kgrl.errors import SettingError
from kgrl.learners.base import Learner
from kgrl.system.options import split_options
from kgrl.system.registry import Registry
from kgrl.system.starting import without_collection

if TYPE_CHECKING:
    from kgrl.retrieval.encoder import AnyEncoder

__all__ = ["learners", "make_learner"]

learners: Registry[Learner] = Registry("learner", group="kgrl.learners")
"""Learners by name. Their factories take the corpus and, by keyword, the options of their constructors."""


_SIMULATED = ("simulated", "remembering")


@learners.register("lora")
def _make_lora(corpus: Corpus, **options: Any) -> Learner:
    with without_collection():
        from kgrl.learners.decoder.lora import LoraLearner

    return LoraLearner(corpus, **options)


@learners.register("scratch")
def _make_scratch(corpus: Corpus, **options: Any) -> Learner:
    with without_collection():
        from kgrl.learners.decoder.scratch import ScratchLearner

    return ScratchLearner(corpus, **options)


@learners.register("simulated")
def _make_simulated(corpus: Corpus, plugins: Sequence[object] = (), **options: Any) -> Learner:
    from kgrl.learners.simulated.learner import SimulatedLearner

    _refuse_plugins(plugins)
    return SimulatedLearner(corpus, **options)


@learners.register("remembering")
def _make_remembering(corpus: Corpus, plugins: Sequence[object] = (), **options: Any) -> Learner:
    from kgrl.learners.simulated.remembering import RememberingLearner

    _refuse_plugins(plugins)
    return RememberingLearner(corpus, **options)


def _refuse_plugins(plugins: Sequence[object]) -> None:
    # Commands pass plug-ins to every learner: the refusal is worded here, or it would be a TypeError.
    if plugins:
        raise SettingError("a simulated learner has no weights for plug-ins to change; leave them out")


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
        name: `"lora"`, `"scratch"`, `"simulated"`, `"remembering"`, or the name of one that a package adds; with
            options after a colon as in `"scratch:preset=2m,learning_rate=0.0015"`.
        corpus: The corpus it will be taught; a scratch learner trains its tokenizer on it.
        seed: Seeds its initial weights and its random draws.
        encoder: Embeds topics for the simulated learners, the only ones that know them so; the default one if None.
        budget_tokens: Tokens that it will be trained on in total, which a learner whose name asks for a schedule that
            decays (`"scratch:schedule=wsd"`) is told as its `schedule_tokens`.
        options: Passed on to the learner's constructor; those after the name win.

    Raises:
        UnknownNameError: If no learner has that name.
        SettingError: If options after the name are none of the learner's.

    Example:
        >>> from kgrl.graph import TopicGraph
        >>> corpus = Corpus("one", TopicGraph.from_links(["Set"], [], []), ["A set has members."], [0], [0])
        >>> make_learner("scratch", corpus, width=16, heads=2)
        ScratchLearner(width=16, layers=2, heads=2, vocabulary=2048, seed=0)
    """
    kind, own = split_options(name)
    if kind in _SIMULATED and encoder is not None:
        options = {"encoder": encoder, **options}
    if own.get("schedule", "constant") != "constant":
        options = {**options, "schedule_tokens": budget_tokens}
    make = learners[kind]
    try:
        return make(corpus, seed=seed, **{**options, **own})
    except TypeError as error:
        # Only where the name asked for options: any other type error is a fault of the learner's.
        if not any(option in str(error) for option in own):
            raise
        raise SettingError(f"the learner {kind!r} cannot be made with the options of {name!r}: {error}") from error
