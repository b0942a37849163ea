"""Names with options on one line, as `replay:share=0.2,sampling=by-lesson`."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Collection, Mapping
from functools import reduce
from operator import or_
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from kgrl.errors import DataError, SettingError, UnknownNameError
from kgrl.system.schemas import checked, decode_yaml

__all__ = ["check_options", "join_options", "named_options", "split_options"]

Option = int | float | str | bool
_PLAIN = (int, float, str, bool, type(None))


def split_options(spec: str) -> tuple[str, dict[str, Option]]:
    """Return a name and the options that follow it.

    Args:
        spec: `NAME`, or `NAME:OPTION=VALUE,OPTION=VALUE`. Values are read as YAML: numbers, `true`, `false` and words.

    Raises:
        SettingError: If an option has no value, or a value is none of these.

    Example:
        >>> split_options("scratch:preset=2m,learning_rate=0.0015")
        ('scratch', {'preset': '2m', 'learning_rate': 0.0015})
    """
    name, _, listed = spec.partition(":")
    options = dict[str, Option]()
    for part in filter(None, listed.split(",")):
        option, _, value = part.partition("=")
        if not (option and value):
            raise SettingError(f"{part!r} in {spec!r} is not an option with a value, such as x=1")
        try:
            options[option] = decode_yaml(value, int | float | str | bool, spec)  # type: ignore[arg-type]
        except DataError as error:
            raise SettingError(f"{part!r} in {spec!r} is not an option with a value: {error.reason}") from error
    return name, options


def join_options(spec: str, **options: Option) -> str:
    """Return a name with further options, unless it has them already.

    Example:
        >>> join_options("lora:rank=4", device="cuda", rank=8)
        'lora:rank=4,device=cuda'
    """
    name, own = split_options(spec)
    more = [f"{option}={value}" for option, value in options.items() if option not in own]
    parts = [*filter(None, spec.partition(":")[2].split(",")), *more]
    return f"{name}:{','.join(parts)}" if parts else name


def named_options(make: Callable[..., Any], without: Collection[str] = ()) -> dict[str, Any]:
    """Return the types of those keyword arguments of a function that fit on a line: numbers, words, true and false.

    Args:
        make: A function, or a class by its constructor.
        without: Arguments to leave out.

    Example:
        >>> def make(corpus, *, rank: int = 8, plugins: tuple = (), seed: int = 0): ...
        >>> named_options(make, without=["seed"])
        {'rank': <class 'int'>}
    """
    called = make.__init__ if inspect.isclass(make) else make
    hints = get_type_hints(called)
    found = {}
    for name, parameter in inspect.signature(make).parameters.items():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and name not in without and name in hints:
            parts = [part for part in _parts(hints[name]) if part in _PLAIN or get_origin(part) is Literal]
            if any(part is not type(None) for part in parts):
                found[name] = reduce(or_, parts)
    return found


def check_options(spec: str, told: Mapping[str, Option], known: Mapping[str, Any], what: str) -> None:
    """Refuse options that are not known, and values of another type.

    Args:
        spec: The line that they are from, for messages.
        told: The options.
        known: The types of all options, see `named_options`.
        what: Owner of the options, for messages.

    Raises:
        SettingError: If there is no such option, and the message suggests the nearest; or a value is of another type.

    Example:
        >>> check_options("lora:rang=4", {"rang": 4}, {"rank": int}, "the learner lora")
        Traceback (most recent call last):
        kgrl.errors.SettingError: unknown option of the learner lora 'rang'; did you mean 'rank'? Known: rank
    """
    for name, value in told.items():
        if name not in known:
            # A setting that does not fit, by its kind; worded as other unknown names are.
            unknown = UnknownNameError(f"option of {what}", name, known)
            raise SettingError(str(unknown) if known else f"{what} has no options; leave {name!r} out")
        try:
            checked(value, known[name], spec)
        except DataError as error:
            raise SettingError(f"{name}={value} in {spec!r}: {error.reason}") from error


def _parts(hint: Any) -> tuple[Any, ...]:
    """The types that a type allows."""
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
