"""`kgrl data`: make a corpus folder of your text, of the pages of a live site, or of a MediaWiki dump; check one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from kgrl.cli.arguments import JsonFile, default_is
from kgrl.cli.output import plain, progress, show_facts
from kgrl.errors import KgrlError

__all__ = ["BuildCommand", "CheckCommand", "CrawlCommand", "ImportDumpCommand"]

_DAY_SECONDS = 86_400.0


@dataclass(frozen=True)
class BuildCommand:
    """Make a corpus folder of your text: topics, links and categories are found in it.

    Topics are documents, sections, or concepts mined from the text; links are those it has, mentions, and the similar
    topics where these are few. What was decided is printed and written to build.yaml. See docs/your_text.md.

    Args:
        source: A folder of .txt, .md, .html and .rst, of JSON Lines (.jsonl, .jsonl.gz, .jsonl.zst) and Parquet; one
            such file; or a Hugging Face dataset as hf:NAME:SPLIT:CONFIGURATION, the last two of which may be missing.
        out: The corpus's folder; missing or empty. `kgrl run --corpus` takes it.
        topics: What becomes a topic.
        field: Name of the text in a record.
        language: Code of the texts' language, for the abbreviations that end no sentence.
        encoder: Sentence encoder: static (ships with kgrl), minilm, or another by its Hugging Face name or folder.
        on_error: Effect of a file or record that cannot be used: fail, or skip it.
        json: File to write what was decided to, as one JSON object.
    """

    source: Annotated[str, Positional, arg(metavar="SOURCE")]
    out: Path
    topics: Annotated[
        Literal["documents", "sections", "concepts"] | None, default_is("by number and titles of documents")
    ] = None
    field: str = "text"
    language: str = "en"
    encoder: str = "static"
    on_error: Literal["fail", "skip"] = "fail"
    json: JsonFile = None

    def run(self) -> dict[str, Any]:
        """Build the corpus, and print and return what was decided.

        Raises:
            KgrlError: If the source cannot be read, no graph can be made of it, or the folder is in use.
        """
        from kgrl.data.building.build import build_folder

        with progress(f"building {self.out}", total=0) as advance:
            built = build_folder(
                self.source,
                self.out,
                topics=self.topics,
                text_field=self.field,
                language=self.language,
                encoder=self.encoder,
                on_error=self.on_error,
                on_document=advance,
            )
        show_facts(str(self.out), _flat(built.decisions))
        return {**built.decisions, "folder": str(self.out)}


def _flat(decisions: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, object]]:
    """Yield the values of nested tables with their full names; empty tables are left out."""
    for name, value in decisions.items():
        full = f"{above}{name.replace('_', ' ')}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{full}: ")
        else:
            yield full, ", ".join(value) if isinstance(value, list) else value


@dataclass(frozen=True)
class CheckCommand:
    """Say everything that is wrong with a corpus folder, by file and line; the exit code is 1 if anything is.

    Args:
        folder: The corpus folder; docs/your_text.md describes its files.
        json: File to write the faults to, as one JSON object.
    """

    folder: Annotated[Path, Positional]
    json: JsonFile = None

    def run(self) -> dict[str, Any]:
        """Check the folder, and print and return the faults, or the counts of a folder without any.

        Raises:
            KgrlError: If there is no such folder.
        """
        from kgrl.data.folder import folder_faults, load_folder

        if not self.folder.is_dir():
            raise KgrlError(f"{self.folder} is not a folder")
        if faults := folder_faults(self.folder):
            for fault in faults:
                print(plain(fault))  # noqa: T201 - one line a fault, as compilers print them
            show_facts("", [("faults", len(faults))])
            told = [{"file": str(fault.path), "line": fault.line, "reason": fault.reason} for fault in faults]
            return {"folder": str(self.folder), "exit_code": 1, "faults": told}
        corpus = load_folder(self.folder)
        train, probe, exam = (int(count) for count in corpus.split_counts)
        counts = {"topics": len(corpus.graph), "links": corpus.graph.n_links, "questions": len(corpus.questions)}
        counts |= {"parts": int(corpus.graph.components.max()) + 1, "train": train, "probe": probe, "exam": exam}
        show_facts(f"nothing is wrong with {self.folder}", counts.items())
        return {"folder": str(self.folder), "exit_code": 0, "faults": [], **counts}


@dataclass(frozen=True)
class CrawlCommand:
    """Fetch articles from a MediaWiki site, outward from a nucleus, and write them as a corpus folder.

    Pages are kept in a cache, so an interrupted crawl continues where it stopped when it is started again.

    Args:
        nucleus: Titles to start from.
        out: The corpus's folder; missing or empty. `kgrl run --corpus` takes it.
        topics: Number of articles.
        url: The site's API, such as https://en.wikipedia.org/w/api.php; that of Wikipedia by default.
        language: The language of Wikipedia, if no URL is given.
        order: The order of pages: breadth-first, or those first that most of the fetched pages link to.
        rate: Most requests a second; each article takes two or more.
        workers: Number of pages fetched at a time.
        max_age: Days after which a page of the cache is fetched again; never by default.
        cache: The file of the cache; one for all crawls in kgrl's cache folder by default.
        json: File to write the figures to, as one JSON object.
    """

    nucleus: tuple[str, ...]
    out: Path
    topics: int = 500
    url: str | None = None
    language: str = "en"
    order: Literal["breadth-first", "most-linked"] = "breadth-first"
    rate: float = 10.0
    workers: int = 4
    max_age: float | None = None
    cache: Path | None = None
    json: Path | None = None

    def run(self) -> dict[str, Any]:
        """Crawl, write the corpus, and print and return its figures.

        Raises:
            KgrlError: If a number is out of range, the folder is in use, or the site cannot be reached.
        """
        from kgrl.data.folder import save_folder
        from kgrl.data.wikimedia.crawl import crawl, most_linked
        from kgrl.data.wikimedia.wikipedia import MediaWiki
        from kgrl.system.files import remove_left_overs

        remove_left_overs(self.out.parent)
        # save_folder would refuse it, too, but only after hours of crawling.
        if self.out.exists() and (not self.out.is_dir() or any(self.out.iterdir())):
            raise KgrlError(f"{self.out} holds something already; choose another --out")
        age = None if self.max_age is None else self.max_age * _DAY_SECONDS
        source = MediaWiki(self.url, self.language, cache=self.cache, max_age=age, rate=self.rate)
        with progress(f"crawling {source.url}", total=self.topics) as advance, _continuing():
            worth = most_linked if self.order == "most-linked" else None
            corpus = crawl(source, self.nucleus, self.topics, worth=worth, workers=self.workers, on_page=advance)
        save_folder(corpus, self.out)
        train, probe, exam = (int(count) for count in corpus.split_counts)
        figures = {
            "topics": len(corpus.graph),
            "links": corpus.graph.n_links,
            "train": train,
            "probe": probe,
            "exam": exam,
        }
        show_facts(str(self.out), [*figures.items(), ("from", source.url)])
        return {**figures, "folder": str(self.out), "url": source.url}


@dataclass(frozen=True)
class ImportDumpCommand:
    """Make a corpus folder of a MediaWiki XML dump: topic graph and passages.

    Redirects are folded into their targets. Pages of other namespaces and disambiguation pages are left out. An
    interrupted import continues where it stopped when it is started again.

    Args:
        dump: The dump: XML, as it is or packed with bzip2, gzip, xz or zstd, such as
            enwiki-latest-pages-articles.xml.bz2.
        out: The corpus's folder; missing or empty. `kgrl run --corpus` takes it.
        workers: Processes that parse, besides the one that reads.
        limit: Most articles to read; all by default.
        on_error: What to do if the dump is cut off: fail, or skip the missing part.
        json: File to write the figures to, as one JSON object.
    """

    dump: Annotated[Path, Positional]
    out: Path
    workers: int = 2
    limit: int | None = None
    on_error: Literal["fail", "skip"] = "fail"
    json: Path | None = None

    def run(self) -> dict[str, Any]:
        """Import the dump, and print and return the counts.

        Raises:
            KgrlError: If the dump is damaged, or the folder is in use.
        """
        from kgrl.data.wikimedia.dump import import_dump

        # A missing dump is reported by import_dump.
        size = self.dump.stat().st_size if self.dump.is_file() else 0
        with progress(f"reading {self.dump.name}", total=size) as advance, _continuing():
            done = import_dump(
                self.dump,
                self.out,
                workers=self.workers,
                limit=self.limit,
                on_error=self.on_error,
                on_read=advance,
            )
        figures = asdict(done)
        facts = [(name, value) for name, value in figures.items() if not isinstance(value, dict) and value != ""]
        facts += list(done.passages.items()) + [(f"left out: {reason}", n) for reason, n in done.left_out.items()]
        show_facts(str(self.out), facts)
        return {**figures, "folder": str(self.out)}


@contextmanager
def _continuing() -> Iterator[None]:
    """Say, when interrupted, that nothing is lost."""
    try:
        yield
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt("interrupted; the same command continues where it stopped") from stop
