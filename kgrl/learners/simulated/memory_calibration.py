"""Calibrations of memory: parameters of the learner that remembers and forgets, and how well they predict.

A calibration is plain data, kept as JSON. Fitting is in `kgrl.learners.simulated.memory_fit`. It has no numbers of
single topics, so it holds for all corpora of its family, such as all invented worlds.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kgrl.builtin import FOLDER
from kgrl.corpus import Corpus
from kgrl.errors import DataError, MissingDataError, SettingError
from kgrl.learners.simulated.memory import MemoryParameters
from kgrl.system.files import write_json
from kgrl.system.schemas import Above0, Count, NotBelow0, checked, read_json

__all__ = ["MemoryCalibration", "MemoryErrors", "family_of"]

_FORMAT = 1


@dataclass(frozen=True)
class MemoryErrors:
    """Errors of predictions for runs that a fit has not seen: all runs on one corpus are left out at a time.

    Each is a root mean square. Those of losses are over probe losses of topics after lessons, in nats per token; those
    of recall are over the shares of links that were known, as means over some lessons.

    Args:
        loss: Error of the losses by the equations.
        loss_by_tokens: Error of taking the mean loss of the other runs after as many tokens.
        recall: Error of the share of links known by the equations.
        recall_by_tokens: Error of taking the mean share of the other runs after as many tokens.
        recall_guessed: Error of predicting that nothing is ever known.
        agents: Rank correlation (Spearman's) of predicted and measured shares of links known over the last third of the
            runs: whether the order of agents and seeds is told rightly.
    """

    loss: NotBelow0
    loss_by_tokens: NotBelow0
    recall: NotBelow0
    recall_by_tokens: NotBelow0
    recall_guessed: NotBelow0
    agents: float | None = None


@dataclass(frozen=True, repr=False)
class MemoryCalibration:
    """The parameters of a learner that remembers and forgets, fitted to runs of a real one.

    Args:
        family: The part of the corpora's names before the colon, for example `"invented"`.
        learner: The learner whose runs it was fitted to, for example `"scratch:learning_rate=0.0015"`.
        tokens_per_word: Tokens of that learner for each word of text.
        parameters: Parameters fitted to all runs.
        members: Parameters of each run alone in what differs most from run to run, when the plateau ends: learners that
            differ as real ones do.
        runs: Names of the runs: corpus, agent and seed of each.
        lessons: Number of their lessons.
        errors: Errors in runs that were left out.
    """

    family: str
    learner: str
    tokens_per_word: Above0
    parameters: MemoryParameters
    members: tuple[MemoryParameters, ...]
    runs: tuple[str, ...]
    lessons: Count
    errors: MemoryErrors

    def __repr__(self) -> str:
        return f"MemoryCalibration(family={self.family!r}, learner={self.learner!r}, members={len(self.members)})"

    def check(self, corpus: Corpus) -> None:
        """Refuse corpora of another family.

        Raises:
            SettingError: If the corpus is of another family; the message names both.
        """
        if family_of(corpus.name) != self.family:
            raise SettingError(
                f"the learner 'remembering' was fitted to corpora named {self.family}:..., and this is "
                f"{corpus.name!r}; use the learner 'scratch', or 'simulated' where a calibration ships"
            )

    def choose(self, member: int | None) -> MemoryParameters:
        """Return a member's parameters, or with None those fitted to all runs.

        Raises:
            SettingError: If `member` is not the number of one.
        """
        if member is None:
            return self.parameters
        if not 0 <= member < len(self.members):
            raise SettingError(f"the calibration has {len(self.members)} members, from 0; there is no {member}")
        return self.members[member]

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        write_json(path, {"format": _FORMAT, **asdict(self)})

    @classmethod
    def read(cls, path: Path) -> MemoryCalibration:
        """Read what `write` wrote.

        Raises:
            MissingDataError: If the file is missing.
            DataError: If it holds no such calibration, or one in a format that this version does not know.
        """
        if not path.is_file():
            raise MissingDataError(f"there is no calibration of memory at {path}")
        values = read_json(path, dict[str, Any])
        if values.pop("format", None) != _FORMAT:
            raise DataError(path, None, f"no calibration of memory in format {_FORMAT}, which this version reads")
        return checked(values, cls, path)

    @classmethod
    def builtin(cls, learner: str = "scratch") -> MemoryCalibration:
        """Return the calibration that ships for a kind of learner.

        Raises:
            MissingDataError: If none ships.
        """
        return cls.read(FOLDER / f"memory-{learner}.json")


def family_of(corpus: str) -> str:
    """Return the part of a corpus's name before the colon: invented worlds of all sizes and seeds are one family."""
    return corpus.partition(":")[0]
