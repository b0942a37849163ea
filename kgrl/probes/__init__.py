"""Probing: which held-out passages are read to measure a learner, and what that costs.

`Prober` reads probe passages alone, for rewards and agents. `Recall` asks learners what they know, for reports, as
`kgrl.exam` reads exam passages for reports: no reward and no agent ever sees its answers.
"""

from kgrl.probes.prober import Prober, sample_topics
from kgrl.probes.questions import Question, distances_from, link_questions
from kgrl.probes.recall import Accuracy, Recall, Recalled

__all__ = [
    "Accuracy",
    "Prober",
    "Question",
    "Recall",
    "Recalled",
    "distances_from",
    "link_questions",
    "sample_topics",
]
