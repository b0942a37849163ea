"""Consent to run the code of reward files that a run's folder or a recipe names.

The code of a reward file runs as soon as the reward is made. Whoever types `--reward FILE.py:NAME` wants that; whoever
resumes a folder that came from elsewhere may not know of it. So files that were typed are remembered, by path and
content, in kgrl's cache folder. Any other file is asked about on a terminal, and refused where nobody can answer.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from kgrl.cli.output import plain
from kgrl.errors import KgrlError

__all__ = ["check_rewards", "remember_rewards"]

_REMEMBERED = "trusted-rewards"
"""The folder, in kgrl's cache, with an empty file for each reward file, named by its path and content."""


def remember_rewards(rewards: Iterable[str | None]) -> None:
    """Remember that the files in some rewards may be run, since somebody typed them."""
    for reward in rewards:
        for file in _files(reward):
            with suppress(OSError):  # a cache that cannot be written: one is asked again
                _mark(file).parent.mkdir(parents=True, exist_ok=True)
                _mark(file).touch()


def check_rewards(rewards: Iterable[str | None], named_by: Path, trusted: Sequence[Path] = ()) -> None:
    """Refuse rewards with files that nobody on this machine has asked for.

    Args:
        rewards: Rewards by name or as expressions; None stands for one that was left out.
        named_by: The file that names them, for messages.
        trusted: Files that may be run, given by `--trust`.

    Raises:
        KgrlError: If a file was not run from here before, is not among the trusted, and nobody agrees to run it.
    """
    granted = {file.resolve() for file in trusted}
    for reward in rewards:
        for file in _files(reward):
            if file.resolve() not in granted and not _mark(file).is_file() and not _agreed(file, named_by):
                why = "whose code would run, and which nobody gave as --reward here before, or not as it is now"
                way_out = f"look at it, and if it may run, add --trust {shlex.quote(str(file))}"
                raise KgrlError(f"{named_by} names the reward file {file}, {why}: {way_out}")
        remember_rewards([reward])


def _files(reward: str | None) -> list[Path]:
    from kgrl.rewards.expression import reward_files

    return [] if reward is None else reward_files(reward)


def _mark(file: Path) -> Path:
    from kgrl.system.files import cache_dir, content_key

    return cache_dir() / _REMEMBERED / content_key(str(file.resolve()), file.read_bytes())


def _agreed(file: Path, named_by: Path) -> bool:
    """Ask on a terminal whether a file may be run."""
    if not sys.stdin.isatty() or not sys.stderr.isatty():
        return False
    from rich.console import Console

    console = Console(stderr=True, markup=False, highlight=False)
    console.print(f"{plain(named_by)} names the reward file {plain(file.resolve())}. To go on, its code has to run.")
    with suppress(EOFError):
        return console.input("Run it? [y/N] ").strip().casefold() in ("y", "yes")
    return False
