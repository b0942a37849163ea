"""Generated rabbit holes: walkers that click from page to page, and a trace source of their walks.

`EmbeddingWalker` has a knob from hunter to busybody; `ModelWalker` lets a language model choose. Where the model's
likelihoods come from is not known here, since data sources know no learners: the walker takes a `TitleScorer`, and
`kgrl.learners.decoder.titles.ModelTitleScorer` is one. Whoever sets both up, a command or a script, brings them
together.
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
"""Weight of one standard deviation of familiarity at either end of the knob."""
_MOST_RETURNS = 0.4
"""A hunter's chance to go back at each step."""
_LEAD_CHARACTERS = 600
"""Of a lead, what a model reads: leads are short, but nothing in a corpus says that they must be."""


class Walker(ABC):
    """Follows links out of curiosity. Subclasses say which, in `step`.

    A page is opened once: links to pages opened before are not followed, and pages opened before are reached by back
    clicks alone. Where nothing new is linked the walker goes back.

    Args:
        graph: The topic graph.
        source: What its traces name as their source.
    """

    def __init__(self, graph: TopicGraph, source: str) -> None:
        self.graph, self.source = graph, source

    @abstractmethod
    def step(self, stack: Sequence[int], seen: Sequence[int], links: IntArray, rng: np.random.Generator) -> int:
        """Choose what to do on a page.

        Args:
            stack: The pages behind the walker, the current one last.
            seen: Every page opened so far, in order.
            links: The topics linked on the current page that were not opened yet, at least one.
            rng: Makes the draws.

        Returns:
            One of the links, or `BACK`, which is allowed where the stack has two pages or more.
        """

    def walk(self, start: int, length: int, rng: np.random.Generator) -> Trace:
        """Walk from a topic.

        Args:
            start: The first page.
            length: Most steps of the trace, the start and back clicks counted. A walk is shorter only where it is
                back on its first page and nothing new is linked there.
            rng: Makes the draws; the same state gives the same walk.
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
    r"""A walker with a knob from hunter (0) to busybody (1).

    Lydon-Staley et al. (2021, "Hunters, busybodies and the knowledge network building associated with deprivation
    curiosity", Nature Human Behaviour 5) describe two ways to browse Wikipedia: hunters stay among similar pages and
    return, so that their knowledge networks are tight; busybodies jump to pages unlike the ones before and leave loose
    networks. The knob is ours. With unit embeddings e, the current page p, the mean m of the embeddings of all pages
    opened so far (scaled to length 1) and curiosity c:

    - familiarity of a link v: f(v) = (e_v . e_p + e_v . m) / 2, standardised over the links to z(v);
    - a back click, where there is a page to go back to, with probability 0.4 (1 - c);
    - otherwise link v with probability proportional to exp(3 (1 - 2c) z(v)).

    At c = 1/2 all links are equally likely, and one step in five is a back click.

    Args:
        graph: The topic graph.
        embeddings: Unit topic embeddings, shape `[topics, dimensions]`.
        curiosity: The knob c, from 0 to 1.

    Raises:
        SettingError: If the knob is out of range, or there is not one embedding for each topic.

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
        returns = rng.random() < _MOST_RETURNS * (1 - self.curiosity)
        if returns and len(stack) > 1:
            return BACK
        weights = _SHARPNESS * (1 - 2 * self.curiosity) * _standardised(self._familiarity(stack[-1], seen, links))
        return _draw(links, weights, rng)

    def _familiarity(self, page: int, seen: Sequence[int], links: IntArray) -> FloatArray:
        """How near each link is to the page and to the pages opened so far, shape `[links]`."""
        mean = self.embeddings[list(seen)].mean(axis=0)
        mean = mean / (np.linalg.norm(mean) or 1.0)
        familiarity: FloatArray = (self.embeddings[links] @ (self.embeddings[page] + mean)).astype(np.float64) / 2
        return familiarity


class TitleScorer(Protocol):
    """Tells how likely titles are to come next in a text."""

    def __call__(self, context: str, titles: Sequence[str]) -> NDArray[np.floating]:
        """Return each title's mean log-probability after `context`, in nats per token, shape `[titles]`."""
        ...


class ModelWalker(Walker):
    """A walker whose links a language model chooses.

    The model reads the lead of the current article, its first train passage, and the titles of the pages opened last.
    A link v is followed with probability proportional to exp(s(v) / temperature), s(v) the mean log-probability of its
    title as the next one, in nats per token. It goes back only where nothing new is linked.

    Args:
        corpus: The topic graph and the leads.
        score: What the language model thinks; `kgrl.learners.decoder.titles.ModelTitleScorer()` is SmolLM2's opinion.
        temperature: Nats per token by which a title must lead for e-fold odds; near 0 the best link always wins.
        memory: Titles of opened pages that the model reads, the current one among them; at least 1.

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
        """Return what the model reads before it chooses: the page's lead and a list of titles, open at its end.

        Args:
            page: The current page.
            seen: Every page opened so far, in order.
        """
        lead = " ".join(self.corpus.of(page, Split.TRAIN).texts[:1])[:_LEAD_CHARACTERS]
        remembered = [self.graph.titles[topic] for topic in seen[-self.memory :] if topic != page]
        path = "".join(f"- {title}\n" for title in [*remembered, self.graph.titles[page]])
        return f"{lead}\n\nArticles read, each because the one before made curious about it:\n{path}- "


class WalkSource:
    """Walks of a walker as a source of traces, see `TraceSource`; each walk has draws of its own.

    Args:
        walker: Who walks.
        walks: Number of walks.
        length: Most steps of each, see `Walker.walk`.
        seed: Seeds starts and steps. Starts are uniform over the topics that link somewhere, and with the same seed
            and graph the same for every walker.

    Attributes:
        graph: The walker's graph.
        tally: Counts the walks.

    Raises:
        SettingError: If a walk is to have no step, or no topic links anywhere.
    """

    def __init__(self, walker: Walker, walks: int, length: int, seed: int = 0) -> None:
        if length < 1:
            raise SettingError(f"a walk has at least 1 step, not {length}")
        self.walker, self.walks, self.length, self.seed = walker, walks, length, seed
        self.graph = walker.graph
        self.tally = Tally(walker.source)
        self._starts = np.flatnonzero(np.diff(self.graph.indptr))
        if not len(self._starts):
            raise SettingError("no topic of the graph links anywhere: there is nowhere to walk")

    def __iter__(self) -> Iterator[Trace]:
        """Yield the walks."""
        self.tally = Tally(self.walker.source)
        for walk in range(self.walks):
            rng = np.random.default_rng([self.seed, walk])
            trace = self.walker.walk(int(rng.choice(self._starts)), self.length, rng)
            self.tally.keep()
            yield trace


def _standardised(values: FloatArray) -> FloatArray:
    """The values with mean 0 and standard deviation 1; zeros where they do not differ."""
    spread = float(values.std())
    return (values - values.mean()) / spread if spread > 0 else np.zeros_like(values)


def _draw(links: IntArray, log_weights: FloatArray, rng: np.random.Generator) -> int:
    weights = np.exp(log_weights - log_weights.max())
    return int(rng.choice(links, p=weights / weights.sum()))
