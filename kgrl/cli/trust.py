"""Consent to run the code of files that a run's folder or a recipe names: rewards and agents as `FILE.py:NAME`.

The code of a file runs as soon as its reward or agent is made. Whoever types `--reward FILE.py:NAME` or `--agent
FILE.py:CLASS` wants that; whoever resumes a folder that came from elsewhere may not know of it. So files that were
typed are remembered, by path and content, in kgrl's cache folder. Any other file is asked about on a terminal, and
refused where nobody can answer.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from kgrl.cli.output import plain
from kgrl.errors import KgrlError

__all__ = ["check_code", "remember_code"]

_REMEMBERED = "trusted-rewards"
"""The folder, in kgrl's cache, with an empty file for each file of code, named by its path and content. Its name is
from when only rewards could be files."""


def remember_code(rewards: Iterable[str | None], agents: Iterable[str] = ()) -> None:
    """Remember that the files in some rewards and agents may be run, since somebody typed them."""
    for _, file in _files(rewards, agents):
        _remember(file)


def check_code(
    named_by: Path, rewards: Iterable[str | None], agents: Iterable[str] = (), trusted: Sequence[Path] = ()
) -> None:
    """Refuse rewards and agents of files that nobody on this machine has asked for.

    Args:
        named_by: The file that names them, for messages.
        rewards: Rewards by name or as expressions; None stands for one that was left out.
        agents: Agents by name, folder or file.
        trusted: Files that may be run, given by `--trust`.

    Raises:
        KgrlError: If a file was not run from here before, is not among the trusted, and nobody agrees to run it.
    """
    granted = {file.resolve() for file in trusted}
    for kind, file in _files(rewards, agents):
        if file.resolve() not in granted and not _mark(file).is_file() and not _agreed(kind, file, named_by):
            why = f"whose code would run, and which nobody gave as --{kind} here before, or not as it is now"
            way_out = f"look at it, and if it may run, add --trust {shlex.quote(str(file))}"
            raise KgrlError(f"{named_by} names the {kind} file {file}, {why}: {way_out}")
        _remember(file)


def _files(rewards: Iterable[str | None], agents: Iterable[str]) -> Iterator[tuple[str, Path]]:
    """Yield the files that are there, each with the kind of what it is named for."""
    from kgrl.rewards.expression import reward_files
    from kgrl.system.own_code import own_place, present

    for reward in rewards:
        yield from (("reward", file) for file in ([] if reward is None else reward_files(reward)))
    for agent in agents:
        place = own_place(agent)
        if place is not None and present(place[0]):
            yield "agent", place[0]


def _remember(file: Path) -> None:
    with suppress(OSError):  # a cache that cannot be written: one is asked again
        _mark(file).parent.mkdir(parents=True, exist_ok=True)
        _mark(file).touch()


def _mark(file: Path) -> Path:
    from kgrl.system.files import cache_dir, content_key

    return cache_dir() / _REMEMBERED / content_key(str(file.resolve()), file.read_bytes())


def _agreed(kind: str, file: Path, named_by: Path) -> bool:
    """Ask on a terminal whether a file may be run."""
    if not sys.stdin.isatty() or not sys.stderr.isatty():
        return False
    from rich.console import Console

    console = Console(stderr=True, markup=False, highlight=False)
    console.print(f"{plain(named_by)} names the {kind} file {plain(file.resolve())}. To go on, its code has to run.")
    with suppress(EOFError):
        return console.input("Run it? [y/N] ").strip().casefold() in ("y", "yes")
    return False
