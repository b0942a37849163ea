"""`kgrl view`: play runs over their topic graph in a browser."""

from __future__ import annotations

import webbrowser
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from kgrl.cli.arguments import JsonFile
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
        json: File for the page's address, as one JSON object; written when the viewer ends.
    """

    runs: Annotated[tuple[Path, ...], Positional, arg(metavar="RUN [RUN]", help_behavior_hint="(required)")]
    port: int = 0
    browser: bool = True
    json: JsonFile = None

    def run(self) -> dict[str, Any]:
        """Serve the page until Ctrl-C.

        Raises:
            KgrlError: If there are more than two runs, one cannot be read, its corpus is missing or the port is taken.
        """
        from kgrl.viewer.server import ViewerServer

        if not 1 <= len(self.runs) <= _MOST:
            raise KgrlError(f"kgrl view shows one run or two, not {len(self.runs)}")
        with ViewerServer(shown_runs(self.runs), self.port) as server:
            show_facts("", [("viewer", server.url), ("end it with", "Ctrl-C")])
            if self.browser:
                webbrowser.open(server.url)
            with suppress(KeyboardInterrupt):  # the usual end, which is not an error
                server.serve_forever()
            return {"url": server.url, "runs": [str(folder) for folder in self.runs]}


def shown_runs(folders: tuple[Path, ...]) -> list[ShownRun]:
    """Return runs with their corpora; a corpus that two of them share is loaded once."""
    from kgrl.viewer.shown_run import ShownRun

    corpora: dict[tuple[str, ...], Corpus] = {}  # loading one can take longer than everything else
    shown = []
    for folder in folders:
        key = _corpus_key(folder)
        if key not in corpora:
            corpora[key] = _corpus(folder)
        shown.append(ShownRun(folder, corpora[key]))
    return shown


def _corpus_key(folder: Path) -> tuple[str, ...]:
    """Return a key that is the same for runs on the same corpus."""
    from kgrl.runs.run import Run

    config = Run.read_config(folder)
    if "corpus" not in config:  # a live run's corpus is its own
        return (str(folder.resolve()),)
    return tuple(str(config.get(name)) for name in ("task", "corpus", "root"))


def _corpus(folder: Path) -> Corpus:
    """Return the corpus that a run's configuration names, or the pages that a live run recorded."""
    from kgrl.cli.run import RunCommand
    from kgrl.research.library import Library
    from kgrl.runs.run import Run

    if "corpus" not in Run.read_config(folder):
        expansions = Run.read_expansions(folder)
        # The pages that had arrived at the last expansion; more may have arrived that no expansion knows.
        return Library(folder / "pages.jsonl").corpus(expansions[-1].arrived or 0 if expansions else 0)
    return RunCommand(resume=folder).resumed().load_corpus()
