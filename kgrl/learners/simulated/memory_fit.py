"""Fitting memory: the equations of `kgrl.learners.simulated.memory` to probe losses and links recalled in runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.stats import spearmanr

from kgrl.corpus import Corpus
from kgrl.errors import SettingError
from kgrl.expansion import Expansion
from kgrl.learners.simulated.courses import course_of_run
from kgrl.learners.simulated.memory import Memory, MemoryParameters, experience_of, known_of, losses_of, recalled
from kgrl.learners.simulated.memory_calibration import MemoryCalibration, MemoryErrors, family_of
from kgrl.learners.simulated.relatives import Relatives
from kgrl.retrieval.encoder import DEFAULT_ENCODER, AnyEncoder

__all__ = ["Predicted", "StudyRun", "fit_memory", "fit_memory_calibration"]

FloatArray = NDArray[np.float64]

_LIMITS: Mapping[str, tuple[float, float]] = {
    "untaught": (3.0, 15.0),
    "style": (0.1, 15.0),
    "style_tokens": (100.0, 1e7),
    "style_power": (0.1, 30.0),
    "style_onset": (0.5, 3.0),
    "repeated": (10.0, 1e7),
    "topic": (1e-2, 10.0),
    "topic_tokens": (0.1, 1e5),
    "topic_power": (0.01, 30.0),
    "forgetting": (1e-2, 3.0),
    "interference": (1e-8, 1e-1),
    "massed": (0.1, 1e5),
    "link": (1e-4, 10.0),
    "practice": (1e3, 1e8),
    "onset": (1.0, 30.0),
    "strength": (1.0, 1e5),
    "knowing": (1e-2, 5.0),
    "guessing": (0.03, 0.5),
    "few": (1e-3, 0.5),
    "few_topics": (3.0, 1e3),
}
"""Limits of the parameters; all are positive, and their logarithms are fitted."""
_GUESS = MemoryParameters(
    untaught=7.5,
    style=5.5,
    style_tokens=5e4,
    style_power=1.5,
    style_onset=1.0,
    repeated=1e3,
    topic=1.0,
    topic_tokens=200.0,
    topic_power=1.0,
    forgetting=0.5,
    interference=1e-5,
    massed=300.0,
    link=0.1,
    practice=2e5,
    onset=3.0,
    strength=200.0,
    knowing=0.5,
    guessing=0.15,
    few=0.1,
    few_topics=50.0,
)
_OF_A_RUN = ("practice",)
"""What is fitted to each run alone: when its plateau ends."""
_PULL = 0.02
"""Weight of staying at the first guess, for parameters that the runs say nothing about."""
_LOSS, _SHARE, _MEAN = 0.3, 0.35, 0.05
"""Sizes of usual residuals: of a loss in nats per token, of a topic's share of links, and of a mean of such shares."""
_TOGETHER = 8
"""Lessons whose shares of links are averaged, since a single share is of one to three links."""


@dataclass(frozen=True)
class StudyRun:
    """Readings of a run, and measurements on the way.

    Args:
        name: Corpus, agent and seed.
        corpus: The corpus's name.
        ends: Tokens trained on after each lesson, `[lessons]`.
        own: Tokens about each topic in each lesson, `[lessons, topics]`.
        linked: Tokens about linked topics, weighted as in the equations, `[lessons, topics]`.
        similar: The same for similar ones.
        measured: Topics whose probe losses were measured, `[m]`.
        before: Their losses before each lesson in nats per token, NaN where not measured, `[lessons, m]`.
        after: Their losses after it, of the same shape.
        shares: The share of each topic's links that were known after each lesson, NaN where not asked, `[lessons,
            topics]`.
    """

    name: str
    corpus: str
    ends: FloatArray
    own: FloatArray
    linked: FloatArray
    similar: FloatArray
    measured: NDArray[np.int32]
    before: FloatArray
    after: FloatArray
    shares: FloatArray

    @classmethod
    def of(
        cls,
        name: str,
        corpus: Corpus,
        expansions: Sequence[Expansion],
        rate: float,
        encoder: AnyEncoder = DEFAULT_ENCODER,
    ) -> StudyRun:
        """Arrange the records of a run.

        Args:
            name: Name of the run.
            corpus: Its corpus.
            expansions: Its expansions, from the nucleus on.
            rate: Tokens for each word.
            encoder: Embeds the topics, to tell which are similar.

        Raises:
            SettingError: If no links were asked for: the run needs `mastery="recall"`.
        """
        relatives = Relatives.of(corpus, encoder=encoder)
        course = course_of_run(corpus, name, expansions, rate)
        shares = np.full((len(expansions), len(corpus.graph)), np.nan)
        for row, expansion in enumerate(expansions):
            shares[row, list(expansion.tested.asked)] = expansion.tested.recalled
        if np.isnan(shares).all():
            raise SettingError(f'the run {name} asked for no links; make it with --mastery recall (mastery="recall")')
        return cls(
            name,
            corpus.name,
            np.array([expansion.tokens_total for expansion in expansions], dtype=np.float64),
            course.taught.toarray(),
            (course.taught @ relatives.link_matrix).toarray(),
            np.asarray((course.taught @ relatives.similarity_matrix).toarray(), dtype=np.float64),
            course.measured,
            course.before,
            course.after,
            shares,
        )

    def predict(self, parameters: MemoryParameters) -> Predicted:
        """Simulate the run's lessons."""
        memory = Memory(parameters, self.own.shape[1])
        strengths, practice = [memory.strength], [0.0]
        for own, linked, similar in zip(self.own, self.linked, self.similar, strict=True):
            memory.study(own, linked, similar)
            strengths.append(memory.strength)
            practice.append(memory.practice)
        # What follows from the state is computed for all lessons at once: a fit simulates them a thousand times.
        strength, practised = np.array(strengths), np.array(practice)[:, None]
        experience = np.concatenate([[0.0], experience_of(parameters, np.cumsum(self.own, axis=0))])[:, None]
        losses = losses_of(parameters, experience, practised, strength[:, self.measured])
        n_read = (np.cumsum(self.own, axis=0) > 0).sum(axis=1)[:, None]
        shares = recalled(parameters, known_of(parameters, practised[1:], strength[1:]), n_read)
        return Predicted(losses[:-1], losses[1:], shares)

    def mean_shares(self, shares: FloatArray, together: int = _TOGETHER) -> FloatArray:
        """Return the mean of shares of links over the topics asked in some lessons at a time, `[lessons / together]`.

        Args:
            shares: Shares by lesson and topic, `[lessons, topics]`.
            together: How many lessons.
        """
        asked = np.isfinite(self.shares)
        starts = np.arange(0, len(asked), together)
        sums = np.add.reduceat(np.where(asked, shares, 0.0).sum(axis=1), starts)
        means: FloatArray = sums / np.maximum(np.add.reduceat(asked.sum(axis=1), starts), 1)
        return means


@dataclass(frozen=True)
class Predicted:
    """Predictions of the equations for a run.

    Args:
        before: Losses of the measured topics before each lesson, `[lessons, m]`.
        after: Losses after it.
        shares: Shares of links that are answered rightly after it, `[lessons, topics]`.
    """

    before: FloatArray
    after: FloatArray
    shares: FloatArray


def fit_memory(
    runs: Sequence[StudyRun], first: MemoryParameters = _GUESS, names: Sequence[str] = tuple(_LIMITS)
) -> MemoryParameters:
    """Fit parameters to runs by least squares; each run counts the same, as do losses, shares, and means of shares.

    Args:
        runs: The runs.
        first: The first guess, which keeps its values in all other parameters.
        names: The parameters to fit.
    """
    low, high = np.log([_LIMITS[name] for name in names]).T
    guess = np.clip(np.log([getattr(first, name) for name in names]), low + 1e-3, high - 1e-3)

    def named(logs: FloatArray) -> MemoryParameters:
        return replace(first, **dict(zip(names, np.exp(logs).tolist(), strict=True)))

    def residuals(logs: FloatArray) -> FloatArray:
        parameters = named(logs)
        return np.concatenate([*(_wrong(run, parameters) for run in runs), _PULL * (logs - guess)])

    # Steps of a thousandth: the equations are smooth, and smaller steps drown in the rounding of long simulations.
    found = least_squares(residuals, guess, bounds=(low, high), diff_step=1e-3, max_nfev=60)
    return named(found.x)


def _wrong(run: StudyRun, parameters: MemoryParameters) -> FloatArray:
    """Residuals of a run, each kind in units of its usual size and divided by the root of their number."""
    predicted, measured, asked = run.predict(parameters), np.isfinite(run.after), np.isfinite(run.shares)
    losses = np.concatenate([(predicted.before - run.before)[measured], (predicted.after - run.after)[measured]])
    shares = (predicted.shares - run.shares)[asked]
    means = run.mean_shares(predicted.shares) - run.mean_shares(run.shares)
    kinds = ((losses, _LOSS), (shares, _SHARE), (means, _MEAN))
    return np.concatenate([wrong / size / np.sqrt(len(wrong)) for wrong, size in kinds])


def fit_memory_calibration(
    runs: Sequence[StudyRun],
    *,
    learner: str,
    rate: float,
    on_fit: Callable[[str], None] = lambda what: None,
) -> MemoryCalibration:
    """Fit a calibration, and measure its errors on runs that are left out.

    Args:
        runs: Runs of one kind of learner, on at least two corpora of one family.
        learner: The learner's name.
        rate: Its tokens for each word.
        on_fit: Called with what is fitted next.

    Raises:
        SettingError: If all runs are on one corpus: then none is left to test on.
    """
    corpora = sorted({run.corpus for run in runs})
    if len(corpora) < 2:
        raise SettingError(f"the runs are all on {corpora[0] if corpora else 'no corpus'}; errors need a second corpus")
    on_fit("all runs")
    parameters = fit_memory(runs)
    errors = _errors(runs, corpora, parameters, on_fit)
    spread, noise = _spreads(runs, parameters)
    parameters = replace(parameters, spread=spread, noise=noise)
    members = []
    for run in runs:
        on_fit(run.name)
        members.append(fit_memory([run], parameters, _OF_A_RUN))
    return MemoryCalibration(
        family=family_of(corpora[0]),
        learner=learner,
        tokens_per_word=rate,
        parameters=parameters,
        members=tuple(members),
        runs=tuple(run.name for run in runs),
        lessons=sum(len(run.ends) for run in runs),
        errors=errors,
    )


def _errors(
    runs: Sequence[StudyRun], corpora: Sequence[str], parameters: MemoryParameters, on_fit: Callable[[str], None]
) -> MemoryErrors:
    """Errors of fits to the runs on the other corpora, each beside what the other runs' means would have told."""
    squares: dict[str, list[float]] = {name: [] for name in ("loss", "loss_by_tokens", "recall", "recall_by_tokens")}
    guessed, ends = list[float](), list[tuple[float, float]]()
    for corpus in corpora:
        on_fit(f"all but {corpus}")
        others = [run for run in runs if run.corpus != corpus]
        fitted = fit_memory(others, parameters)
        for run in runs:
            if run.corpus != corpus:
                continue
            predicted, measured = run.predict(fitted), np.isfinite(run.after)
            shares, told = run.mean_shares(run.shares), run.mean_shares(predicted.shares)
            by_tokens = _shares_by_tokens(run, others)
            loss_by_tokens = _losses_by_tokens(run, others)[:, None]
            squares["loss"].append(_square((predicted.after - run.after)[measured]))
            squares["loss_by_tokens"].append(_square((loss_by_tokens - run.after)[measured]))
            squares["recall"].append(_square(told - shares))
            squares["recall_by_tokens"].append(_square(by_tokens - shares))
            guessed.append(_square(fitted.guessing - shares))
            late = slice(2 * len(shares) // 3, None)
            ends.append((float(told[late].mean()), float(shares[late].mean())))
    roots = {name: float(np.sqrt(np.mean(values))) for name, values in squares.items()}
    ranks = float(spearmanr(*zip(*ends, strict=True)).statistic) if len(ends) > 2 else None
    return MemoryErrors(**roots, recall_guessed=float(np.sqrt(np.mean(guessed))), agents=ranks)


def _square(wrong: FloatArray) -> float:
    return float(np.mean(wrong**2))


def _shares_by_tokens(run: StudyRun, others: Sequence[StudyRun]) -> FloatArray:
    """The mean share of the other runs after as many tokens."""
    curves = [np.interp(_moments(run), _moments(other), other.mean_shares(other.shares)) for other in others]
    means: FloatArray = np.mean(curves, axis=0)
    return means


def _moments(run: StudyRun) -> FloatArray:
    """Tokens at the end of each group of lessons whose shares are averaged."""
    return run.ends[np.minimum(np.arange(0, len(run.ends), _TOGETHER) + _TOGETHER - 1, len(run.ends) - 1)]


def _losses_by_tokens(run: StudyRun, others: Sequence[StudyRun]) -> FloatArray:
    """The mean loss of the other runs after as many tokens, `[lessons]`."""
    curves = [np.interp(run.ends, other.ends, np.nanmean(other.after, axis=1)) for other in others]
    means: FloatArray = np.mean(curves, axis=0)
    return means


def _spreads(runs: Sequence[StudyRun], parameters: MemoryParameters) -> tuple[float, float]:
    """Standard deviations of what the equations leave unexplained: between passages, and within one."""
    between, within = list[FloatArray](), list[FloatArray]()
    for run in runs:
        wrong = run.after - run.predict(parameters).after
        often = np.isfinite(wrong).sum(axis=0) > 1
        means = np.nanmean(wrong[:, often], axis=0)
        between.append(means)
        left = wrong[:, often] - means
        within.append(left[np.isfinite(left)])
    return float(np.concatenate(between).std()), float(np.concatenate(within).std())
