"""GGUF checkpoints read once: transformers has the package gguf read a file three times while it loads a model."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gguf
import numpy as np

__all__ = ["reading_gguf_once"]


@contextmanager
def reading_gguf_once() -> Iterator[None]:
    """Within a `with` block gguf reads each file once, and makes each table of tensor names once and not by tensor."""
    reader, names = gguf.GGUFReader, gguf.get_tensor_name_map
    package: Any = gguf  # as a module whose functions are replaced
    package.GGUFReader, package.get_tensor_name_map = functools.cache(_Reader), functools.cache(names)
    try:
        yield
    finally:
        package.GGUFReader, package.get_tensor_name_map = reader, names


class _Reader(gguf.GGUFReader):
    """gguf's reader on a plain array of the mapped bytes: taking a million slices of a memmap takes seconds longer."""

    @property
    def data(self) -> Any:
        return self._bytes

    @data.setter
    def data(self, mapped: Any) -> None:
        self._bytes = np.asarray(mapped)
