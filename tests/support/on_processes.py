"""Lessons of the learner on Accelerate, in as many processes as are started; tests compare what it writes.

    python -m tests.support.on_processes FOLDER BASE [--resume] [--sharded]

The state after the first lesson is saved in FOLDER; `--resume` continues from it. With `--sharded` Accelerate takes the
processors for accelerators, so that it spreads the weights as it does on these (FSDP 2).
"""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from torch.nn.parallel import DistributedDataParallel

from kgrl.learners.accelerated.processes import leading

__all__ = ["lessons"]

KINDS: dict[str, dict[str, Any]] = {
    "full": {"learning_rate": 1e-3},
    "adapter": {"learning_rate": 1e-2, "rank": 4},
    "large updates": {"learning_rate": 1e-3, "block_tokens": 500},
}


def lessons(folder: Path, base: str, resume: bool) -> dict[str, Any]:
    """Carry out two lessons with each kind of learner, the first of them twice, and return losses by kind."""
    from kgrl.learners import AccelerateLearner
    from tests.support.tiny_corpus import make_tiny_corpus

    corpus, found = make_tiny_corpus(), dict[str, Any]()
    first, second = corpus.select(np.arange(7)), corpus.select(np.arange(7, 12))
    for kind, options in KINDS.items():
        learner = AccelerateLearner(corpus, model=base, **options)
        own = found[kind] = {"processes": learner.processes}
        if resume:
            learner.load(folder / kind)
        else:
            own["before"] = learner.losses(first).tolist()
            before = learner.snapshot()
            own["first"] = learner.learn(first, 400).losses
            after = learner.losses(second)
            learner.restore(before)
            own["restored"] = learner.losses(first).tolist()
            learner.learn(first, 400)
            own["again"] = bool((learner.losses(second) == after).all())
            learner.save(folder / kind)
        own["second"] = learner.learn(second, 400).losses
        own["after"] = learner.losses(second).tolist()
    return found


def take_processors_for_accelerators() -> None:
    """Let Accelerate shard on processors, which it does on accelerators alone."""
    from accelerate.state import PartialState
    from accelerate.utils import DistributedType

    def backend(*_: Any, **__: Any) -> tuple[str, DistributedType]:
        return "gloo", DistributedType.MULTI_GPU

    PartialState._prepare_backend = backend


if __name__ == "__main__":
    folder, base, *options = sys.argv[1:]
    if "--sharded" in options:
        take_processors_for_accelerators()
    try:
        with leading():
            found = lessons(Path(folder), base, "--resume" in options)
            (Path(folder) / "found.json").write_text(json.dumps(found))
    finally:
        # One that were freed now would wait for the threads of its connections with Python's lock in its hand.
        assert not any(isinstance(thing, DistributedDataParallel) for thing in gc.get_objects())
