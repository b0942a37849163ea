"""Crawls: outward from a nucleus, the same however they are carried out."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrl.cli import main
from kgrl.corpus import Corpus
from kgrl.data import load_corpus
from kgrl.data.wikimedia.crawl import Worth, crawl, most_linked
from kgrl.data.wikimedia.wikipedia import MediaWiki
from kgrl.errors import KgrlError, SettingError
from kgrl.research import Page
from tests.support.faulty_proxy import FaultyProxy
from tests.support.mediawiki import MediaWikiServer

_TOPICS = 40


class Pages:
    """A site in memory; titles in `redirects` lead elsewhere."""

    def __init__(self, links: dict[str, tuple[str, ...]], redirects: dict[str, str] | None = None) -> None:
        self.links, self.redirects = links, redirects or {}

    def page(self, title: str) -> Page | None:
        target = self.redirects.get(title, title)
        if target not in self.links:
            return None
        text = f"{target} is one. {target} was two. {target} will be three of them."
        return Page(target, text, self.links[target], ("All",), 1.0, (title,) if title != target else ())


def test_it_goes_outward_in_the_order_of_finding() -> None:
    site = Pages({"A": ("C", "B"), "B": ("D",), "C": ("E", "A"), "D": (), "E": (), "F": ()})
    assert crawl(site, ["A"], 4).graph.titles == ("A", "C", "B", "E")
    assert crawl(site, ["A"], 99).graph.titles == ("A", "C", "B", "E", "D")  # and ends where nothing more is linked


def test_what_is_worth_most_comes_first() -> None:
    site = Pages({"A": ("B", "C"), "B": ("D", "E"), "C": ("E",), "D": (), "E": ()})
    assert crawl(site, ["A"], 9, worth=most_linked, workers=1).graph.titles == ("A", "B", "C", "E", "D")


def test_redirects_are_one_topic_and_their_links_lead_to_it() -> None:
    site = Pages({"A": ("b", "B", "C"), "B": ("A",), "C": ("b",)}, {"b": "B"})
    graph = crawl(site, ["A"], 9).graph
    assert graph.titles == ("A", "B", "C")
    assert {(graph.titles[s], graph.titles[t]) for s in range(3) for t in graph.out(s)} == {
        ("A", "B"),
        ("A", "C"),
        ("B", "A"),
        ("C", "B"),
    }


def test_a_nucleus_without_an_article_is_named() -> None:
    with pytest.raises(KgrlError, match="no article 'nowhere' to start from"):
        crawl(Pages({"A": ()}), ["a", "nowhere"], 5)


def test_titles_of_the_nucleus_keep_their_first_letter() -> None:
    pages = {"water": ("Water",), "Water": ()}
    corpus = crawl(Pages(pages), ["water"], 2)
    assert corpus.graph.titles == ("water", "Water")


@pytest.mark.parametrize("title", ["C#", "Logic#History"])
def test_a_part_of_a_page_is_refused_with_the_way_out(title: str) -> None:
    with pytest.raises(SettingError, match=f"'{title}' is not the title of an article: the sign # begins a part"):
        crawl(Pages({"C": (), "Logic": ()}), [title], 1)


def test_passages_have_no_headings_and_no_formulas() -> None:
    text = (
        "Logic is the study of what follows from what.\n\n\n== History ==\nThe rule is\n\n  \n    x\n"
        "    {\\displaystyle x}\n  \n\nand it is old.\n\n\n"
        "== See also ==\nSet\nA list of the many laws of logic and of sets."
    )

    class One:
        def page(self, title: str) -> Page | None:
            return Page("Logic", text, ())

    texts = " ".join(crawl(One(), ["Logic"], 1).texts)
    assert texts == "Logic is the study of what follows from what. The rule is and it is old."


@pytest.mark.parametrize(
    ("nucleus", "topics", "workers"), [([], 5, 1), (["A"], 0, 1), (["A", "B"], 1, 1), (["A"], 5, 0)]
)
def test_a_crawl_without_sense_is_refused(nucleus: list[str], topics: int, workers: int) -> None:
    with pytest.raises(SettingError, match="a crawl needs a nucleus"):
        crawl(Pages({"A": (), "B": ()}), nucleus, topics, workers=workers)


@given(
    links=st.lists(st.tuples(st.integers(0, 14), st.integers(0, 14)), max_size=50),
    workers=st.integers(1, 5),
    topics=st.integers(1, 16),
)
def test_the_number_of_workers_changes_nothing(links: list[tuple[int, int]], workers: int, topics: int) -> None:
    site = Pages({f"T{n}": tuple(f"T{t}" for s, t in links if s == n and t != 7) for n in range(15)})
    one, many = crawl(site, ["T0"], topics, workers=1), crawl(site, ["T0"], topics, workers=workers)
    assert one.fingerprint == many.fingerprint
    assert len(one.graph) <= topics


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MediaWikiServer]:
    def text(number: int) -> str:
        links = " ".join(f"[[Topic {(number * step + 1) % _TOPICS}]]" for step in (2, 3, 5))
        sentences = " ".join(f"Line {k} of {number} says {k * number} things of {number + k}." for k in range(30))
        return f"{sentences} {links} [[Category:Group {number % 4}]]"

    pages = {f"Topic {number}": text(number) for number in range(_TOPICS)}
    with MediaWikiServer(tmp_path_factory.mktemp("wiki"), pages) as server:
        yield server


def _command(site: MediaWikiServer, folder: Path, cache: Path) -> list[str]:
    where = ["--url", site.api_url, "--out", str(folder), "--cache", str(cache), "--rate", "1000"]
    return ["data", "crawl", "--nucleus", "Topic 1", "Topic 2", "--topics", "30", *where]


@pytest.mark.integration
def test_the_command_makes_a_corpus(site: MediaWikiServer, tmp_path: Path) -> None:
    folder, result = tmp_path / "corpus", tmp_path / "out.json"
    assert main([*_command(site, folder, tmp_path / "pages.db"), "--json", str(result)]) == 0
    corpus = load_corpus(str(folder))
    figures = json.loads(result.read_text())
    assert len(corpus.graph) == figures["topics"] == 30
    assert corpus.graph.n_links == figures["links"] > 30
    assert corpus.split_counts.tolist() == [figures["train"], figures["probe"], figures["exam"]]
    assert set(corpus.graph.categories) == {"Group 0", "Group 1", "Group 2", "Group 3"}
    assert main(_command(site, folder, tmp_path / "pages.db")) == 2  # the folder is taken


@pytest.mark.integration
@pytest.mark.parametrize("worth", [None, most_linked])
def test_a_crawl_that_lost_its_site_goes_on_to_the_same_corpus(
    site: MediaWikiServer, tmp_path: Path, worth: Worth | None
) -> None:
    with FaultyProxy(site.api_url.removesuffix("/api.php")) as proxy:

        def attempt(cache: str) -> Corpus:
            source = MediaWiki(proxy.api_url, cache=tmp_path / cache, rate=1000.0, retries=0)
            return crawl(source, ["Topic 1", "Topic 2"], 30, worth=worth)

        whole = attempt("whole.db")
        proxy.faults = ["ok"] * 20 + ["cut"] * 8
        with pytest.raises(KgrlError, match=r"'Topic \d+' is not in .*parts.db, and http.* cannot be asked"):
            attempt("parts.db")
        proxy.faults = []
        before = len(proxy.seen)
        assert attempt("parts.db").fingerprint == whole.fingerprint
        assert len(proxy.seen) - before < 60  # two requests for each of 30 pages, had nothing been kept


@pytest.mark.integration
def test_a_crawl_killed_three_times_equals_an_undisturbed_one(wikispeedia_root: Path, tmp_path: Path) -> None:
    benchmark, corpus = _benchmark(), load_corpus("wikispeedia", root=wikispeedia_root)
    pages = benchmark.wiki_pages(corpus, benchmark.nearest(corpus, 100))
    with MediaWikiServer(tmp_path / "wiki", pages) as server:
        figures = benchmark.measure(server, tmp_path, pages=100, kills=3)
    assert (figures["pages"], figures["kills"], figures["equal"]) == (100, 3, True)
    assert 0 < figures["killed_at"][0] < figures["killed_at"][-1] < 100  # each in the middle of the crawl
    assert figures["killed"]["requests"] < 1.3 * figures["undisturbed"]["requests"]


def _benchmark() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "crawl.py"
    spec = importlib.util.spec_from_file_location("crawl_benchmark", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
