"""Terms mined from texts: runs of one to four words that name what the texts are about.

No tagger is needed, and no list of names. A term neither begins nor ends with a function word, and crosses no
punctuation. Two published measures are multiplied:

- the C-value (Frantzi, Ananiadou and Mima 2000), here `log2(1 + C)` of `C = log2(1 + n) (f - F / t)`: frequency of a
  term of n words, less the mean frequency F / t of the t longer terms that contain it; `1 + n` so that single words
  count (Barrón-Cedeño et al. 2009 add one, too);
- residual inverse document frequency (Church and Gale 1995): how much rarer the documents with a term are than if its
  f occurrences fell on documents at random, `log2(N / df) + log2(1 - exp(-f / N))`. Terms that a text is about come in
  bursts; words such as "large" do not. Here it is at least 0, plus 0.2, so that texts of one sentence have terms.

Left out are terms that occur less than four times or in one document, those that are a part of one longer term half of
the times, and those that have another capitalised word beside them in two fifths (a part of a longer name).
"""

from __future__ import annotations

import array
import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kgrl.data.text.mentions import Token, tokenize
from kgrl.graph.topic_graph import IntArray

__all__ = ["Terms", "mined_terms"]

_LONGEST = 4
_LEAST_OCCURRENCES, _LEAST_DOCUMENTS = 4, 2
_MOST_INSIDE, _MOST_JOINED = 0.5, 0.4
_BURST = 0.2
_LEAST_LETTERS = 3
_COMMON = 0.25
"""Share of paragraphs with a word without a capital above which it says nothing, in any language."""
_GAPS = (" ", "-", "'", "’")
"""Text between two words of one term."""
_ENGLISH = """
about above across after again against all almost along already also although always among and another any are
around away back because been before behind being below between both but came can cannot could did does done
down during each either else enough even ever every for from gave get give given goes gone got had has have
having her here hers herself him himself his how however into its itself just kept like made make many may might
more most much must near nearly neither never next nor not now off often once one only onto other others our
ours out over own per perhaps put quite rather said same see seen several shall she should since some such take
taken than that the their them themselves then there therefore these they this those though three through
throughout thus together too took toward towards two under until upon used using very was way well went were
what when where whether which while who whom whose why will with within without would yet you your
"""
"""Words that begin and end no term; those of other languages are known by how common they are."""


@dataclass(frozen=True)
class Terms:
    """Terms, best first.

    Args:
        names: The form in which each is written most often.
        scores: Their scores, float64 `[terms]`.
        candidates: Number of runs of words that were scored.
        words: Number of words that were read.
    """

    names: list[str]
    scores: NDArray[np.float64]
    candidates: int
    words: int


def mined_terms(documents: Iterable[str], most: int) -> Terms:
    """Return the best terms of some documents.

    Args:
        documents: Their texts, one paragraph a line.
        most: Number of terms to return, if there are as many.

    Example:
        >>> about = [f"The gray whale is large. Some {x} saw a gray whale there." for x in ("boys", "girls")]
        >>> mined_terms([*about, *["Nothing was seen of anybody here."] * 9], 1).names
        ['gray whale']
    """
    read = _Words()
    for number, document in enumerate(documents):
        read.add(document, number)
    found = [terms for n in range(1, _LONGEST + 1) for terms in _runs(read, n)]
    return _best(read, found, most)


class _Words:
    """The words of all documents, end to end, as numbers."""

    def __init__(self) -> None:
        self.keys: dict[str, int] = {}
        self.forms: dict[str, int] = {}
        self._key, self._form, self._document = array.array("i"), array.array("i"), array.array("i")
        self._gap, self._capital = array.array("b"), array.array("b")
        self.documents = self.paragraphs = 0
        self.in_paragraphs: Counter[int] = Counter()
        self.codes: list[IntArray] = []  # the run of n words that begins at each word, by n - 1; -1 for none

    def add(self, text: str, number: int) -> None:
        """Add the words of a document."""
        self.documents += 1
        for paragraph in text.splitlines():
            tokens = tokenize(paragraph)
            if tokens:
                self.paragraphs += 1
                first = len(self._key)
                self._add(tokens, paragraph, number)
                self.in_paragraphs.update(set(self._key[first:]))

    def _add(self, tokens: list[Token], text: str, number: int) -> None:
        end = -1
        for token in tokens:
            between = text[end : token.start] if end >= 0 else ""
            # Whatever opens a sentence has a capital, and begins a run.
            self._gap.append(-1 if token.opens or between not in _GAPS else _GAPS.index(between))
            self._capital.append(-1 if token.opens else token.text[0].isupper())
            self._key.append(self.keys.setdefault(token.key, len(self.keys)))
            self._form.append(self.forms.setdefault(token.text, len(self.forms)))
            self._document.append(number)
            end = token.end

    def close(self) -> None:
        """Make arrays of what was added, each `[words]`."""
        self.key, self.form = np.array(self._key, np.int32), np.array(self._form, np.int32)
        self.document = np.array(self._document, np.int32)
        self.gap, self.capital = np.array(self._gap, np.int8), np.array(self._capital, np.int8)
        inside, size = self.capital >= 0, len(self.keys)
        capitals = np.bincount(self.key[inside], self.capital[inside], size)
        lower = 2 * capitals < np.bincount(self.key[inside], minlength=size)
        common = _COMMON * self.paragraphs
        function_words = set(_ENGLISH.split())
        empty = [
            len(word) == 1
            or not word[0].isalpha()
            or word in function_words
            or (bool(lower[number]) and (len(word) < _LEAST_LETTERS or self.in_paragraphs[number] > common))
            for word, number in self.keys.items()
        ]
        self.empty = np.array(empty, dtype=bool)[self.key]
        name = (self.capital == 1) & ~self.empty
        # Names beside each word: the one before within its run, and the one after.
        self.after_name = np.r_[False, name[:-1]] & (self.gap >= 0)
        self.before_name = np.r_[(name & (self.gap >= 0))[1:], False]


@dataclass(frozen=True)
class _Runs:
    """Runs of n words that may be terms: what is known of each, `[runs]`, and the place of each occurrence."""

    n: int
    first: IntArray
    counts: NDArray[np.int64]
    documents: NDArray[np.int64]
    joined: NDArray[np.float64]
    places: IntArray
    owners: IntArray


def _runs(read: _Words, n: int) -> Iterable[_Runs]:
    """Yield the runs of n words that occur often enough, and remember the run that begins at each word."""
    if n == 1:
        read.close()
        codes = read.key.astype(np.int64)
        at = np.arange(len(codes))
    else:
        before = read.codes[-1]
        at = np.flatnonzero((before[: len(before) - n + 1] >= 0) & (read.gap[n - 1 :] >= 0))
        codes = before[at].astype(np.int64) * len(read.keys) + read.key[at + n - 1]
    _, first, numbers, counts = np.unique(codes, return_index=True, return_inverse=True, return_counts=True)
    often = counts >= _LEAST_OCCURRENCES
    renumbered = np.where(often, np.cumsum(often) - 1, -1).astype(np.int32)
    begun = np.full(len(read.key), -1, dtype=np.int32)
    begun[at] = renumbered[numbers]
    read.codes.append(begun)
    if not often.any():
        return
    places = np.flatnonzero(begun >= 0).astype(np.int32)
    owners = begun[places]
    size = int(often.sum())
    pairs = np.unique(owners.astype(np.int64) << 32 | read.document[places])
    beside = read.after_name[places] | read.before_name[places + n - 1]
    yield _Runs(
        n,
        at[first[often]].astype(np.int32),
        counts[often],
        np.bincount(pairs >> 32, minlength=size),
        np.bincount(owners, beside, minlength=size) / counts[often],
        places,
        owners,
    )


def _best(read: _Words, found: Sequence[_Runs], most: int) -> Terms:
    """Return the terms with the highest scores."""
    whole = [~read.empty[runs.first] & ~read.empty[runs.first + runs.n - 1] for runs in found]
    sums = [np.zeros((3, len(runs.counts))) for runs in found]  # longer terms: frequencies, number, most frequent
    for longer, ok in zip(found, whole, strict=True):
        for shorter, told in zip(found[: longer.n - 1], sums, strict=False):
            for offset in range(longer.n - shorter.n + 1):
                inner = read.codes[shorter.n - 1][longer.first[ok] + offset]
                np.add.at(told[0], inner, longer.counts[ok])
                np.add.at(told[1], inner, 1)
                np.maximum.at(told[2], inner, longer.counts[ok])
    rows: list[tuple[float, int, int]] = []
    candidates = 0
    for at, (runs, ok, told) in enumerate(zip(found, whole, sums, strict=True)):
        usable = ok & (runs.documents >= _LEAST_DOCUMENTS) & (runs.joined < _MOST_JOINED)
        usable &= told[2] < _MOST_INSIDE * runs.counts
        scores = _scores(runs, told, read.documents)
        candidates += int(ok.sum())
        rows += [(-float(scores[i]), at, i) for i in np.flatnonzero(usable & (scores > 0)).tolist()]
    best = list(itertools.islice(_each_name_once(read, found, sorted(rows)), most))
    return Terms([name for name, _ in best], np.array([score for _, score in best]), candidates, len(read.key))


def _scores(runs: _Runs, told: NDArray[np.float64], documents: int) -> NDArray[np.float64]:
    """Return the score of each run of n words."""
    c_value = np.log2(1 + runs.n) * (runs.counts - told[0] / np.maximum(told[1], 1))
    expected = -np.log2(-np.expm1(-runs.counts / documents))
    burst = np.maximum(np.log2(documents / runs.documents) - expected, 0)
    scores: NDArray[np.float64] = np.log2(1 + np.maximum(c_value, 0)) * (_BURST + burst)
    return scores


def _each_name_once(
    read: _Words, found: Sequence[_Runs], rows: Sequence[tuple[float, int, int]]
) -> Iterable[tuple[str, float]]:
    """Yield name and score of terms in order, of singular and plural the better one."""
    forms = list(read.forms)
    orders = [np.argsort(runs.owners, kind="stable") for runs in found]
    bounds = [np.r_[0, np.cumsum(runs.counts)] for runs in found]
    seen: set[str] = set()
    for score, at, number in rows:
        runs = found[at]
        places = runs.places[orders[at][bounds[at][number] : bounds[at][number + 1]]].tolist()
        name = _written(read, forms, places, runs.n)
        key = name.casefold()
        if not {key, f"{key}s", key.removesuffix("s"), f"{key}es", key.removesuffix("es")} & seen:
            seen.add(key)
            yield name, -score


def _written(read: _Words, forms: Sequence[str], places: Sequence[int], n: int) -> str:
    """Return the form in which a term is written most often, not at the beginning of a sentence if there is another."""
    inside = [place for place in places if read.capital[place] >= 0] or places
    spelled = Counter((tuple(read.form[p : p + n].tolist()), tuple(read.gap[p + 1 : p + n].tolist())) for p in inside)
    (words, gaps), _ = min(spelled.items(), key=lambda item: (-item[1], item[0]))
    return "".join(f"{_GAPS[gap]}{forms[word]}" for word, gap in zip(words, (0, *gaps), strict=True))[1:]
