"""Arguments of commands: how tyro reads them from the command line and shows them in help.

tyro makes the arguments of a command from the fields of its class, and their help from its docstring. This module adds
groups of commands, short listings, and a plain notation for arguments that may be left out.
"""

from __future__ import annotations

import inspect
import operator
import shutil
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, make_dataclass, replace
from functools import reduce
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Protocol, Union, get_args

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from kgrl.errors import SettingError

__all__ = [
    "MOST_COUNT",
    "MOST_SEED",
    "MOST_TOKENS",
    "NAME_OR_TITLES",
    "Command",
    "CommandGroup",
    "JsonFile",
    "check_range",
    "default_is",
    "parse_arguments",
]

MOST_COUNT, MOST_TOKENS, MOST_SEED = 10**9, 10**15, 2**32 - 1
"""The most of anything that an argument may ask for, the most tokens in all, and the largest seed that all libraries
take."""

_WIDEST = 100
"""Columns that the text above a command's arguments takes at most."""


class Command(Protocol):
    """A command: a frozen dataclass whose fields are its arguments."""

    @property
    def json(self) -> Path | None:
        """The file to write the result to, or None."""
        ...

    def run(self) -> Mapping[str, Any]:
        """Do the work, print for people, and return the result for programs."""
        ...


@dataclass(frozen=True)
class CommandGroup:
    """Commands that share their first word, such as `kgrl data crawl` and `kgrl data import-dump`.

    Args:
        about: The line that `kgrl --help` shows.
        commands: The commands by their second word.
    """

    about: str
    commands: Mapping[str, Callable[..., Command]]


def default_is(effect: str, metavar: str | None = None) -> Any:
    """Return the annotation of an argument whose help names an effect instead of a default value.

    Args:
        effect: The effect of leaving the argument out.
        metavar: The placeholder of its value; the type's if None.
    """
    return tyro.conf.arg(metavar=metavar, help_behavior_hint=f"(default: {effect})")


def check_range(*asked: tuple[str, float | None, float, float]) -> None:
    """Refuse numbers of the command line that are out of range.

    Args:
        asked: Argument, value, least and most; None stands for an argument that was left out.

    Raises:
        SettingError: If a value is out of range or not a number.

    Example:
        >>> check_range(("--seed", -1, 0, 9))
        Traceback (most recent call last):
        kgrl.errors.SettingError: --seed must be at least 0, not -1
    """
    for name, value, least, most in asked:
        if value is not None and not least <= value <= most:  # NaN is in no range
            bound = f"at most {most:,}" if value > most else f"at least {least:,}"
            raise SettingError(f"{name} must be {bound}, not {value}")


def _name_or_titles(words: Sequence[str]) -> str | tuple[str, ...]:
    if not words:
        raise ValueError("a name or a title is needed")
    return words[0] if len(words) == 1 else tuple(words)


NAME_OR_TITLES: PrimitiveConstructorSpec[Any] = PrimitiveConstructorSpec(
    nargs="*",
    metavar="NAME|TITLE [TITLE ...]",
    instance_from_str=_name_or_titles,
    is_instance=lambda value: value is None or isinstance(value, str | tuple),
    str_from_instance=lambda value: list(value) if isinstance(value, tuple) else [value or "none"],
)
"""Annotation of an argument whose one word is a name, and whose several words are titles, which it has as a tuple."""

# Union, since tyro compares other types with their default by a library that takes as long to import as tyro.
JsonFile = Annotated[Union[Path, None], default_is("no file", "FILE")]  # noqa: UP007
"""The argument `--json` of every command."""


def parse_arguments(
    commands: Mapping[str, Callable[..., Command] | CommandGroup], about: str, argv: Sequence[str] | None = None
) -> Command:
    """Read a command line.

    Args:
        commands: Commands and groups of commands, by their first word.
        about: The description at the top of `kgrl --help`.
        argv: Arguments without the program's name; the process's if None.

    Raises:
        SystemExit: After `--help`, and for arguments that cannot be parsed.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    with _notation:
        made: Any = tyro.cli(_chooser(commands, words), prog="kgrl", description=_wrapped(about), args=words)
    while isinstance(made, _Chosen):
        made = made.command
    command: Command = made
    return command


def _choice(commands: Mapping[str, Callable[..., Command] | CommandGroup], words: Sequence[str]) -> Any:
    """Return tyro's type for a choice among commands.

    A listing of commands shows the first paragraph of each. The help of the command that is chosen shows all of them.

    Args:
        commands: The commands by name.
        words: The words of the command line from here on: the first is the chosen command's name, if any is chosen.
    """
    chosen = next(iter(words), "")
    options = []
    for name, command in commands.items():
        paragraphs = _about(command).split("\n\n")
        shown = _wrapped(_about(command)) if name == chosen else " ".join(paragraphs[0].split())
        made = _chooser(command.commands, words[1:]) if isinstance(command, CommandGroup) else command
        options.append(Annotated[Any, tyro.conf.subcommand(name, constructor=made, description=shown)])
    return reduce(operator.or_, options)


class _Chosen:
    """A command that was chosen among several.

    Attributes:
        command: The command, or the choice that was made in a group.
    """

    command: Any


def _chooser(commands: Mapping[str, Callable[..., Command] | CommandGroup], words: Sequence[str]) -> type[_Chosen]:
    """Return a class that tyro gives the choice among commands; arguments as for `_choice`.

    It is a dataclass and its field has a help: else tyro imports a library that compares values with
    types, and parses source code in search of the help, which takes as long as all the rest of `kgrl --help`.
    """
    # An empty name keeps tyro from putting the name of the field before those of the commands.
    choice: Any = Annotated[_choice(commands, words), tyro.conf.arg(name="", help="Choose one")]
    return make_dataclass("Chosen", [("command", choice)], bases=(_Chosen,))


def _about(command: Callable[..., Command] | CommandGroup) -> str:
    """Return the description of a command: its docstring up to the arguments, of which tyro makes their help."""
    if isinstance(command, CommandGroup):
        return command.about
    return (inspect.getdoc(command) or "").split("\n\nArgs:")[0]


def _wrapped(text: str) -> str:
    """Return paragraphs as lines that fit the terminal, each paragraph on a new line.

    tyro prints descriptions without wrapping, and joins lines unless they begin with something other than a letter:
    hence the indentation.
    """
    width = min(shutil.get_terminal_size().columns, _WIDEST)
    indented = textwrap.TextWrapper(width, initial_indent="  ", subsequent_indent="  ")
    return "\n".join(indented.fill(" ".join(part.split())) for part in text.split("\n\n"))


_notation = ConstructorRegistry()
"""Rules for types that tyro would show as `{None}|PATH`, as `[STR [STR ...]]` and with `(default: )`."""


@_notation.primitive_rule
def _optional(kind: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """Show `X | None` as X: an argument is left out to have None."""
    options = set(get_args(kind.type))
    if kind.type_origin not in (Union, UnionType) or len(options) != 2 or NoneType not in options:
        return None
    (inner,) = options - {NoneType}
    spec = _spec(inner, kind)
    return spec and replace(
        spec,
        is_instance=lambda value: value is None or spec.is_instance(value),
        str_from_instance=lambda value: ["none"] if value is None else spec.str_from_instance(value),
    )


@_notation.primitive_rule
def _several(kind: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """Show `tuple[X, ...]` as `X [X ...]`."""
    match get_args(kind.type):
        case (inner, end) if kind.type_origin is tuple and end is Ellipsis:
            spec = _spec(inner, kind)
        case _:
            return None
    return spec and PrimitiveConstructorSpec(
        nargs="*",
        metavar=f"{spec.metavar} [{spec.metavar} ...]",
        instance_from_str=lambda words: tuple(spec.instance_from_str([word]) for word in words),
        is_instance=lambda value: isinstance(value, tuple) and all(map(spec.is_instance, value)),
        str_from_instance=lambda value: [text for item in value for text in spec.str_from_instance(item)] or ["none"],
        choices=spec.choices,
    )


def _spec(inner: Any, kind: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """Return the rule for the type inside another; None where it takes other than one word."""
    spec = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(inner, kind.markers))
    return spec if isinstance(spec, PrimitiveConstructorSpec) and spec.nargs == 1 else None
