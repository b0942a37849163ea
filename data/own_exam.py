"""Exams of one's own: the passages of a corpus folder's `exam.jsonl`, which take the place of drawn exam passages.

Each line is one passage:

    {"topic": "Logic", "text": "Who reasons by rules of logic gets from true premises to true conclusions."}

- `topic`: the title of a topic that has passages to learn from.
- `text`: the passage. It has other words than what is trained on or probed: a line is refused if more than half of its
  runs of eight words stand in one of these passages or another, or if a line before it has the same words.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from kgrl.corpus import shingles, wording
from kgrl.data.reading import Problems, json_lines
from kgrl.errors import DataError
from kgrl.system.words import canonical

__all__ = ["EXAM", "ExamLine", "OwnExam", "read_exam", "repeated_wording"]

EXAM = "exam.jsonl"
"""The file of a corpus folder's own exam passages."""
_MOST_SHARED = 0.5
"""Share of a passage's runs of eight words that others may have, as in `kgrl.corpus.near_duplicates`."""
_AT_ONCE = 10_000
"""Passages compared at a time, so that memory does not grow with a corpus."""


class ExamLine(Struct, forbid_unknown_fields=True):
    """A line of `exam.jsonl`: one passage of the exam.

    Args:
        topic: The title of its topic.
        text: The text.
    """

    topic: Annotated[str, Meta(description="The title of its topic, which has passages to learn from")]
    text: Annotated[str, Meta(description="The text; not blank, and in other words than what is learned from")]


@dataclass(frozen=True)
class OwnExam:
    """The exam passages that a corpus folder brings.

    Args:
        topics: Their topics.
        texts: Their texts.
    """

    topics: Sequence[int]
    texts: Sequence[str]


def read_exam(
    folder: Path, number: Mapping[str, int], learned: Iterable[tuple[str, str]], problems: Problems
) -> OwnExam | None:
    """Read a corpus folder's own exam; None if it has no `exam.jsonl`.

    Args:
        folder: The folder.
        number: The number of each topic by the canonical form of its title.
        learned: Topics by the canonical form of their titles, and texts, of the passages to train on or to probe with.
        problems: Gets the lines that cannot be used.

    Raises:
        DataError: If the file has no line that can be used: exam passages are not drawn in their stead.
    """
    path = folder / EXAM
    if not path.exists():
        return None
    keys, texts = ([*column] for column in zip(*learned, strict=True)) if (learned := [*learned]) else ([], [])
    lines = list(_usable(path, number, frozenset(keys), problems))
    told, _ = repeated_wording([line.text for _, line in lines], texts)
    kept = []
    for (place, line), is_told in zip(lines, told.tolist(), strict=True):
        if is_told:
            why = "more than half of the passage stands in passages to train on or to probe with, so the exam would ask"
            reason = f"text: {why} for memory of words; say it in other words, or leave it out"
            problems.report(path, place, "exam passage that is learned", reason)
        else:
            kept.append(line)
    if not kept:
        raise DataError(path, None, "it holds no passage that can be used; delete the file to have exam passages drawn")
    return OwnExam([number[canonical(line.topic)] for line in kept], [line.text for line in kept])


def _usable(
    path: Path, number: Mapping[str, int], with_text: Collection[str], problems: Problems
) -> Iterator[tuple[int, ExamLine]]:
    """Yield the lines that have a text of their own and a topic with text, each with its number."""
    seen: dict[int, int] = {}
    for place, line in json_lines(path, ExamLine, problems):
        key, words = canonical(line.topic), wording(line.text)
        if key not in number:
            problems.report(path, place, "passage of an unknown topic", f"{line.topic!r} is not a topic")
        elif key not in with_text:
            reason = f"the topic {line.topic!r} has no passage to learn from"
            problems.report(path, place, "exam of a topic without text", reason)
        elif not canonical(line.text):
            problems.report(path, place, "empty passage", f"the passage of {line.topic!r} is empty")
        elif seen.setdefault(words, place) != place:
            problems.report(path, place, "repeated passage", f"the passage has the words of line {seen[words]}")
        else:
            yield place, line


def repeated_wording(exam: Sequence[str], learned: Sequence[str]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which exam passages stand largely in what is learned, and which learned passages stand largely in an exam.

    Wording is compared as by `kgrl.corpus.near_duplicates`, a part of what is learned at a time.

    Args:
        exam: Exam passages.
        learned: Passages to train on or to probe with.

    Returns:
        Whether more than half of a passage's runs of eight words stand on the other side: bool `[exam]`, and bool
        `[learned]`.

    Example:
        >>> exam, learned = repeated_wording(["One two three."], ["Four.", "one, TWO three"])
        >>> exam.tolist(), learned.tolist()
        ([True], [False, True])
    """
    owners, hashes = shingles(exam)
    known, places = np.unique(hashes, return_inverse=True)
    found, inside = np.zeros(len(known), dtype=bool), np.zeros(len(learned), dtype=bool)
    for start in range(0, len(learned) if len(known) else 0, _AT_ONCE):
        of, those = shingles(learned[start : start + _AT_ONCE])
        at = np.searchsorted(known, those) % len(known)  # modulo: what is above all is searched for past the end
        hit = known[at] == those
        found[at[hit]] = True
        inside[start : start + _AT_ONCE] = _mostly(of, hit, len(learned[start : start + _AT_ONCE]))
    return _mostly(owners, found[places], len(exam)), inside


def _mostly(owners: NDArray[np.int64], hit: NDArray[np.bool_], texts: int) -> NDArray[np.bool_]:
    """Return the texts of which a larger share of shingles is hit than may be shared, bool `[texts]`."""
    return np.bincount(owners[hit], minlength=texts) > _MOST_SHARED * np.bincount(owners, minlength=texts)
