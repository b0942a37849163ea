"""Invented worlds: generated corpora whose facts no pretrained model can know, and all of whose facts are known.

`invented:2000` is a world of 2,000 topics, `invented:2000:7` another of the same size. Topics are people, places,
institutions, events and works; passages state facts of one hop, and facts of two hops follow from those alone.
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
