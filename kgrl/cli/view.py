"""`kgrl view`: look at runs in a browser."""

from __future__ import annotations

import webbrowser
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional

from kgrl.cli.output import show_facts
from kgrl.errors import KgrlError

if TYPE_CHECKING:
    from kgrl.corpus import Corpus
    from kgrl.viewer.shown_run import ShownRun

__all__ = ["ViewCommand", "shown_runs"]

_MOST = 2


@dataclass(frozen=True)
class ViewCommand:
    """Show how a run grew over its topic graph, or two side by side, in a local web page.

    A run that is still going is followed. Ctrl-C ends the viewer.

    Args:
        runs: The run's folder, or two to compare.
        port: The port of 127.0.0.1 to serve the page on; any free one if 0.
        browser: Open the page in a browser.
        json: File to write the page's address to when the viewer ends, as one JSON object.
    """

    runs: Annotated[tuple[Path, ...], Positional]
    port: int = 0
    browser: bool = True
    json: Path | None = None

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
            with suppress(KeyboardInterrupt):
                server.serve_forever()
            return {"url": server.url, "runs": [str(folder) for folder in self.runs]}


def shown_runs(folders: tuple[Path, ...]) -> list[ShownRun]:
    """Return runs with their corpora; a corpus that two of them share is loaded once."""
    from kgrl.viewer.shown_run import ShownRun

    corpora: dict[tuple[str, ...], Corpus] = {}
    shown = []
    for folder in folders:
        key = _corpus_key(folder)
        if key not in corpora:
            corpora[key] = _corpus(folder)
        shown.append(ShownRun(folder, corpora[key]))
    return shown


def _corpus_key(folder: Path) -> tuple[str, ...]:
    from kgrl.runs.run import Run

    config = Run.read_config(folder)
    if "corpus" not in config:  # a live run's corpus is its own
        return (str(folder.resolve()),)
    return tuple(str(config.get(name)) for name in ("task", "corpus", "root"))


def _corpus(folder: Path) -> Corpus:
    """The corpus of a run: the one that its configuration names, or the pages that a live run recorded."""
    from kgrl.cli.run import RunCommand
    from kgrl.research.library import Library
    from kgrl.runs.run import Run

    if "corpus" not in Run.read_config(folder):
        expansions = Run.read_expansions(folder)
        return Library(folder / "pages.jsonl").corpus(expansions[-1].arrived or 0 if expansions else 0)
    return RunCommand(resume=folder).resumed().load_corpus()
