"""Plug-ins for learners: less forgetting, fewer weights touched, restarts. Any number of them goes into one learner.

LoraLearner(corpus, plugins=[Replay(share=0.1), TopK(share=0.05)])
"""

from __future__ import annotations

from kgrl.learners.plugins.base import Plugin
from kgrl.learners.plugins.elastic import ElasticWeights
from kgrl.learners.plugins.isolation import Isolation
from kgrl.learners.plugins.orthogonal import OrthogonalSlots
from kgrl.learners.plugins.relora import ReLoRA
from kgrl.learners.plugins.replay import Replay
from kgrl.learners.plugins.restrictions import FreezeLayers, GradientProjection, TopK

__all__ = [
    "ElasticWeights",
    "FreezeLayers",
    "GradientProjection",
    "Isolation",
    "OrthogonalSlots",
    "Plugin",
    "ReLoRA",
    "Replay",
    "TopK",
]
