"""Measures of a lesson that a reward can ask for beyond probes, and the refusal of those a learner cannot give.

`Expansion.measures` then holds, by name:

    trained_before, trained_after    mean loss of the lesson's passages, in nats per token            need "trained"
    reference                        mean probe loss of the neighbourhood under the reference,        need "reference"
                                     in nats per token
    gradient_squared                 squared norm of the gradient of the lesson's loss                need "gradient"
    gradient_weights                 theta . grad, the gradient along the trained weights             need "gradient"
    alignment                        mean cosine of the passages' gradients and the probe's           need "alignment"
    weights_squared_before, _after   squared norm of the trained weights                              need "weights"
    flops                            floating-point operations of training, 6 N a token               need "flops"
    facts_before, facts_after        mean share of topics' facts that a simulated learner knows       need "facts"

The need "knowledge" is met by the teacher, which measures topics before and after each lesson: `Expansion.probes` then
has `"read"`, the lesson's topics and others that were read, those measured longest ago, and `"unread"`, topics not read
yet.

A lesson's passages are its first one and those that its tokens reach completely. Plug-ins that rehearse other passages
leave room for fewer; this is ignored. Every token has the same weight. All measures are taken on train and probe
passages, the cost is booked as probing, and the learner is left unchanged.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from kgrl.corpus import Passages, Split
from kgrl.errors import DivergedError, SettingError, UnknownNameError
from kgrl.graph.topic_graph import IntArray
from kgrl.learners.base import Differentiable, Knowing, Learner, Sized, Snapshot
from kgrl.probes.prober import Prober
from kgrl.rewards.base import KNOWLEDGE, MEASURES, PROBES, FunctionReward, Reward

__all__ = ["Lesson", "Measurer", "check_needs"]

_OF_GRADIENTS = frozenset({"gradient", "alignment", "weights"})
"""Measures that need a learner with gradients."""
_OPERATIONS = 6.0
"""Floating-point operations for each token and parameter: two forward, four backward (Kaplan et al. 2020)."""


@dataclass(frozen=True)
class Lesson:
    """A lesson: passages, the tokens to learn them with, and the topics they are about.

    Args:
        passages: The passages that research gathered, in the order to read.
        allowance: Most tokens to train on.
        neighbourhood: The topics of the lesson, the picked one first.
    """

    passages: Passages
    allowance: int
    neighbourhood: IntArray


def check_needs(reward: Reward, learner: Learner, goal: IntArray | None) -> None:
    """Refuse a reward whose needs a curriculum cannot meet; of a composition, the message names the part.

    A plain function without `needs` is never refused; it can read all probes that the curriculum measures.

    Args:
        reward: The reward.
        learner: The learner that would be measured.
        goal: The goal's topics, None without a goal.

    Raises:
        UnknownNameError: If it needs something unknown.
        SettingError: If it needs a goal and there is none, gradients of a learner that has none, or facts of one that
            does not tell what it knows.

    Example:
        >>> from kgrl.rewards import MeanPredictionGain, TargetPredictionGain
        >>> check_needs(MeanPredictionGain() + TargetPredictionGain(), learner=None, goal=None)
        Traceback (most recent call last):
        kgrl.errors.SettingError: the reward 'target-prediction-gain' measures a goal, but none was given; ...
    """
    # Parts first, so that the message names the part and not the whole composition.
    parts = list(_parts(list(vars(reward).values())))
    for part in parts:
        check_needs(part, learner, goal)
    own, known = reward.needs.difference(*(part.needs for part in parts)), PROBES | MEASURES | KNOWLEDGE
    for need in sorted(own - known):
        raise UnknownNameError(f"need of reward {reward.name!r}:", need, sorted(known))
    undeclared = isinstance(reward, FunctionReward) and not hasattr(reward.function, "needs")
    if goal is None and own & {"target", "goal"} and not undeclared:
        raise SettingError(f"the reward {reward.name!r} measures a goal, but none was given; set goal=CATEGORY")
    lacking = own & _OF_GRADIENTS if not isinstance(learner, Differentiable) else frozenset[str]()
    lacking |= own & {"flops"} if not isinstance(learner, Sized) else frozenset[str]()
    if "facts" in own and not isinstance(learner, Knowing):
        raise SettingError(
            f"the reward {reward.name!r} pays what a simulated learner knows, which {type(learner).__name__} does not "
            "tell; use the learner 'remembering', or the reward 'knowledge-gain'"
        )
    if lacking:
        raise SettingError(
            f"the reward {reward.name!r} needs {' and '.join(sorted(lacking))}, which {type(learner).__name__} cannot "
            "give; use the learner 'scratch' or 'lora', or another reward"
        )


def _parts(held: object) -> Iterator[Reward]:
    """Yield the rewards among a reward's attributes, in lists and tuples as well."""
    if isinstance(held, Reward):
        yield held
    elif isinstance(held, list | tuple):
        for thing in held:
            yield from _parts(thing)


class Measurer:
    """Takes the measures that a reward needs, before and after a lesson.

    Args:
        prober: Measures the learner on its corpus, and keeps account of the cost.
        needs: The reward's needs; those outside of `kgrl.rewards.base.MEASURES` are ignored.
        aim: The topics whose probe passages gradients are aligned with: a sample of the goal's, or of all.
        initial: The learner's snapshot before any training; the reference starts from it.
        reference_tokens: Number of tokens that the reference is trained on: train passages of all topics, shuffled.
        seed: Seeds the shuffling.
    """

    def __init__(
        self,
        prober: Prober,
        needs: frozenset[str],
        aim: IntArray,
        initial: Snapshot,
        reference_tokens: int,
        seed: int,
    ) -> None:
        self.prober, self.learner = prober, prober.learner
        self.needs, self.aim, self.initial = (needs & MEASURES) - {"knowledge"}, aim, initial
        self.reference_tokens, self.seed = reference_tokens, seed
        self._reference: tuple[Snapshot, int] | None = None

    def prepare(self) -> None:
        """Train the reference if it is needed, and book the cost; called before a nucleus is learned.

        When a run is resumed, the nucleus's record contains the cost already; the caller then drops it.

        Raises:
            DivergedError: If the reference's loss becomes NaN or infinite.
        """
        if "reference" in self.needs:
            began = time.perf_counter()
            if self._reference is None:
                self._reference = self._train_reference()
            self.prober.tokens += self._reference[1]
            self.prober.seconds += time.perf_counter() - began

    def before(self, lesson: Lesson) -> dict[str, float]:
        """Measure the learner before a lesson; see the names in the module's docstring."""
        found: dict[str, float] = {}
        if not self.needs:
            return found
        read = self._read(lesson)
        if "facts" in self.needs:
            found["facts_before"] = self._facts()
        if "reference" in self.needs:
            assert self._reference is not None, "prepare() comes first"
            with self._as(self._reference[0]):
                losses = self.prober.losses(lesson.neighbourhood)
            # The measure is missing if no topic of the neighbourhood has a probe passage.
            if (measured := np.isfinite(losses)).any():
                found["reference"] = float(losses[measured].mean())
        if "trained" in self.needs:
            found["trained_before"] = self._mean_loss(read)
        if self.needs & _OF_GRADIENTS:
            found |= self._of_gradients(read)
        return found

    def after(self, lesson: Lesson, tokens: int) -> dict[str, float]:
        """Measure the learner after a lesson that trained on `tokens` tokens."""
        found: dict[str, float] = {}
        if "trained" in self.needs:
            found["trained_after"] = self._mean_loss(self._read(lesson))
        if "facts" in self.needs:
            found["facts_after"] = self._facts()
        if "weights" in self.needs:
            found["weights_squared_after"] = self._weights_squared()
        if "flops" in self.needs:
            assert isinstance(self.learner, Sized)
            found["flops"] = _OPERATIONS * self.learner.n_parameters * tokens
        return found

    def _read(self, lesson: Lesson) -> Passages:
        """Return the lesson's first passage and those that its tokens reach completely."""
        ends = np.cumsum(self.learner.count_tokens(lesson.passages))
        return self.prober.corpus.select(lesson.passages.ids[: max(1, int((ends <= lesson.allowance).sum()))])

    @contextmanager
    def _booked(self, passages: Passages) -> Iterator[None]:
        """Book the seconds of a block, and the tokens of the passages that it reads."""
        began = time.perf_counter()
        yield
        self.prober.seconds += time.perf_counter() - began
        self.prober.tokens += int(self.learner.count_tokens(passages).sum())

    def _mean_loss(self, passages: Passages) -> float:
        with self._booked(passages):
            losses = self.learner.losses(passages).astype(np.float64)
            return float(np.average(losses, weights=self.learner.count_tokens(passages)))

    def _facts(self) -> float:
        assert isinstance(self.learner, Knowing)
        return float(self.learner.known.mean())

    def _weights_squared(self) -> float:
        assert isinstance(self.learner, Differentiable)
        return float(np.square(self.learner.trained_weights(), dtype=np.float64).sum())

    def _of_gradients(self, read: Passages) -> dict[str, float]:
        learner = self.learner
        assert isinstance(learner, Differentiable)
        found: dict[str, float] = {}
        if "gradient" in self.needs:
            with self._booked(read):
                # [trained weights], in float64 since millions of squares are summed
                gradient = learner.loss_gradient(read).astype(np.float64)
            found["gradient_squared"] = float(gradient @ gradient)
            found["gradient_weights"] = float(gradient @ learner.trained_weights())
        if "weights" in self.needs:
            found["weights_squared_before"] = self._weights_squared()
        if "alignment" in self.needs:
            found["alignment"] = self._alignment(learner, read)
        return found

    def _alignment(self, learner: Differentiable, read: Passages) -> float:
        first = self.prober.corpus.first_ids(Split.PROBE)[self.aim]
        probe = self.prober.corpus.select(first[first >= 0])
        with self._booked(probe):
            aim = learner.loss_gradient(probe).astype(np.float64)
        with self._booked(read):
            gradients = [learner.loss_gradient(self.prober.corpus.select([i])).astype(np.float64) for i in read.ids]
        norms = [float(np.linalg.norm(gradient) * np.linalg.norm(aim)) for gradient in gradients]
        cosines = [float(g @ aim) / norm if norm > 0 else 0.0 for g, norm in zip(gradients, norms, strict=True)]
        return float(np.mean(cosines))

    @contextmanager
    def _as(self, snapshot: Snapshot) -> Iterator[None]:
        """Put the learner into a snapshot's state for a while, and then back into its present state, bit for bit."""
        now = self.learner.snapshot()
        try:
            self.learner.restore(snapshot)
            yield
        finally:
            self.learner.restore(now)

    def _train_reference(self) -> tuple[Snapshot, int]:
        """Teach the untrained learner train passages of all topics, shuffled; return its snapshot and the tokens."""
        train = np.flatnonzero(self.prober.corpus.splits == Split.TRAIN)
        passages = self.prober.corpus.select(np.random.default_rng(self.seed).permutation(train))
        ends = np.cumsum(self.learner.count_tokens(passages))
        enough = self.prober.corpus.select(passages.ids[: int(np.searchsorted(ends, self.reference_tokens)) + 1])
        with self._as(self.initial):
            try:
                learned = self.learner.learn(enough, self.reference_tokens)
            except DivergedError as error:
                raise DivergedError(f"the reference learner: {error}") from error
            return self.learner.snapshot(), learned.tokens
