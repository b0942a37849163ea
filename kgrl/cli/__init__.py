"""The command line: one table of commands, and how they end.

A command is a frozen dataclass that tyro turns into arguments, with a method `run()` that returns its result as one
JSON object, and a field `json`, the file that `main` writes that object to. `data`, `traces` and `research` are groups
of commands. Command modules import nothing heavy at their top, so that `kgrl --help` answers at once; what a command
needs it imports in `run`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import tyro

from kgrl.cli.bench import BenchCommand
from kgrl.cli.calibrate import CalibrateCommand
from kgrl.cli.graph import GraphCommand
from kgrl.cli.groups import data, research
from kgrl.cli.info import InfoCommand
from kgrl.cli.merge import MergeCommand
from kgrl.cli.neighbourhoods import NeighbourhoodsCommand
from kgrl.cli.pretrain import PretrainCommand
from kgrl.cli.quickstart import QuickstartCommand
from kgrl.cli.run import RunCommand
from kgrl.cli.traces import traces
from kgrl.cli.train import TrainCommand
from kgrl.cli.view import ViewCommand
from kgrl.errors import KgrlError

__all__ = ["COMMANDS", "Command", "main"]


class Command(Protocol):
    """What every command is."""

    @property
    def json(self) -> Path | None:
        """The file to write the result to, or None."""
        ...

    def run(self) -> Mapping[str, Any]:
        """Do the work, print for people, and return the result for programs."""
        ...


COMMANDS: dict[str, Callable[..., Command]] = {
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
    "data": data,
    "traces": traces,
    "research": research,
    "info": InfoCommand,
}
"""Every command by name, in the order `kgrl --help` lists them."""

_USER_ERROR, _INTERRUPTED = 2, 130  # the shell's conventions


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return the exit code: 0, 2 for an error kgrl explains, 130 for Ctrl-C.

    Args:
        argv: Arguments without the program's name; the process's if None.

    Raises:
        SystemExit: From tyro, after `--help` and for arguments that cannot be parsed.
    """
    command = tyro.extras.subcommand_cli_from_dict(
        COMMANDS, prog="kgrl", description="Knowledge-nucleated curriculum learning.", args=argv
    )
    try:
        _finish(command)
    except (KgrlError, OSError) as error:  # OSError: a file that cannot be read or written, named in the message
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - the one message a failing command prints
        return _USER_ERROR
    except KeyboardInterrupt as stop:
        print(str(stop) or "interrupted", file=sys.stderr)  # noqa: T201 - a command may say how to go on
        return _INTERRUPTED
    return 0


def _finish(command: Command) -> None:
    result = command.run()
    if command.json is not None:
        from kgrl.system.files import write_json

        write_json(command.json, result)
