"""Options of a class as its source declares them: names, defaults and meanings, read without importing its module."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["DeclaredOption", "declared_options"]

_PLAIN = frozenset(("bool", "float", "int", "str"))
_ARGUMENT = re.compile(r"    (\w+): (.*)")


@dataclass(frozen=True)
class DeclaredOption:
    """A keyword argument of a constructor that fits on a line: a number, a word, true or false.

    Args:
        name: Its name.
        default: Its default; None for none.
        meaning: Its description in the docstring of the class.
    """

    name: str
    default: int | float | str | bool | None
    meaning: str


def declared_options(place: str, without: Collection[str] = ()) -> list[DeclaredOption]:
    """Return the options of a class, in the order of its constructor's keyword arguments.

    Args:
        place: The class as `"module:Class"`. The module is read and not imported, which can take seconds.
        without: Arguments to leave out.

    Example:
        >>> declared_options("kgrl.learners.decoder.lora:LoraLearner", without=["seed"])[1]
        DeclaredOption(name='rank', default=8, meaning="Rank of the adapter's matrices.")
    """
    module, _, name = place.partition(":")
    spec = importlib.util.find_spec(module)
    assert spec is not None and spec.origin is not None, f"there is no module {module}"
    nodes = ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body
    declared = next(node for node in nodes if isinstance(node, ast.ClassDef) and node.name == name)
    meanings = _arguments(ast.get_docstring(declared) or "")
    return [
        DeclaredOption(option, default, meanings.get(option, ""))
        for option, default in _keywords(declared)
        if option not in without
    ]


def _keywords(declared: ast.ClassDef) -> Iterator[tuple[str, int | float | str | bool | None]]:
    """The keyword arguments of a class's constructor that fit on a line, and their defaults."""
    made = next(node for node in declared.body if isinstance(node, ast.FunctionDef) and node.name == "__init__")
    for argument, given in zip(made.args.kwonlyargs, made.args.kw_defaults, strict=True):
        default = given.value if isinstance(given, ast.Constant) else None
        kinds = set() if argument.annotation is None else set(ast.unparse(argument.annotation).split(" | "))
        # A default that is plain tells what the name of a type does not.
        if kinds & _PLAIN or (isinstance(default, bool | int | float | str)):
            yield argument.arg, default if isinstance(default, bool | int | float | str) else None


def _arguments(docstring: str) -> dict[str, str]:
    """The descriptions of arguments in a docstring in Google's style, each on one line and without backquotes."""
    found, name = dict[str, str](), ""
    _, _, listed = inspect.cleandoc(docstring).partition("\nArgs:\n")
    for line in listed.split("\n"):
        if not line.startswith("    "):
            break
        if told := _ARGUMENT.fullmatch(line):
            name, text = told.groups()
            found[name] = text
        elif name:
            found[name] += f" {line.strip()}"
    return {argument: text.replace("`", "") for argument, text in found.items()}
