"""The learners of a benchmark, whose results on machines of several kinds are compared with each other."""

from __future__ import annotations

from typing import Any

from kgrl.corpus import Corpus
from kgrl.learners.base import Learner
from kgrl.learners.base import make_learner as make_any

__all__ = ["make_learner"]


def make_learner(name: str, corpus: Corpus, *, seed: int = 0) -> Learner:
    """Make a learner as a benchmark has it: pretrained models compute in float32.

    Elsewhere they compute in what the machine is fastest with. In bfloat16 losses differ in the third digit, and so do
    the agents of a benchmark.

    Args:
        name: `"lora"`, `"scratch"`, or a learner that was registered.
        corpus: The corpus it will be taught.
        seed: Seeds its initial weights and whatever it draws.

    Raises:
        UnknownNameError: If no learner has that name.

    Example:
        >>> from kgrl.testing.samples import sample_corpus
        >>> make_learner("scratch", sample_corpus()).n_parameters
        441216
    """
    return make_any(name, corpus, seed=seed, **_options(name))


def _options(name: str) -> dict[str, Any]:
    if name != "lora":
        return {}
    import torch  # here, since it takes seconds to import

    return {"dtype": torch.float32}
