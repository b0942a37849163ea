"""Learners: models that are taught passages and measured on passages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kgrl.corpus import Corpus
from kgrl.errors import SettingError
from kgrl.learners.base import Learned, Learner, learners, make_learner

if TYPE_CHECKING:
    from kgrl.learners.decoder.lora import LoraLearner as LoraLearner
    from kgrl.learners.decoder.scratch import ScratchLearner as ScratchLearner
    from kgrl.learners.simulated.learner import SimulatedLearner as SimulatedLearner

__all__ = ["Learned", "Learner", "LoraLearner", "ScratchLearner", "SimulatedLearner", "learners", "make_learner"]


# Importing torch and transformers takes seconds, so names are registered here and modules imported when one is made.
@learners.register("lora")
def _make_lora(corpus: Corpus, **options: Any) -> Learner:
    from kgrl.learners.decoder.lora import LoraLearner

    return LoraLearner(corpus, **options)


@learners.register("scratch")
def _make_scratch(corpus: Corpus, **options: Any) -> Learner:
    from kgrl.learners.decoder.scratch import ScratchLearner

    return ScratchLearner(corpus, **options)


@learners.register("simulated")
def _make_simulated(corpus: Corpus, plugins: Sequence[object] = (), **options: Any) -> Learner:
    from kgrl.learners.simulated.learner import SimulatedLearner

    if plugins:
        raise SettingError("a simulated learner has no weights for plug-ins to change; leave them out")
    return SimulatedLearner(corpus, **options)


def __getattr__(name: str) -> Any:
    if name == "LoraLearner":
        from kgrl.learners.decoder.lora import LoraLearner

        return LoraLearner
    if name == "ScratchLearner":
        from kgrl.learners.decoder.scratch import ScratchLearner

        return ScratchLearner
    if name == "SimulatedLearner":
        from kgrl.learners.simulated.learner import SimulatedLearner

        return SimulatedLearner
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
