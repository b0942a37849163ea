"""Calibrations: the parameters of simulated learners, the records they were fitted to, and their held-out errors.

A calibration is plain data, kept as JSON. Fitting is in `kgrl.learners.simulated.fit`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kgrl.builtin import FOLDER
from kgrl.corpus import Corpus
from kgrl.errors import DataError, MissingDataError, SettingError
from kgrl.learners.simulated.learning_curve import CurveParameters
from kgrl.system.files import write_json
from kgrl.system.random_bits import drawn
from kgrl.system.schemas import Above0, Count, Index, Nats, NotBelow0, checked, read_json

__all__ = ["ByTopic", "Calibration", "Errors", "Fitted"]

_FORMAT = 1
_WAY_OUT = "`kgrl calibrate` writes another"
_PLANTED = "-noisy"
"""Suffix of the name of a corpus with planted noise."""


@dataclass(frozen=True)
class ByTopic:
    """A number that differs from topic to topic.

    Args:
        mean: Its mean over topics.
        spread: Its standard deviation. A topic that was never measured has the mean plus a deviation of this size,
            drawn by the topic's number: it is the same in every simulation, and nothing else predicts it.
        topics: The number of each topic that was measured.
    """

    mean: Nats
    spread: NotBelow0
    topics: Mapping[Index, Nats] = field(default_factory=dict)

    def values(self, n_topics: int, key: int) -> NDArray[np.float64]:
        """Return the number of every topic, `[n_topics]`.

        Args:
            n_topics: How many topics there are.
            key: Tells the draws for one kind of number from those for another.

        Example:
            >>> ByTopic(4.0, 0.0, {1: 5.0}).values(3, key=1).tolist()
            [4.0, 5.0, 4.0]
        """
        values = self.mean + self.spread * drawn(key, 0, np.arange(n_topics), 0)
        values[list(self.topics)] = list(self.topics.values())
        return values


@dataclass(frozen=True)
class Fitted:
    """Numbers of records that a calibration was fitted to.

    Args:
        runs: Runs of curricula.
        expansions: Expansions of those runs with probes.
        forks: Forks taught one topic, the rows of transfer estimates.
        changes: Changes of a topic's loss that were measured in all of these.
        seed: Seed of the folds and the bootstrap.
    """

    runs: Count
    expansions: Count
    forks: Count
    changes: Count
    seed: Count


@dataclass(frozen=True)
class Errors:
    """Errors of predicted changes of losses, in expansions and forks that a fit has not seen.

    Each lesson is held out once, together with a share of the others. Errors are root mean squares over changes of a
    topic's loss, in nats per token. Rank correlations are Spearman's; None if there is too little to compare.

    Args:
        held_out: The share that is left out of each fit.
        fit: Error of the calibration.
        no_change: Error of predicting that no loss changes.
        mean_change: Error of predicting the mean change of the lessons that the fit has seen.
        style_only: Error of the same equations without topics: only what any text teaches.
        rank_expansions: Rank correlation of predicted and measured mean drop over expansions.
        rank_candidates: The same over forks, which are taught a topic each.
        rank_within: Rank correlation over the measured topics of a fork, mean over forks.
    """

    held_out: float
    fit: float
    no_change: float
    mean_change: float
    style_only: float
    rank_expansions: float | None = None
    rank_candidates: float | None = None
    rank_within: float | None = None


@dataclass(frozen=True, repr=False)
class Calibration:
    """The parameters of a simulated learner of one corpus.

    Args:
        corpus: The name of the corpus.
        fingerprint: Its fingerprint: topics, links, texts and splits.
        learner: The learner whose records it was fitted to, for example `"scratch"`.
        tokens_per_word: Tokens of that learner for each word of text.
        untaught: L, losses before anything is learned, in nats per token.
        response: r, the factor of what is learned in each topic's loss.
        parameters: Parameters fitted to all records.
        members: Parameters fitted to bootstrap samples of lessons; their differences tell how well they are known.
        fitted: Numbers of records that it was fitted to.
        errors: Held-out errors.
    """

    corpus: str
    fingerprint: str
    learner: str
    tokens_per_word: Above0
    untaught: ByTopic
    response: ByTopic
    parameters: CurveParameters
    members: tuple[CurveParameters, ...]
    fitted: Fitted
    errors: Errors

    def __repr__(self) -> str:
        # The default would print the numbers of hundreds of topics.
        return f"Calibration(corpus={self.corpus!r}, learner={self.learner!r}, members={len(self.members)})"

    def check(self, corpus: Corpus) -> None:
        """Refuse another corpus.

        Raises:
            SettingError: If the calibration was fitted on a corpus with another fingerprint; the message names both.
                If it has numbers of topics that the corpus does not have.
        """
        if corpus.fingerprint != self.fingerprint:
            raise SettingError(
                f"the calibration was fitted on corpus {self.corpus!r} with fingerprint {self.fingerprint[:12]}, and "
                f"this is {corpus.name!r} with fingerprint {corpus.fingerprint[:12]}; fit one with `kgrl calibrate`"
            )

        topics = [*self.untaught.topics, *self.response.topics]
        if topics and not 0 <= min(topics) <= max(topics) < len(corpus.graph):
            raise SettingError(f"the calibration has topics {min(topics)} to {max(topics)}, and {corpus!r} has not")

    def choose(self, member: int | None) -> CurveParameters:
        """Return a member's parameters, or with None those fitted to all records.

        Raises:
            SettingError: If `member` is not the number of one.
        """
        if member is None:
            return self.parameters
        if not 0 <= member < len(self.members):
            raise SettingError(
                f"the calibration has {len(self.members)} members, numbered from 0; there is no {member}"
            )
        return self.members[member]

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        write_json(path, {"format": _FORMAT, **asdict(self)})

    @classmethod
    def read(cls, path: Path) -> Calibration:
        """Read what `write` wrote.

        Raises:
            MissingDataError: If the file is missing.
            DataError: If it holds no calibration, or one in a format that this version does not know.
        """
        if not path.is_file():
            raise MissingDataError(f"there is no calibration at {path}; `kgrl calibrate` writes one")
        values = read_json(path, dict[str, Any], _WAY_OUT)
        if values.get("format") != _FORMAT:
            found = values.get("format")
            raise DataError(path, None, f"a calibration of format {found!r}; this version reads {_FORMAT}; {_WAY_OUT}")
        del values["format"]
        return checked(values, cls, path)

    @classmethod
    def builtin(cls, corpus: Corpus, learner: str = "scratch") -> Calibration:
        """Return the calibration that ships for a corpus, by its name.

        A corpus with planted noise gets the curves of the corpus that it was made from, with its own fingerprint; its
        planted topics were not measured.

        Args:
            corpus: The corpus.
            learner: The kind of learner that it was fitted to, `"scratch"` or `"lora"`.

        Raises:
            MissingDataError: If none ships; the message lists the corpora and learners that have one.
        """
        origin = corpus.name.removesuffix(_PLANTED)
        path = FOLDER / f"calibration-{origin.replace(':', '-')}-{learner}.json"
        if not path.is_file():
            shipped = sorted(p.stem.removeprefix("calibration-") for p in FOLDER.glob("calibration-*.json"))
            raise MissingDataError(
                f"no calibration of learner {learner!r} for corpus {corpus.name!r} ships with kgrl (there are "
                f"{', '.join(shipped) or 'none'}); `kgrl calibrate` fits one"
            )
        if origin != corpus.name:
            return replace(cls.read(path), corpus=corpus.name, fingerprint=corpus.fingerprint)
        return cls.read(path)
