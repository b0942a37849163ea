"""Generated rabbit holes: walkers that click from page to page, and a trace source of their walks.

`EmbeddingWalker` has a parameter from hunter to busybody; a language model chooses the links of `ModelWalker`. Data
sources know no learners, so a `ModelWalker` takes a `TitleScorer` for the model's likelihoods. The command or script
that sets both up passes one in, such as `kgrl.learners.decoder.titles.ModelTitleScorer`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kgrl.corpus import Corpus, Split
from kgrl.errors import SettingError
from kgrl.graph.topic_graph import IntArray, TopicGraph
from kgrl.traces.source import Tally
from kgrl.traces.trace import BACK, Trace

__all__ = ["EmbeddingWalker", "ModelWalker", "TitleScorer", "WalkSource", "Walker"]

FloatArray = NDArray[np.float64]

_SHARPNESS = 3.0
"""Log-odds of one standard deviation of familiarity for curiosity 0 or 1."""
_MOST_RETURNS = 0.4
"""Probability that a hunter (curiosity 0) goes back at a step."""
_LEAD_CHARACTERS = 600
"""Characters of a lead that a model reads; leads are short, but a corpus need not keep to that."""


class Walker(ABC):
    """A reader who follows links out of curiosity. Subclasses choose the links, in `step`.

    A page is opened once: links to pages opened before are not followed, so that such pages are reached by back clicks
    alone. On a page that links to nothing new, the walker goes back.

    Args:
        graph: The topic graph.
        source: The name that its traces have as their source.
    """

    def __init__(self, graph: TopicGraph, source: str) -> None:
        self.graph, self.source = graph, source

    @abstractmethod
    def step(self, stack: Sequence[int], seen: Sequence[int], links: IntArray, rng: np.random.Generator) -> int:
        """Choose the next step on a page.

        Args:
            stack: The pages behind the walker, the current one last.
            seen: Every page opened so far, in order.
            links: The topics linked on the current page that have not been opened, at least one.
            rng: The generator of the draws.

        Returns:
            One of the links, or `BACK` if the stack has two pages or more.
        """

    def walk(self, start: int, length: int, rng: np.random.Generator) -> Trace:
        """Walk from a topic.

        Args:
            start: The first page.
            length: Most steps of the trace, including the start and back clicks. A walk is shorter only if it is back
                on its first page and that links to nothing new.
            rng: The generator of the draws; the same state gives the same walk.
        """
        steps, stack, seen = [start], [start], [start]
        while len(steps) < length:
            links = self.graph.out(stack[-1])
            links = links[~np.isin(links, seen)]
            if not len(links) and len(stack) == 1:
                break
            step = self.step(stack, seen, links, rng) if len(links) else BACK
            steps.append(step)
            if step == BACK:
                stack.pop()
            else:
                stack.append(step)
                seen.append(step)
        return Trace(tuple(steps), source=self.source)


class EmbeddingWalker(Walker):
    r"""A walker with a curiosity from hunter (0) to busybody (1).

    Lydon-Staley et al. (2021, "Hunters, busybodies and the knowledge network building associated with deprivation
    curiosity", Nature Human Behaviour 5) describe two ways to browse Wikipedia: hunters stay among similar pages and
    return, so that their knowledge networks are tight; busybodies jump to pages unlike the ones before and leave loose
    networks. The parameter between them is kgrl's own. With unit embeddings e, the current page p, the mean m of the
    embeddings of all pages opened so far (scaled to length 1) and curiosity c:

    - familiarity of a link v: f(v) = (e_v . e_p + e_v . m) / 2, standardised over the links to z(v);
    - a back click, where there is a page to go back to, with probability 0.4 (1 - c);
    - otherwise link v with probability proportional to exp(3 (1 - 2c) z(v)).

    At c = 1/2 all links are equally likely, and one step in five is a back click.

    Args:
        graph: The topic graph.
        embeddings: Unit topic embeddings, shape `[topics, dimensions]`.
        curiosity: The parameter c, from 0 to 1.

    Raises:
        SettingError: If the curiosity is out of range, or there is not one embedding for each topic.

    Example:
        >>> graph = TopicGraph.from_links(["Salt", "Pepper", "Moon"], [0, 0, 1], [1, 2, 0])
        >>> hunter = EmbeddingWalker(graph, np.array([[1, 0], [0.8, 0.6], [-1, 0]]), curiosity=0)
        >>> hunter.walk(0, 2, np.random.default_rng(0)).steps
        (0, 1)
    """

    def __init__(self, graph: TopicGraph, embeddings: NDArray[np.floating], curiosity: float) -> None:
        if not 0 <= curiosity <= 1:
            raise SettingError(f"curiosity goes from 0 (hunter) to 1 (busybody), not to {curiosity}")
        if len(embeddings) != len(graph):
            raise SettingError(f"{len(graph)} topics need as many embeddings, not {len(embeddings)}")
        super().__init__(graph, f"embedding-walker-{curiosity:g}")
        self.embeddings, self.curiosity = embeddings, curiosity

    def step(self, stack: Sequence[int], seen: Sequence[int], links: IntArray, rng: np.random.Generator) -> int:
        """Go back or draw a link by its familiarity; see the class."""
        # Drawn on the first page, too, where it has no effect: each step makes the same number of draws.
        returns = rng.random() < _MOST_RETURNS * (1 - self.curiosity)
        if returns and len(stack) > 1:
            return BACK
        familiarity = self._familiarity(stack[-1], seen, links)
        spread = float(familiarity.std())
        # Links that are equally familiar, such as a single one, are equally likely.
        z = (familiarity - familiarity.mean()) / spread if spread > 0 else np.zeros_like(familiarity)
        return _draw(links, _SHARPNESS * (1 - 2 * self.curiosity) * z, rng)

    def _familiarity(self, page: int, seen: Sequence[int], links: IntArray) -> FloatArray:
        """Return the cosine of each link with the current page and with the pages so far, averaged, shape `[links]`."""
        mean = self.embeddings[list(seen)].mean(axis=0)
        mean = mean / (np.linalg.norm(mean) or 1.0)  # zeros for topics without text stay zeros
        familiarity: FloatArray = (self.embeddings[links] @ (self.embeddings[page] + mean)).astype(np.float64) / 2
        return familiarity


class TitleScorer(Protocol):
    """Model of how likely titles are to come next in a text."""

    def __call__(self, context: str, titles: Sequence[str]) -> NDArray[np.floating]:
        """Return each title's mean log-probability after `context`, in nats per token, shape `[titles]`."""
        ...


class ModelWalker(Walker):
    """A walker with links chosen by a language model.

    The model reads the lead of the current article, its first train passage, and the titles of the pages opened last.
    A link v is followed with probability proportional to exp(s(v) / temperature), s(v) the mean log-probability of its
    title as the next one, in nats per token. It goes back only where nothing new is linked.

    Args:
        corpus: The topic graph and the leads.
        score: The language model, such as `kgrl.learners.decoder.titles.ModelTitleScorer()`, which is SmolLM2.
        temperature: Nats per token that make a title e times as likely; near 0 the best link always wins.
        memory: Number of opened pages whose titles the model reads, including the current one; at least 1.

    Raises:
        SettingError: If the temperature is not positive or the memory is empty.
    """

    def __init__(self, corpus: Corpus, score: TitleScorer, temperature: float = 0.5, memory: int = 8) -> None:
        if temperature <= 0 or memory < 1:
            raise SettingError(f"temperature must be above 0 and memory at least 1, not {temperature} and {memory}")
        super().__init__(corpus.graph, "model-walker")
        self.corpus, self.score = corpus, score
        self.temperature, self.memory = temperature, memory

    def step(self, stack: Sequence[int], seen: Sequence[int], links: IntArray, rng: np.random.Generator) -> int:
        """Draw a link by the likelihood of its title."""
        titles = [self.graph.titles[link] for link in links]
        scores = np.asarray(self.score(self.context(stack[-1], seen), titles), dtype=np.float64)
        return _draw(links, scores / self.temperature, rng)

    def context(self, page: int, seen: Sequence[int]) -> str:
        """Return the model's context: the page's lead and an unfinished list of titles.

        Args:
            page: The current page.
            seen: Every page opened so far, in order.
        """
        lead = " ".join(self.corpus.of(page, Split.TRAIN).texts[:1])[:_LEAD_CHARACTERS]
        remembered = [self.graph.titles[topic] for topic in seen[-self.memory :] if topic != page]
        path = "".join(f"- {title}\n" for title in [*remembered, self.graph.titles[page]])
        return f"{lead}\n\nArticles read, each because the one before made curious about it:\n{path}- "


class WalkSource:
    """Walks of a walker; a `TraceSource`. Each walk has its own random draws.

    Args:
        walker: The walker.
        walks: Number of walks.
        length: Most steps of each, see `Walker.walk`.
        seed: Seeds starts and steps. Starts are uniform over the topics that have links. With the same seed and graph
            they are the same for every walker.

    Attributes:
        graph: The walker's graph.
        tally: Counts the walks.

    Raises:
        SettingError: If the length is below 1, or no topic has a link.
    """

    def __init__(self, walker: Walker, walks: int, length: int, seed: int = 0) -> None:
        if length < 1:
            raise SettingError(f"a walk has at least 1 step, not {length}")
        self.walker, self.walks, self.length, self.seed = walker, walks, length, seed
        self.graph = walker.graph
        self.tally = Tally(walker.source, "walks")
        self._starts = np.flatnonzero(np.diff(self.graph.indptr))
        if not len(self._starts):
            raise SettingError("no topic of the graph has a link, so there is nowhere to walk")

    def __repr__(self) -> str:
        return f"WalkSource({self.walks} walks of {self.walker.source}, length {self.length}, seed {self.seed})"

    def __iter__(self) -> Iterator[Trace]:
        """Yield the walks."""
        self.tally = Tally(self.walker.source, "walks")
        for walk in range(self.walks):
            rng = np.random.default_rng([self.seed, walk])  # so walk 7 is the same whatever the number of walks
            trace = self.walker.walk(int(rng.choice(self._starts)), self.length, rng)
            self.tally.keep()
            yield trace


def _draw(links: IntArray, log_weights: FloatArray, rng: np.random.Generator) -> int:
    """Draw a link with probability proportional to the exponential of its weight."""
    weights = np.exp(log_weights - log_weights.max())  # the largest is 1, so nothing overflows
    return int(rng.choice(links, p=weights / weights.sum()))
