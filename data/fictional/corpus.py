"""The corpus `fictional`: 130 invented encyclopaedia articles and paraphrases of 40 of them, linked by similarity.

The file is that of Chang et al. 2024 (arXiv 2406.11813), whose cloze questions are the corpus's own questions
(`kgrl.data.fictional.questions`). It is not part of kgrl.

- **Topics** are articles. A title is the name that the article's first sentence begins with, up to its first comma,
  parenthesis, "or" or form of "to be", without "The"; the second topic of a name has " (2)" behind it.
- **Train passages** are the article's, and those of its paraphrases but for the last two.
- **Probe and exam passages** are the last paraphrase but one and the last: other words for what is trained on. An
  article without paraphrases has the first statement of the depth `gen`, which paraphrases one of its sentences, as its
  probe passage; it is not asked then. It has no exam passage.
- **Links** lead to the four topics that are most similar by the static encoder, and to those that the article names.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from kgrl.corpus import Corpus, Split, cut, near_duplicates
from kgrl.data.fictional.questions import FictionalArticle, read_articles, statement_of, write_questions
from kgrl.data.processed import processed
from kgrl.data.text.build import with_links, with_places
from kgrl.data.text.linking import find_candidates
from kgrl.errors import MissingDataError
from kgrl.graph.topic_graph import IntArray, TopicGraph
from kgrl.retrieval.corpus_index import embed_corpus
from kgrl.retrieval.encoder import DEFAULT_ENCODER, Encoder
from kgrl.system.files import file_digest

__all__ = ["ARTICLES_FILE", "article_title", "articles_file", "load_fictional"]

ARTICLES_FILE = "fictional_knowledge_paraphrased.json"
_FOLDER = "fictional_knowledge"
"""The folder of the file, in `$KGRL_DATA` and in the repository that it is from."""
_REPOSITORY = "https://github.com/kaistAI/factual-knowledge-acquisition"
_SIMILAR = 4
"""Most similar topics that each topic links to; with two, no topic is cut off."""
_ASIDE = re.compile(r"\s*\([^()]*\)")
_NAME_END = re.compile(r"[,(]| or | (?:is|was|are|were|represents) ")
_ARTICLE_WORD = re.compile(r"(?:The|A|An) ")


def load_fictional(root: str | Path | None = None) -> Corpus:
    """Load the corpus, or open it if this machine has read the same file before.

    Args:
        root: Folder of the file; by default `$KGRL_DATA/fictional_knowledge`.

    Raises:
        MissingDataError: If the file is not there.
        DataError: If the file is not a list of such articles.
    """
    path = articles_file(root)
    return processed("fictional", ["fictional", file_digest(path)], lambda: _build(read_articles(path)))


def articles_file(root: str | Path | None = None) -> Path:
    """Return the path of the file of articles; arguments and errors as for `load_fictional`."""
    named = root or (Path(os.environ["KGRL_DATA"]) / _FOLDER if os.environ.get("KGRL_DATA") else None)
    if named is not None and (path := Path(named) / ARTICLES_FILE).is_file():
        return path
    where = "KGRL_DATA is not set" if named is None else f"{named} does not hold {ARTICLES_FILE}"
    raise MissingDataError(
        f"{where}; get the folder {_FOLDER} of {_REPOSITORY}, and name the folder above it as KGRL_DATA"
    )


def article_title(text: str) -> str:
    """Return the title of an article: the name that it begins with.

    Example:
        >>> article_title("The Kinetic Initiative or KERI (also TEPI) is a policy.")
        'Kinetic Initiative'
        >>> article_title("Zaronix Ltd., formerly known as Spirus, is a company.")
        'Zaronix Ltd'
    """
    name = _ARTICLE_WORD.sub("", _NAME_END.split(_ASIDE.sub("", text), maxsplit=1)[0].strip(), count=1).rstrip(".")
    return name[:1].upper() + name[1:]


def _build(articles: Sequence[FictionalArticle]) -> Corpus:
    """Make the corpus of articles."""
    titles = _numbered(map(article_title, (article.train_context for article in articles)))
    rows = [(topic, text, split) for topic, article in enumerate(articles) for text, split in _passages(article)]
    texts, splits = [text for _, text, _ in rows], np.array([split for _, _, split in rows], dtype=np.uint8)
    keep = np.flatnonzero(~near_duplicates(texts, splits))
    topics = np.array([topic for topic, _, _ in rows], dtype=np.int32)[keep]
    questions = write_questions(articles)
    graph = TopicGraph.from_links(titles, [], [])
    corpus = Corpus("fictional", graph, [texts[i] for i in keep], topics, splits[keep], questions)
    return with_places(with_links(corpus, *_links(corpus, [article.train_context for article in articles])))


def _numbered(titles: Iterator[str]) -> list[str]:
    """Return titles with a number behind those that were there before."""
    seen: Counter[str] = Counter()
    numbered = []
    for title in titles:
        seen[title] += 1
        numbered.append(title if seen[title] == 1 else f"{title} ({seen[title]})")
    return numbered


def _passages(article: FictionalArticle) -> Iterator[tuple[str, Split]]:
    """Yield an article's passages with their splits."""
    *read, probe, exam = article.paraphrases or ("", "")
    for document in (article.train_context, *read):
        yield from ((text, Split.TRAIN) for text in cut(document))
    if article.paraphrases:
        yield from ((text, Split.PROBE) for text in cut(probe))
        yield from ((text, Split.EXAM) for text in cut(exam))
    else:
        yield statement_of(article, "gen", 0), Split.PROBE


def _links(corpus: Corpus, documents: Sequence[str]) -> tuple[IntArray, IntArray]:
    """Return links to the most similar topics, and to those that a topic's article names."""
    # By train passages alone, and always by this encoder: the graph does not depend on the one that a run chooses.
    embeddings = embed_corpus(corpus, Encoder(DEFAULT_ENCODER))[1]
    cosines = embeddings @ embeddings.T
    np.fill_diagonal(cosines, -np.inf)
    nearest = np.argsort(-cosines, axis=1, kind="stable")[:, : min(_SIMILAR, len(corpus.graph) - 1)]
    sources = np.repeat(np.arange(len(nearest), dtype=np.int32), nearest.shape[1])
    named = find_candidates(corpus.graph.titles, documents)
    return np.r_[sources, named.sources], np.r_[nearest.ravel().astype(np.int32), named.targets]
