"""Learners: models that are taught passages and measured on passages.

`ScratchLearner` trains a small transformer from random weights, `LoraLearner` an adapter on a pretrained one, and
`SimulatedLearner` stands for either by learning curves that were fitted to it, `RememberingLearner` for one that reads
again and again until facts are known. The package `plugins` has plug-ins that change lessons, updates or measurements;
`adapters` reads, writes and composes the adapters of LoRA learners.

All names load when they are first used: learners need torch or numba, which take seconds to import.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
