"""Names with options on one line, as `replay:share=0.2,sampling=by-lesson`."""

from __future__ import annotations

from kgrl.errors import DataError, SettingError
from kgrl.system.schemas import decode_yaml

__all__ = ["split_options"]

Option = int | float | str | bool


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
