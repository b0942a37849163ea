"""Rewards from a user's own Python file: `my_reward.py:name`."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

from kgrl.errors import MissingDataError, UnknownNameError
from kgrl.rewards.base import Reward, RewardError, plugged_in

__all__ = ["reward_from_file"]


def reward_from_file(path: str, name: str) -> Reward:
    """Return the reward that a Python file defines under a name: a function of an expansion, a class, or a reward.

    The file is imported, once in a process, as any Python module is.

    Raises:
        MissingDataError: If there is no such file.
        RewardError: If it cannot be imported.
        UnknownNameError: If it does not define the name; the message suggests the nearest.
    """
    file = Path(path)
    if not file.is_file():
        raise MissingDataError(f"there is no file {path} to take the reward {name!r} from; looked in {Path.cwd()}")
    module = _imported(file.resolve())
    if not hasattr(module, name):
        own = [n for n, thing in vars(module).items() if getattr(thing, "__module__", "") == module.__name__]
        raise UnknownNameError(f"name in {path}:", name, own)
    return plugged_in(getattr(module, name), name)


@cache
def _imported(file: Path) -> ModuleType:
    # Two files may have the same name, and neither must stand in the way of an installed module.
    own_name = f"kgrl_file_{hashlib.sha256(bytes(file)).hexdigest()[:12]}_{file.stem}"
    spec = importlib.util.spec_from_file_location(own_name, file)
    assert spec is not None and spec.loader is not None, "every file that ends in .py can be imported"
    module = sys.modules[own_name] = importlib.util.module_from_spec(spec)  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[own_name]
        raise RewardError(f"{file} cannot be imported: {type(error).__name__}: {error}") from error
    return module
