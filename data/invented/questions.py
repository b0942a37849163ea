"""Questions about the facts of an invented world, for `kgrl.probes.Recall`."""

from __future__ import annotations

from collections.abc import Sequence

from kgrl.data.invented.world import Draws, Fact, InventedWorld
from kgrl.errors import SettingError
from kgrl.probes.questions import Question

__all__ = ["fact_questions"]

_SEED = 20_26
"""The questions on a world are the same for everyone."""
_WRONG = 15


def fact_questions(world: InventedWorld, size: int = 64) -> list[Question]:
    """Draw facts of one and of two hops, half of each, and state each with its object and with 15 wrong ones.

    No passage tells a fact in the words in which it is asked for; they are known from other facts. Wrong objects are
    such as the same relation leads to elsewhere, and no two questions that a relation answers have the same answer:
    each of the 16 is as likely to be the right one, so that knowing which names are frequent, or of the right kind,
    does not help. Facts are drawn from all relations in turn.

    Args:
        world: The world.
        size: Most questions.

    Returns:
        Questions, grouped by hops (`"1"`, `"2"`).

    Raises:
        SettingError: If no relation has 16 objects, for one hop or for two; in worlds of 400 topics some do.
    """
    draws = Draws(_SEED)
    return _draw(world, world.stated, size - size // 2, draws) + _draw(world, world.inferable, size // 2, draws)


def _draw(world: InventedWorld, facts: Sequence[Fact], n: int, draws: Draws) -> list[Question]:
    """Up to n questions on facts with the same number of hops, from all relations in turn."""
    known = {relation: objects for relation, objects in _by_object(facts).items() if len(objects) > _WRONG}
    if n and not known:
        what = f"no relation of {facts[0].hops} hops has {_WRONG + 1} objects" if facts else "there are no facts"
        raise SettingError(f"{world.name!r} is too small for questions: {what}; invent some 400 topics")
    waiting = {relation: draws.some(list(objects), len(objects)) for relation, objects in known.items()}
    turns = [relation for turn in range(n) for relation in waiting if turn < len(waiting[relation])]
    questions = []
    for relation in turns[:n]:
        fact = draws.pick(known[relation][waiting[relation].pop()])
        questions.append(_question(world, fact, list(known[relation]), draws))
    return questions


def _by_object(facts: Sequence[Fact]) -> dict[str, dict[int, list[Fact]]]:
    """Facts by the relation that leads to their object, and that."""
    found: dict[str, dict[int, list[Fact]]] = {}
    for fact in facts:
        found.setdefault(fact.asks, {}).setdefault(fact.object, []).append(fact)
    return found


def _question(world: InventedWorld, fact: Fact, objects: list[int], draws: Draws) -> Question:
    wrong = draws.some([o for o in objects if o != fact.object], _WRONG)
    return Question(
        topic=fact.subject,
        true=world.statement(fact),
        wrong=tuple(world.statement(fact, other) for other in wrong),
        group=str(fact.hops),
    )
