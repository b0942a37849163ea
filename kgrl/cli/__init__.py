"""The command line: the table of commands, and how they end.

A command is a frozen dataclass whose fields become arguments. It has a method `run()`, which returns its result as one
JSON object, and a field `json`, the file that `main` writes that object to. Command modules import nothing heavy at
their top, so that `kgrl --help` answers at once: the method `run` imports what it needs.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from kgrl.cli.arguments import Command, CommandGroup, parse_arguments
from kgrl.cli.bench import BenchCommand
from kgrl.cli.calibrate import CalibrateCommand
from kgrl.cli.data import BuildCommand, CheckCommand, CrawlCommand, ImportDumpCommand
from kgrl.cli.graph import GraphCommand
from kgrl.cli.info import InfoCommand
from kgrl.cli.merge import MergeCommand
from kgrl.cli.neighbourhoods import NeighbourhoodsCommand
from kgrl.cli.pretrain import PretrainCommand
from kgrl.cli.quickstart import QuickstartCommand
from kgrl.cli.research import (
    IndexCommand,
    ReplayCommand,
    ResearchRunCommand,
    SearchCommand,
    StatusCommand,
    WorkerCommand,
)
from kgrl.cli.run import RunCommand
from kgrl.cli.traces import ExportCommand, GenerateCommand, ImportCommand, ScoreCommand, StatsCommand
from kgrl.cli.train import TrainCommand
from kgrl.cli.view import ViewCommand
from kgrl.errors import KgrlError

__all__ = ["COMMANDS", "main", "parse"]

COMMANDS: Mapping[str, Callable[..., Command] | CommandGroup] = {
    "quickstart": QuickstartCommand,
    "run": RunCommand,
    "pretrain": PretrainCommand,
    "train": TrainCommand,
    "bench": BenchCommand,
    "calibrate": CalibrateCommand,
    "neighbourhoods": NeighbourhoodsCommand,
    "merge": MergeCommand,
    "view": ViewCommand,
    "graph": GraphCommand,
    "data": CommandGroup(
        "Make a corpus: of your text, by crawling a wiki, or of a dump of one; check one.",
        {"build": BuildCommand, "check": CheckCommand, "crawl": CrawlCommand, "import-dump": ImportDumpCommand},
    ),
    "traces": CommandGroup(
        "Look at traces (recorded paths of readers), store, generate and export them, and score policies on them.",
        {
            "stats": StatsCommand,
            "import": ImportCommand,
            "generate": GenerateCommand,
            "export": ExportCommand,
            "score": ScoreCommand,
        },
    ),
    "research": CommandGroup(
        "Train on a live wiki while its pages are fetched, and search passages of your own.",
        {
            "run": ResearchRunCommand,
            "worker": WorkerCommand,
            "status": StatusCommand,
            "replay": ReplayCommand,
            "index": IndexCommand,
            "search": SearchCommand,
        },
    ),
    "info": InfoCommand,
}
"""Every command and group of commands by name, in the order of `kgrl --help`."""

_ABOUT = """Knowledge-nucleated curriculum learning: train a language model outward along a topic graph, and train the
agent that picks the way.

`kgrl COMMAND --help` explains a command. `kgrl info` lists the names of corpora, tasks, agents, learners, plug-ins and
rewards that arguments take."""

_USER_ERROR, _INTERRUPTED = 2, 130  # the shell's conventions


def parse(argv: Sequence[str] | None = None) -> Command:
    """Return the command that a command line asks for, ready to run.

    Args:
        argv: Arguments without the program's name; the process's if None.

    Raises:
        SystemExit: After `--help`, and for arguments that cannot be parsed.

    Example:
        >>> parse(["graph", "--corpus", "vital"]).corpus
        'vital'
    """
    return parse_arguments(COMMANDS, _ABOUT, argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return the exit code.

    It is 0, 2 for an error that kgrl explains, 130 for Ctrl-C or SIGTERM, or what the result says as `exit_code`.

    Args:
        argv: Arguments without the program's name; the process's if None.

    Raises:
        SystemExit: After `--help`, and for arguments that cannot be parsed.
    """
    command = parse(argv)
    # Before torch is imported. OpenMP's threads else spin while they wait for one another: on a busy machine small
    # models then take several times as long (docs/results/learner.md, table 1).
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        with _ending_as_by_ctrl_c():
            result = command.run()
        if command.json is not None:
            # Here, since it imports more than `kgrl --help` needs.
            from kgrl.system.files import write_json

            write_json(command.json, result)
    except (KgrlError, OSError) as error:  # OSError: a file that cannot be read or written, named in the message
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - the one message a failing command prints
        return _USER_ERROR
    except KeyboardInterrupt as stop:
        print(str(stop) or "interrupted", file=sys.stderr)  # noqa: T201 - a command may say how to go on
        return _INTERRUPTED
    return int(result.get("exit_code", 0))


@contextmanager
def _ending_as_by_ctrl_c() -> Iterator[None]:
    """Let SIGTERM, with which schedulers and service managers end a process, do the same as Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():  # Python lets only that one handle signals
        yield
        return

    def end(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
