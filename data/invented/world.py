"""An invented world: topics, the facts that are true of them, and the random draws it is made of.

A topic's facts lead to older topics only, so the prerequisites of a fact never form a circle.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from kgrl.data.invented.phrases import ANY_FACT, FACTS, KINDS, TRAITS
from kgrl.errors import SettingError

__all__ = ["RELATIONS", "Draws", "Fact", "InventedWorld", "Relation", "Topic", "asked_wording", "invent", "sentence"]

LEAST_TOPICS = 8
_FIRST = ("Places", "People", "Places", "Institutions", "People", "Events", "Works", "Places")
"""Categories of the oldest topics: every relation soon has an older topic to lead to."""
_SHARES = {"People": 0.35, "Places": 0.2, "Institutions": 0.15, "Events": 0.15, "Works": 0.15}
_REALM_TOPICS = 60
"""Topics of a realm, about."""
_OWN_REALM = 0.8
"""Probability that a fact leads to a topic of the same realm. Realms become communities of the graph."""
_FIRST_YEAR, _YEARS = 700, 1100


def _parts(listed: str) -> tuple[str, ...]:
    return tuple(listed.split())


_ONSETS = _parts("b br d dr f g gl gr h k kr l m n p r s sk t th tr v vr z")
_VOWELS = _parts("a e i o u ae ei ou")
_CODAS = _parts("l m n r s th v rn lm sk")
_GIVEN_NAMES = 80
_GIVEN_ENDINGS = _parts("a o is en iel ara")
_ENDINGS = {
    "People": _parts("ane oth ivar enko ulme arest ondi ith"),
    "Places": _parts("mere holt wick dun gard stov haven ora"),
    "Institutions": _parts("an ium eor astre"),
    "Events": _parts("ak und ell ory"),
    "Works": _parts("ian esh otis ume"),
}
"""Last syllables of the names of each category."""

T = TypeVar("T")


@dataclass(frozen=True)
class Relation:
    """A relation that facts state between two topics.

    Args:
        name: A noun, for example birthplace.
        subject: The category of the topics that have it.
        object: The category of the topics that it leads to.
        share: Share of the subjects that have it, if there is an older topic of the right category.
    """

    name: str
    subject: str
    object: str
    share: float


RELATIONS = (
    Relation("capital", "Places", "Places", 1.0),
    Relation("namesake", "Places", "People", 0.5),
    Relation("birthplace", "People", "Places", 1.0),
    Relation("school", "People", "Institutions", 0.8),
    Relation("mentor", "People", "People", 0.6),
    Relation("seat", "Institutions", "Places", 1.0),
    Relation("founder", "Institutions", "People", 1.0),
    Relation("site", "Events", "Places", 1.0),
    Relation("leader", "Events", "People", 0.8),
    Relation("author", "Works", "People", 1.0),
    Relation("keeper", "Works", "Institutions", 0.7),
    Relation("subject", "Works", "Events", 0.5),
)


@dataclass(frozen=True)
class Topic:
    """A topic of an invented world.

    Args:
        title: Its title.
        category: People, Places, Institutions, Events or Works.
        kind: A noun for it: cartographer, harbour town, Academy.
        trait: A detail that its passages mention.
        year: The year of its origin; the topics that its facts lead to are not younger.
        pronoun: She, he or it.
    """

    title: str
    category: str
    kind: str
    trait: str
    year: int
    pronoun: str

    @property
    def written(self) -> str:
        """The title as it stands inside a sentence."""
        return self.title if self.category in ("People", "Places") else f"the {self.title}"


@dataclass(frozen=True)
class Fact:
    """A fact about a topic.

    Args:
        subject: The topic.
        relation: The relation: `"birthplace"`, or for two hops `"birthplace of the mentor"`.
        object: The topic that it leads to.
        parts: The facts that it follows from, in the order that leads from subject to object; empty for a fact that
            passages state.
    """

    subject: int
    relation: str
    object: int
    parts: tuple[Fact, ...] = ()

    @property
    def asks(self) -> str:
        """The relation whose object is asked for: the last of two hops."""
        return self.parts[-1].relation if self.parts else self.relation

    @property
    def hops(self) -> int:
        """Number of stated facts that it follows from, 1 for a stated fact."""
        return max(1, len(self.parts))

    @property
    def sources(self) -> tuple[int, ...]:
        """The topics whose passages must be read to infer the fact."""
        return tuple(part.subject for part in self.parts) or (self.subject,)


@dataclass(frozen=True)
class InventedWorld:
    """All topics and facts of an invented world.

    Args:
        name: The name of its corpus.
        topics: Its topics, in order of title; a topic's position is its number in the corpus.
        stated: The facts that passages state, each in the passages of its subject, in order of the subject.

    Example:
        >>> invent(8)
        InventedWorld('invented:8:0': 8 topics, 11 stated facts)
    """

    name: str
    topics: tuple[Topic, ...]
    stated: tuple[Fact, ...]

    def __repr__(self) -> str:
        return f"InventedWorld({self.name!r}: {len(self.topics):,} topics, {len(self.stated):,} stated facts)"

    @cached_property
    def inferable(self) -> tuple[Fact, ...]:
        """The facts of two hops whose subject and object are not named together in any passage."""
        # The topics that the passages of each topic name, itself included.
        named: list[set[int]] = [{topic} for topic in range(len(self.topics))]
        for fact in self.stated:
            named[fact.subject].add(fact.object)
        together = {(a, b) for names in named for a in names for b in names}
        chains = (
            Fact(first.subject, f"{second.relation} of the {first.relation}", second.object, (first, second))
            for first in self.stated
            for second in self.facts_of[first.object]
        )
        return tuple(fact for fact in chains if (fact.subject, fact.object) not in together)

    @cached_property
    def facts_of(self) -> Mapping[int, Sequence[Fact]]:
        """The stated facts of each topic."""
        by_topic: dict[int, list[Fact]] = {topic: [] for topic in range(len(self.topics))}
        for fact in self.stated:
            by_topic[fact.subject].append(fact)
        return by_topic

    @property
    def facts(self) -> tuple[Fact, ...]:
        """All facts: those of one hop, then those of two."""
        return self.stated + self.inferable

    def statement(self, fact: Fact, object: int | None = None) -> str:
        """Return the statement of a fact in a wording that no passage uses for it.

        Args:
            fact: The fact.
            object: Another topic to put in place of the fact's object, for a false statement.

        Example:
            >>> world = invent(8, seed=0)
            >>> world.statement(world.stated[0])
            '...'
        """
        subject, end = self.topics[fact.subject].written, self.topics[fact.object if object is None else object]
        if fact.parts:
            subject = f"the {fact.parts[0].relation} of {subject}"
        return sentence(asked_wording(fact), s=subject, n=subject, o=end.written, r=fact.asks)


def asked_wording(fact: Fact) -> str:
    """Return the wording reserved for questions about a fact: one that names the object after the subject."""
    wordings = [w for w in FACTS[fact.asks] + ANY_FACT if 0 <= max(w.find("{s}"), w.find("{n}")) < w.find("{o}")]
    return wordings[(fact.subject + fact.object) % len(wordings)]  # not drawn: the same for passages and questions


def sentence(wording: str, **words: object) -> str:
    """Return a wording with its placeholders filled in, as a sentence."""
    said = wording.format(**words)
    return f"{said[0].upper()}{said[1:]}."


def invent(n_topics: int, seed: int = 0) -> InventedWorld:
    """Invent a world.

    Topics are created one after the other, in realms. The object of a fact is drawn from the older topics of the right
    category, mostly of the same realm, in proportion to one plus the number of facts that lead there already.

    Args:
        n_topics: Number of topics.
        seed: The same seed and number give the same world everywhere.

    Raises:
        SettingError: If there are fewer than 8 topics.
    """
    if n_topics < LEAST_TOPICS:
        raise SettingError(f"an invented world has at least {LEAST_TOPICS} topics, not {n_topics}")
    draws = Draws(seed)
    topics = _topics(n_topics, draws)
    stated = _stated(topics, draws)
    # Topics are numbered by title, so that a number says nothing about a topic's age.
    order = sorted(range(n_topics), key=lambda age: topics[age].title)
    number = {age: topic for topic, age in enumerate(order)}
    renumbered = [Fact(number[f.subject], f.relation, number[f.object]) for f in stated]
    renumbered.sort(key=lambda fact: fact.subject)
    return InventedWorld(f"invented:{n_topics}:{seed}", tuple(topics[age] for age in order), tuple(renumbered))


def _topics(n: int, draws: Draws) -> list[Topic]:
    """Return the topics, oldest first."""
    namer = _Namer(draws)
    made = []
    for age in range(n):
        category = _FIRST[age] if age < len(_FIRST) else _category(draws)
        kind = draws.pick(KINDS[category])
        pronoun = draws.pick(("she", "he")) if category == "People" else "it"
        year = _FIRST_YEAR + age * _YEARS // n  # in order of age: no fact leads to a younger topic
        made.append(Topic(namer.title(category, kind), category, kind, draws.pick(TRAITS[category]), year, pronoun))
    return made


def _category(draws: Draws) -> str:
    """Draw a category by `_SHARES`."""
    hundredth = draws.below(100)  # an integer, so that the sum of shares is exact
    for category, share in _SHARES.items():
        hundredth -= round(100 * share)
        if hundredth < 0:
            return category
    raise AssertionError("the shares add up to one")


def _stated(topics: Sequence[Topic], draws: Draws) -> list[Fact]:
    """Draw the facts of topics that are ordered by age.

    Every topic except the first has a fact that leads to an older topic, so the topic graph is connected.
    """
    realms = max(1, len(topics) // _REALM_TOPICS)
    older: dict[tuple[str, int], list[int]] = {}  # by category and realm; -1 stands for all realms
    facts = []
    for age, topic in enumerate(topics):
        own = draws.below(realms)
        told: set[int] = set()
        for relation in (r for r in RELATIONS if r.subject == topic.category and draws.chance(r.share)):
            realm = own if draws.chance(_OWN_REALM) else -1
            # A young realm may have no such topic yet.
            pool = older.get((relation.object, realm)) or older.get((relation.object, -1))
            if pool and (found := draws.pick(pool)) not in told:
                told.add(found)
                facts.append(Fact(age, relation.name, found))
                pool.append(found)  # drawn more often from now on: preferential attachment
        for realm in (own, -1):
            older.setdefault((topic.category, realm), []).append(age)
    return facts


class _Namer:
    """Generator of titles made of syllables. No two topics share their distinctive word.

    Args:
        draws: The draws that names are made of.
    """

    def __init__(self, draws: Draws) -> None:
        self._draws = draws
        self._taken: set[str] = set()
        self._given = [self._word(_GIVEN_ENDINGS, syllables=1) for _ in range(_GIVEN_NAMES)]

    def title(self, category: str, kind: str) -> str:
        """Return a new title: given name and family name, the name of a place, or a word and the kind of topic."""
        word = self._word(_ENDINGS[category], syllables=2)
        if category == "People":
            return f"{self._draws.pick(self._given)} {word}"
        return word if category == "Places" else f"{word} {kind}"

    def _word(self, endings: Sequence[str], syllables: int) -> str:
        """Return a word that this object has not returned before."""
        pick = self._draws.pick
        while True:
            stem = "".join(pick(_ONSETS) + pick(_VOWELS) for _ in range(syllables))
            word = (stem + pick(_CODAS) + pick(endings)).capitalize()
            if word not in self._taken:
                self._taken.add(word)
                return word


class Draws:
    """Random draws that are the same on every machine and for every version of Python and NumPy.

    They use `random.Random.random` alone, the one sequence that Python promises never to change.

    Args:
        seed: A number.

    Example:
        >>> Draws(0).some("abcdef", 3)
        ['f', 'e', 'd']
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed).random

    def chance(self, share: float) -> bool:
        """Return True with a probability."""
        return self._random() < share

    def below(self, n: int) -> int:
        """Return a number from 0 to n - 1."""
        return int(self._random() * n)

    def pick(self, items: Sequence[T]) -> T:
        """Return one of one or more items."""
        return items[self.below(len(items))]

    def some(self, items: Sequence[T], n: int) -> list[T]:
        """Return n different ones of n or more items, in random order."""
        pool = list(items)
        # The first n steps of a Fisher-Yates shuffle.
        for place in range(n):
            other = place + self.below(len(pool) - place)
            pool[place], pool[other] = pool[other], pool[place]
        return pool[:n]
