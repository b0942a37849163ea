"""An invented world: topics, and the facts that are true of them.

A topic's facts lead to older topics only, so what a fact needs to be understood never goes in circles.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from kgrl.data.invented.phrases import ANY_FACT, FACTS, KINDS, TRAITS
from kgrl.errors import SettingError

__all__ = ["RELATIONS", "Draws", "Fact", "InventedWorld", "Relation", "Topic", "asked_wording", "invent", "sentence"]

LEAST_TOPICS = 8
_FIRST = ("Places", "People", "Places", "Institutions", "People", "Events", "Works", "Places")
"""The categories of the oldest topics, so that every relation finds something to lead to early on."""
_SHARES = {"People": 0.35, "Places": 0.2, "Institutions": 0.15, "Events": 0.15, "Works": 0.15}
_REALM_TOPICS = 60
_OWN_REALM = 0.8
"""Chance that a fact leads to a topic of the same realm; realms are what makes the graph fall into communities."""
_FIRST_YEAR, _YEARS = 700, 1100


def _parts(listed: str) -> tuple[str, ...]:
    return tuple(listed.split())


_ONSETS = _parts("b br d dr f g gl gr h k kr l m n p r s sk t th tr v vr z")
_VOWELS = _parts("a e i o u ae ei ou")
_CODAS = _parts("l m n r s th v rn lm sk")
_GIVEN_NAMES = 80
_GIVEN_ENDINGS = _parts("a o is en iel ara")
_ENDINGS: Mapping[str, tuple[str, ...]] = {
    "People": _parts("ane oth ivar enko ulme arest ondi ith"),
    "Places": _parts("mere holt wick dun gard stov haven ora"),
    "Institutions": _parts("an ium eor astre"),
    "Events": _parts("ak und ell ory"),
    "Works": _parts("ian esh otis ume"),
}

T = TypeVar("T")


@dataclass(frozen=True)
class Relation:
    """What facts can be about.

    Args:
        name: A noun: the birthplace of someone is somewhere.
        subject: The category of topics that it is told of.
        object: The category of topics that it leads to.
        share: Share of the subjects that it is told of, where there is an older topic that it can lead to.
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
        kind: What it is: a cartographer, a harbour town, an Academy.
        trait: What else is told of it.
        year: When it came about; nothing that its facts lead to is younger.
        pronoun: How it is spoken of.
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
    """Something that is true of a topic.

    Args:
        subject: The topic.
        relation: What is told: `"birthplace"`, or for two hops `"birthplace of the mentor"`.
        object: The topic it leads to.
        parts: The facts that it follows from, in the order in which they lead from subject to object; none for a fact
            that passages state.
    """

    subject: int
    relation: str
    object: int
    parts: tuple[Fact, ...] = ()

    @property
    def asks(self) -> str:
        """The relation that leads to the object."""
        return self.parts[-1].relation if self.parts else self.relation

    @property
    def hops(self) -> int:
        """How many stated facts it takes to tell."""
        return max(1, len(self.parts))

    @property
    def sources(self) -> tuple[int, ...]:
        """The topics whose passages have to be read to infer the fact."""
        return tuple(part.subject for part in self.parts) or (self.subject,)


@dataclass(frozen=True)
class InventedWorld:
    """Everything that is true of an invented world.

    Args:
        name: The name of its corpus.
        topics: Its topics, in order of title; a topic's place is its number in the corpus.
        stated: The facts that passages state, each in its subject's own passages, in order of the subject.
    """

    name: str
    topics: tuple[Topic, ...]
    stated: tuple[Fact, ...]

    @cached_property
    def inferable(self) -> tuple[Fact, ...]:
        """The facts of two hops: no passage states them, nor names both their subject and their object."""
        named: list[set[int]] = [{topic} for topic in range(len(self.topics))]
        for fact in self.stated:
            named[fact.subject].add(fact.object)
        together = {(a, b) for names in named for a in names for b in names}
        return tuple(fact for fact in self._chains() if (fact.subject, fact.object) not in together)

    def _chains(self) -> Iterable[Fact]:
        for first in self.stated:
            for second in self.facts_of[first.object]:
                relation = f"{second.relation} of the {first.relation}"
                yield Fact(first.subject, relation, second.object, (first, second))

    @cached_property
    def facts_of(self) -> Mapping[int, Sequence[Fact]]:
        """The stated facts of each topic."""
        by_topic: dict[int, list[Fact]] = {topic: [] for topic in range(len(self.topics))}
        for fact in self.stated:
            by_topic[fact.subject].append(fact)
        return by_topic

    @property
    def facts(self) -> tuple[Fact, ...]:
        """All facts, those of one hop first."""
        return self.stated + self.inferable

    def statement(self, fact: Fact, object: int | None = None) -> str:
        """Write a fact in words in which no passage tells it, or the same of another object.

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
    """Return the wording that is kept for asking about a fact: one that names the object last."""
    wordings = [w for w in FACTS[fact.asks] + ANY_FACT if 0 <= max(w.find("{s}"), w.find("{n}")) < w.find("{o}")]
    return wordings[(fact.subject + fact.object) % len(wordings)]


def sentence(wording: str, **words: object) -> str:
    """Return a wording with its words put in, as a sentence."""
    said = wording.format(**words)
    return f"{said[0].upper()}{said[1:]}."


def invent(n_topics: int, seed: int = 0) -> InventedWorld:
    """Invent a world.

    Topics come about one after the other, in realms. What a fact leads to is drawn from the older topics of the right
    category, mostly of the same realm, in proportion to one and the facts that lead there already.

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
    order = sorted(range(n_topics), key=lambda age: topics[age].title)
    number = {age: topic for topic, age in enumerate(order)}
    renumbered = [Fact(number[f.subject], f.relation, number[f.object]) for f in stated]
    renumbered.sort(key=lambda fact: fact.subject)
    return InventedWorld(f"invented:{n_topics}:{seed}", tuple(topics[age] for age in order), tuple(renumbered))


def _topics(n: int, draws: Draws) -> list[Topic]:
    """The topics from the oldest on."""
    namer = Namer(draws)
    made = []
    for age in range(n):
        category = _FIRST[age] if age < len(_FIRST) else _category(draws)
        kind = draws.pick(KINDS[category])
        pronoun = draws.pick(("she", "he")) if category == "People" else "it"
        year = _FIRST_YEAR + age * _YEARS // n
        made.append(Topic(namer.title(category, kind), category, kind, draws.pick(TRAITS[category]), year, pronoun))
    return made


def _category(draws: Draws) -> str:
    """A category, each as often as its share says."""
    hundredth = draws.below(100)
    for category, share in _SHARES.items():
        hundredth -= round(100 * share)
        if hundredth < 0:
            return category
    raise AssertionError("the shares add up to one")


def _stated(topics: Sequence[Topic], draws: Draws) -> list[Fact]:
    """The facts of topics that are ordered by age.

    Every topic but the first has one that leads to an older topic, so that the topic graph is connected.
    """
    realms = max(1, len(topics) // _REALM_TOPICS)
    older: dict[tuple[str, int], list[int]] = {}  # by category and realm; -1 stands for all realms
    facts = []
    for age, topic in enumerate(topics):
        own = draws.below(realms)
        told: set[int] = set()
        for relation in (r for r in RELATIONS if r.subject == topic.category and draws.chance(r.share)):
            realm = own if draws.chance(_OWN_REALM) else -1
            pool = older.get((relation.object, realm)) or older.get((relation.object, -1))
            if pool and (found := draws.pick(pool)) not in told:
                told.add(found)
                facts.append(Fact(age, relation.name, found))
                pool.append(found)  # what is known already is likelier to come up again
        for realm in (own, -1):
            older.setdefault((topic.category, realm), []).append(age)
    return facts


class Namer:
    """Names topics; no two topics share the word that tells them from others of their kind.

    Args:
        draws: The draws that names are made of.
    """

    def __init__(self, draws: Draws) -> None:
        self._draws = draws
        self._taken: set[str] = set()
        self._given = [self._word(_GIVEN_ENDINGS, syllables=1) for _ in range(_GIVEN_NAMES)]

    def title(self, category: str, kind: str) -> str:
        """Return a new title: given name and family name, a place's name, or a word and what it is the name of."""
        word = self._word(_ENDINGS[category], syllables=2)
        if category == "People":
            return f"{self._draws.pick(self._given)} {word}"
        return word if category == "Places" else f"{word} {kind}"

    def _word(self, endings: tuple[str, ...], syllables: int) -> str:
        """A word that was not made before."""
        pick = self._draws.pick
        while True:
            stem = "".join(pick(_ONSETS) + pick(_VOWELS) for _ in range(syllables))
            word = (stem + pick(_CODAS) + pick(endings)).capitalize()
            if word not in self._taken:
                self._taken.add(word)
                return word


class Draws:
    """Draws made from `random.Random.random` alone, the one sequence that Python promises never to change.

    Args:
        seed: A number.

    Example:
        >>> Draws(0).some("abcdef", 3)
        ['f', 'e', 'd']
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed).random

    def chance(self, share: float) -> bool:
        """Return true with this probability."""
        return self._random() < share

    def below(self, n: int) -> int:
        """Return one of 0 to n - 1."""
        return int(self._random() * n)

    def pick(self, items: Sequence[T]) -> T:
        """Return one of some items, at least one."""
        return items[self.below(len(items))]

    def some(self, items: Sequence[T], n: int) -> list[T]:
        """Return n different ones of at least as many items, in random order."""
        pool = list(items)
        for place in range(n):
            other = place + self.below(len(pool) - place)
            pool[place], pool[other] = pool[other], pool[place]
        return pool[:n]
