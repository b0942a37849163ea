"""Plug-ins by name, with options on one line; a plug-in's module is imported when its name is looked up."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from kgrl.errors import SettingError
from kgrl.system.options import split_options
from kgrl.system.registry import Registry

if TYPE_CHECKING:
    from kgrl.learners.plugins.base import Plugin
    from kgrl.retrieval.encoder import AnyEncoder

__all__ = ["make_plugin", "plugins"]

plugins: Registry[Plugin] = Registry("plug-in")
"""Plug-ins by name. Every option of their constructors has a default."""
for _name, _place in (
    ("elastic", "elastic:ElasticWeights"),
    ("freeze-layers", "restrictions:FreezeLayers"),
    ("gradient-projection", "restrictions:GradientProjection"),
    ("isolation", "isolation:Isolation"),
    ("orthogonal", "orthogonal:OrthogonalSlots"),
    ("relora", "relora:ReLoRA"),
    ("replay", "replay:Replay"),
    ("top-k", "restrictions:TopK"),
):
    plugins.declare(_name, f"kgrl.learners.plugins.{_place}")


def make_plugin(spec: str, encoder: AnyEncoder | None = None) -> Plugin:
    """Make a plug-in from a line of text: a name, and options that differ from its defaults.

    Args:
        spec: For example `"replay"` or `"replay:share=0.2,sampling=by-lesson"`.
        encoder: Embeds topics for plug-ins that know them so (`isolation`); the default one if None.

    Raises:
        UnknownNameError: If no plug-in has that name.
        SettingError: If an option is unknown, and the message lists the known ones, or its value makes no sense.

    Example:
        >>> make_plugin("top-k:share=0.01")
        TopK(share=0.01, over='all')
    """
    name, told = split_options(spec)
    factory = plugins[name]
    taken = inspect.signature(factory).parameters
    # Options without a plain default, such as arrays, cannot be written on one line; the encoder is the curriculum's.
    known = [o for o, p in taken.items() if o != "encoder" and isinstance(p.default, int | float | str)]
    for option in set(told) - set(known):
        wrong, others = (
            f"{option}={told[option]}",
            f"write one of {', '.join(known)} as x=1" if known else "it has none",
        )
        raise SettingError(f"{wrong!r} is not an option of the plug-in {name!r}; {others}")
    options = {"encoder": encoder} if encoder is not None and "encoder" in taken else {}
    try:
        return factory(**options, **told)
    except TypeError as error:  # a word where a number belongs
        raise SettingError(f"{spec!r} does not make a plug-in: {error}") from error
