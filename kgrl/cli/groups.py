"""Commands that belong together: `kgrl research ...`."""

from __future__ import annotations

from typing import Annotated

from tyro.conf import arg, subcommand

from kgrl.cli.research import StatusCommand, WorkerCommand
from kgrl.cli.research_run import ReplayCommand, ResearchRun

__all__ = ["research"]


def research(
    command: Annotated[
        Annotated[ResearchRun, subcommand("run")]
        | Annotated[WorkerCommand, subcommand("worker")]
        | Annotated[StatusCommand, subcommand("status")]
        | Annotated[ReplayCommand, subcommand("replay")],
        arg(name=""),
    ],
) -> ResearchRun | WorkerCommand | StatusCommand | ReplayCommand:
    """Learn from a live site: run, work for a run, see what is queued, repeat a run from its record."""
    return command
