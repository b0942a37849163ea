"""Commands that belong together: `kgrl data ...` and `kgrl research ...`."""

from __future__ import annotations

from typing import Annotated

from tyro.conf import arg, subcommand

from kgrl.cli.data import CrawlCommand, ImportDumpCommand
from kgrl.cli.research import StatusCommand, WorkerCommand
from kgrl.cli.research_index import IndexCommand, SearchCommand
from kgrl.cli.research_run import ReplayCommand, ResearchRunCommand

__all__ = ["data", "research"]


def data(
    command: Annotated[
        Annotated[CrawlCommand, subcommand("crawl")] | Annotated[ImportDumpCommand, subcommand("import-dump")],
        arg(name=""),
    ],
) -> CrawlCommand | ImportDumpCommand:
    """Make corpora: crawl a site, import a dump."""
    return command


def research(
    command: Annotated[
        Annotated[ResearchRunCommand, subcommand("run")]
        | Annotated[WorkerCommand, subcommand("worker")]
        | Annotated[StatusCommand, subcommand("status")]
        | Annotated[ReplayCommand, subcommand("replay")]
        | Annotated[IndexCommand, subcommand("index")]
        | Annotated[SearchCommand, subcommand("search")],
        arg(name=""),
    ],
) -> ResearchRunCommand | WorkerCommand | StatusCommand | ReplayCommand | IndexCommand | SearchCommand:
    """Learn from a live site: run, do its jobs, see what is queued, repeat it. Index passages and search them."""
    return command
