"""`kgrl view`: play runs over their topic graph in a browser."""

from __future__ import annotations

import webbrowser
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from kgrl.cli.arguments import JsonFile, default_is
from kgrl.cli.output import show_facts
from kgrl.errors import KgrlError

if TYPE_CHECKING:
    from kgrl.corpus import Corpus
    from kgrl.viewer.shown_run import ShownRun

__all__ = ["ViewCommand", "shown_runs"]

_MOST = 2
"""Runs that the page has room for side by side."""


@dataclass(frozen=True)
class ViewCommand:
    """Play a run over its topic graph in the browser, or two runs side by side.

    A run that is still going is followed as it grows. Ctrl-C ends the viewer.

    Args:
        runs: Folder of the run, or of two runs to compare.
        port: Port to serve the page on, at 127.0.0.1; 0 takes any free one.
        browser: Open the page in a browser.
        corpus: Name or folder of the runs' corpus, if it is not where they say.
        root: Folder of its source files, if they are not where the runs say.
        json: File for the page's address, as one JSON object; written when the viewer ends.
    """

    runs: Annotated[tuple[Path, ...], Positional, arg(metavar="RUN [RUN]", help_behavior_hint="(required)")]
    port: int = 0
    browser: bool = True
    corpus: Annotated[str | None, default_is("as the runs say")] = None
    root: Annotated[Path | None, default_is("as the runs say", "FOLDER")] = None
    json: JsonFile = None

    def run(self) -> dict[str, Any]:
        """Serve the page until Ctrl-C.

        Raises:
            KgrlError: If there are more than two runs, one cannot be read, its corpus is missing or the port is taken.
        """
        from kgrl.viewer.server import ViewerServer

        if not 1 <= len(self.runs) <= _MOST:
            raise KgrlError(f"kgrl view shows one run or two, not {len(self.runs)}")
        with ViewerServer(shown_runs(self.runs, self.corpus, self.root), self.port) as server:
            show_facts("", [("viewer", server.url), ("end it with", "Ctrl-C")])
            if self.browser:
                webbrowser.open(server.url)
            with suppress(KeyboardInterrupt):  # the usual end, which is not an error
                server.serve_forever()
            return {"url": server.url, "runs": [str(folder) for folder in self.runs]}


def shown_runs(folders: tuple[Path, ...], corpus: str | None = None, root: Path | None = None) -> list[ShownRun]:
    """Return runs with their corpora.

    Args:
        folders: The runs' folders.
        corpus: Name or folder of their corpus, if it is not where they say.
        root: Folder of its source files, if they are not where they say.

    Raises:
        KgrlError: If a run cannot be read, or its corpus is missing or another one.
    """
    from kgrl.viewer.shown_run import ShownRun

    return [ShownRun(folder, _corpus(folder, corpus, root)) for folder in folders]


def _corpus(folder: Path, corpus: str | None, root: Path | None) -> Corpus:
    """Return the corpus of a run, or the pages that a live run recorded."""
    from kgrl.cli.recorded import corpus_of_run
    from kgrl.research.library import Library
    from kgrl.runs.run import Run

    if "corpus" not in Run.read_config(folder):
        expansions = Run.read_expansions(folder)
        # The pages that had arrived at the last expansion; more may have arrived that no expansion knows.
        return Library(folder / "pages.jsonl").corpus(expansions[-1].arrived or 0 if expansions else 0)
    return corpus_of_run(folder, corpus, root)
