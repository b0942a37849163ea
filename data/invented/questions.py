"""Questions about the facts of an invented world, for `kgrl.probes.Recall`."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import replace

from kgrl.data.invented.world import Draws, Fact, InventedWorld
from kgrl.errors import SettingError
from kgrl.probes.questions import Question

__all__ = ["fact_questions", "retention_questions"]

_SEED = 20_26
"""Fixed seed: a world has the same questions in every run."""

_WRONG = 15
"""Wrong objects of each question."""


def fact_questions(world: InventedWorld, size: int = 64) -> list[Question]:
    """Draw questions: facts of one and of two hops, half of each, stated with their object and with 15 wrong ones.

    No passage tells a fact in the wording of its question; that wording is known from other facts. Wrong objects are
    objects of the same relation in other facts, and no two questions about a relation have the same answer. So each of
    the 16 objects is equally likely to be right, and knowing which names are frequent, or of the right kind, does not
    help. Facts are drawn from all relations in turn.

    Args:
        world: The world.
        size: Most questions.

    Returns:
        Questions, grouped by hops (`"1"`, `"2"`).

    Raises:
        SettingError: If no relation has 16 objects, for one hop or for two. Worlds of 400 topics have such relations.
    """
    draws = Draws(_SEED)
    return _draw(world, world.stated, size - size // 2, draws) + _draw(world, world.inferable, size // 2, draws)


def retention_questions(world: InventedWorld, nucleus: Container[int], size: int = 64) -> list[Question]:
    """Draw questions about stated facts: up to half of them about topics of a nucleus, the others about the rest.

    They are asked as those of `fact_questions` are. Central topics lead to names that are frequent, so a learner that
    prefers frequent names is right about the nucleus more often than one in 16: figures compare a learner with itself.

    Args:
        world: The world.
        nucleus: The topics of the nucleus.
        size: Most questions.

    Returns:
        Questions, grouped by their topic (`"nucleus"`, `"rest"`).

    Raises:
        SettingError: If no relation has 16 objects.
    """
    draws, facts = Draws(_SEED), world.stated
    inside = [fact for fact in facts if fact.subject in nucleus]
    outside = [fact for fact in facts if fact.subject not in nucleus]
    return [
        *(replace(q, group="nucleus") for q in _draw(world, facts, size // 2, draws, inside)),
        *(replace(q, group="rest") for q in _draw(world, facts, size - size // 2, draws, outside)),
    ]


def _draw(
    world: InventedWorld, facts: Sequence[Fact], n: int, draws: Draws, asked: Sequence[Fact] | None = None
) -> list[Question]:
    """Draw up to n questions about facts with the same number of hops, from all relations in turn.

    Args:
        world: The world.
        facts: The facts that wrong objects are from.
        n: Most questions.
        draws: The draws.
        asked: The facts to ask about, all if None.
    """
    found = _by_object(facts)
    known = {relation: objects for relation, objects in found.items() if len(objects) > _WRONG}
    if n and not known:
        what = f"no relation of {facts[0].hops} hops has {_WRONG + 1} objects" if facts else "there are no facts"
        raise SettingError(f"{world.name!r} is too small for questions: {what}; invent some 400 topics")
    # Each object is the answer of at most one question: objects are drawn first, then a fact with that object.
    answers = known if asked is None else _by_object([fact for fact in asked if fact.asks in known])
    waiting = {relation: draws.some(list(objects), len(objects)) for relation, objects in answers.items()}
    turns = [relation for turn in range(n) for relation in waiting if turn < len(waiting[relation])]
    questions = []
    for relation in turns[:n]:
        fact = draws.pick(answers[relation][waiting[relation].pop()])
        questions.append(_question(world, fact, list(known[relation]), draws))
    return questions


def _by_object(facts: Sequence[Fact]) -> dict[str, dict[int, list[Fact]]]:
    """Return facts by the relation that leads to their object, and by the object."""
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
