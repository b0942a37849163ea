"""Plug-ins for learners: less forgetting, fewer weights touched, restarts.

Any number of them goes into one learner: `LoraLearner(corpus, plugins=[Replay(share=0.1), TopK(share=0.05)])`.
"""

from __future__ import annotations

import inspect

import yaml

from kgrl.errors import SettingError
from kgrl.learners.decoder.plugin import Plugin
from kgrl.learners.plugins.elastic import ElasticWeights
from kgrl.learners.plugins.isolation import Isolation
from kgrl.learners.plugins.orthogonal import OrthogonalSlots
from kgrl.learners.plugins.relora import ReLoRA
from kgrl.learners.plugins.replay import Replay
from kgrl.learners.plugins.restrictions import FreezeLayers, GradientProjection, TopK
from kgrl.system.registry import Registry

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
for _kind in (ElasticWeights, FreezeLayers, GradientProjection, Isolation, OrthogonalSlots, ReLoRA, Replay, TopK):
    plugins.register(_kind.name)(_kind)


def make_plugin(spec: str) -> Plugin:
    """Make a plug-in from a line of text: a name, and options where its defaults will not do.

    Args:
        spec: Such as `"replay"` or `"replay:share=0.2,sampling=by-lesson"`.

    Raises:
        UnknownNameError: If there is no plug-in of that name.
        SettingError: If an option is unknown or has no sensible value; the message lists those there are.

    Example:
        >>> make_plugin("top-k:share=0.01").share
        0.01
    """
    name, _, listed = spec.partition(":")
    factory = plugins[name]
    known = [o for o, p in inspect.signature(factory).parameters.items() if isinstance(p.default, int | float | str)]
    options = {}
    for part in filter(None, listed.split(",")):
        option, _, value = part.partition("=")
        if option not in known or not value:
            raise SettingError(f"{part!r} is no option of the plug-in {name!r}; write one of {', '.join(known)} as x=1")
        options[option] = yaml.safe_load(value)
    try:
        return factory(**options)
    except TypeError as error:  # a word where a number belongs
        raise SettingError(f"{spec!r} does not make a plug-in: {error}") from error
