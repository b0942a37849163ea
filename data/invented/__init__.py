"""Invented worlds: generated corpora with a complete list of facts, which no pretrained model can know.

`invented:2000` is a world of 2,000 topics, `invented:2000:7` another one of the same size. Topics are people, places,
institutions, events and works. Passages state facts of one hop; facts of two hops follow from those and are not stated.
"""

from kgrl.data.invented.corpus import DEFAULT_NAME, is_invented, load_invented, world_of
from kgrl.data.invented.order import ReadingOrder, inferable_shares, optimal_order
from kgrl.data.invented.questions import fact_questions
from kgrl.data.invented.world import RELATIONS, Fact, InventedWorld, Relation, Topic, invent

__all__ = [
    "DEFAULT_NAME",
    "RELATIONS",
    "Fact",
    "InventedWorld",
    "ReadingOrder",
    "Relation",
    "Topic",
    "fact_questions",
    "inferable_shares",
    "invent",
    "is_invented",
    "load_invented",
    "optimal_order",
    "world_of",
]
