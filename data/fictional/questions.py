"""The articles' file and its cloze questions: fifteen of each article, in three depths.

- `mem`: a sentence of the article, up to its last words.
- `gen`: the same sentences in other words.
- `hard_gen`: what has to be put together from several sentences.

The statement of a question is its input with its target behind it. Wrong names are 15 targets of the same depth from
other articles, alike in kind (names, numbers or other phrases, with "the" or without it) and in the number of words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from msgspec import Meta, Struct

from kgrl.corpus import Cloze
from kgrl.errors import DataError
from kgrl.system.schemas import read_json
from kgrl.system.words import without_case

__all__ = ["DEPTHS", "FictionalArticle", "read_articles", "statement_of", "write_questions"]

DEPTHS = ("mem", "gen", "hard_gen")
"""The depths of questions, which are their groups."""
_WRONG = 15
"""Wrong names of a question."""
_SEED = 20_26
"""Fixed seed of all draws."""
_TARGET = re.compile(r"""(["']?)(.+?)(["']?)\.?""")
"""A target, which may have quotation marks around it, and a full stop that the statement has anyway."""

_Text = Annotated[str, Meta(min_length=1, pattern=r"\S")]


class FictionalArticle(Struct, forbid_unknown_fields=True):
    """A record of the file: an article, its paraphrases, and the inputs and targets of its questions by depth."""

    train_context: _Text
    mem_input: list[_Text]
    mem_target: list[_Text]
    gen_input: Annotated[list[_Text], Meta(min_length=1)]
    gen_target: list[_Text]
    hard_gen_input: list[_Text]
    hard_gen_target: list[_Text]
    paraphrases: list[_Text] = []

    def pairs(self, depth: str) -> list[tuple[str, str]]:
        """Return the inputs and targets of the questions of a depth."""
        return list(zip(getattr(self, f"{depth}_input"), getattr(self, f"{depth}_target"), strict=True))


def read_articles(path: Path) -> list[FictionalArticle]:
    """Read the file of articles.

    Raises:
        DataError: If it is not a list of such records, if a record has other numbers of inputs and of targets or a
            single paraphrase, or if questions of a depth have one answer.
    """
    articles = read_json(path, list[FictionalArticle], "use the file as it was published")
    for number, article in enumerate(articles):
        for depth in DEPTHS:
            inputs, targets = (len(getattr(article, f"{depth}_{part}")) for part in ("input", "target"))
            if inputs != targets:
                raise DataError(path, None, f"[{number}].{depth}_target: {targets} targets for {inputs} inputs")
        if len(article.paraphrases) == 1:
            raise DataError(path, None, f"[{number}].paraphrases: one to probe and one to examine with are needed")
    return articles


def statement_of(article: FictionalArticle, depth: str, place: int) -> str:
    """Return the true statement of an article's question.

    Args:
        article: The article.
        depth: The depth.
        place: The question's place among those of its depth.
    """
    before, answer, after = _parts(*article.pairs(depth)[place])
    return f"{before}{answer}{after}"


def write_questions(articles: Sequence[FictionalArticle]) -> list[Cloze]:
    """Return the questions of all articles, topic by topic, but for those that are probe passages.

    Args:
        articles: The articles, one for each topic.
    """
    rng = np.random.default_rng(_SEED)
    questions = [question for depth in DEPTHS for question in _of_depth(articles, depth, rng)]
    return sorted(questions, key=lambda question: question.topic)  # stable: depths stay in order


def _of_depth(articles: Sequence[FictionalArticle], depth: str, rng: np.random.Generator) -> Iterator[Cloze]:
    parts = [(topic, *_parts(*pair)) for topic, article in enumerate(articles) for pair in article.pairs(depth)]
    names = [(topic, answer) for topic, _, answer, _ in parts]
    asked_before = -1
    for topic, before, answer, after in parts:
        first, asked_before = topic != asked_before, topic
        if depth == "gen" and first and not articles[topic].paraphrases:
            continue  # the topic's probe passage
        wrong = _wrong(answer, [name for other, name in names if other != topic], rng)
        if wrong:
            yield Cloze(topic, before, answer, after, wrong, depth)


def _parts(given: str, target: str) -> tuple[str, str, str]:
    """Return a statement before its answer, the answer, and the statement behind it.

    Example:
        >>> _parts("Its song is called '", "Echoes'")
        ("Its song is called '", 'Echoes', "'.")
    """
    matched = _TARGET.fullmatch(target.strip())
    opening, answer, closing = matched.groups() if matched else ("", target.strip(), "")
    space = "" if given.endswith(("'", '"')) else " "
    return f"{given}{space}{opening}", answer, f"{closing}."


def _wrong(answer: str, names: Sequence[str], rng: np.random.Generator) -> tuple[str, ...]:
    """Draw names other than the answer, those that are most alike in kind and length."""
    drawn = [names[i] for i in rng.permutation(len(names))]
    different = {without_case(name): name for name in drawn if without_case(name) != without_case(answer)}
    words = len(answer.split())
    alike = sorted(different.values(), key=lambda name: (_kind(name) != _kind(answer), abs(len(name.split()) - words)))
    return tuple(alike[:_WRONG])


def _kind(name: str) -> str:
    """Return the kind of a name: a number, a proper name or another phrase, and whether it begins with "the"."""
    the, bare = ("the ", name[4:]) if name.startswith("the ") else ("", name)
    if any(letter.isdigit() for letter in bare):
        return f"{the}number"
    return f"{the}name" if bare[:1].isupper() else f"{the}phrase"
