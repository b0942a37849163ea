"""Agents inside other people's trainers.

`TopicSampler` chooses exercises for a trainer that does reinforcement learning. `CurriculumDataset` is a data set for
transformers' `Trainer` whose text an agent chooses, and `CurriculumCallback` tells it how the loss went. The trainers'
own code stays as it is.

All names load when they are first used: the data set needs torch, and the callback transformers.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
