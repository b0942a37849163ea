"""Plug-ins for learners: less forgetting, fewer weights changed, restarts.

Any number of them goes into one learner: `LoraLearner(corpus, plugins=[Replay(share=0.1), TopK(share=0.05)])`.
"""

from __future__ import annotations

import inspect

from kgrl.errors import DataError, SettingError
from kgrl.learners.decoder.plugin import Plugin
from kgrl.learners.plugins.elastic import ElasticWeights
from kgrl.learners.plugins.isolation import Isolation
from kgrl.learners.plugins.orthogonal import OrthogonalSlots
from kgrl.learners.plugins.relora import ReLoRA
from kgrl.learners.plugins.replay import Replay
from kgrl.learners.plugins.restrictions import FreezeLayers, GradientProjection, TopK
from kgrl.system.registry import Registry
from kgrl.system.schemas import decode_yaml

__all__ = [
    "ElasticWeights",
    "FreezeLayers",
    "GradientProjection",
    "Isolation",
    "OrthogonalSlots",
    "Plugin",
    "ReLoRA",
    "Replay",
    "TopK",
    "make_plugin",
    "plugins",
]

plugins: Registry[Plugin] = Registry("plug-in")
"""Plug-ins by name. Every option of their constructors has a default."""
for _kind in (ElasticWeights, FreezeLayers, GradientProjection, Isolation, OrthogonalSlots, ReLoRA, Replay, TopK):
    plugins.register(_kind.name)(_kind)


def make_plugin(spec: str) -> Plugin:
    """Make a plug-in from a line of text: a name, and options that differ from its defaults.

    Args:
        spec: For example `"replay"` or `"replay:share=0.2,sampling=by-lesson"`.

    Raises:
        UnknownNameError: If no plug-in has that name.
        SettingError: If an option is unknown, and the message lists the known ones, or its value makes no sense.

    Example:
        >>> make_plugin("top-k:share=0.01")
        TopK(share=0.01, over='all')
    """
    name, _, listed = spec.partition(":")
    factory = plugins[name]
    # Options without a plain default, such as arrays, cannot be written on one line.
    known = [o for o, p in inspect.signature(factory).parameters.items() if isinstance(p.default, int | float | str)]
    options = {}
    for part in filter(None, listed.split(",")):
        option, _, value = part.partition("=")
        if option not in known or not value:
            listed_options = ", ".join(known)
            raise SettingError(
                f"{part!r} is not an option of the plug-in {name!r}; write one of {listed_options} as x=1"
            )
        try:
            options[option] = decode_yaml(value, int | float | str | bool, spec)  # type: ignore[arg-type]
        except DataError as error:
            raise SettingError(f"{part!r} is not an option of the plug-in {name!r}: {error.reason}") from error
    try:
        return factory(**options)
    except TypeError as error:  # a word where a number belongs
        raise SettingError(f"{spec!r} does not make a plug-in: {error}") from error
