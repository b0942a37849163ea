"""Files that ship inside the package: policies, training clicks, a projection, an encoder, links and calibrations.

The model card is README.md in this folder. All arrays are safetensors.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from kgrl.graph.topic_graph import TopicGraph
from kgrl.traces.click_counts import ClickCounts

__all__ = ["CLICKS_FILE", "FOLDER", "PROJECTED", "PROJECTION_FILE", "click_counts", "project"]

FloatArray = NDArray[np.float32]

FOLDER = Path(__file__).parent
CLICKS_FILE = "clicks.safetensors"
PROJECTION_FILE = "projection.safetensors"

PROJECTED = 64
"""Dimensions of projected embeddings."""
_ROWS_AT_ONCE = 65_536
"""Vectors that are projected at a time, which bounds the memory."""


def click_counts(graph: TopicGraph, folder: Path = FOLDER) -> ClickCounts:
    """Return the clicks of Wikispeedia's readers on a graph, matched by title; zeros for unknown titles.

    Args:
        graph: The graph.
        folder: The folder of a policy, to read the clicks it was pretrained on. A policy trained by reinforcement has
            none of its own, and uses those that ship.
    """
    path = folder / CLICKS_FILE
    return ClickCounts.from_tensors(dict(_tensors(path if path.is_file() else FOLDER / CLICKS_FILE)), graph)


def project(vectors: FloatArray) -> FloatArray:
    """Project sentence embeddings to `PROJECTED` dimensions, scaled to entries of about one.

    Vectors of MiniLM and of the static encoder are projected to the principal components of MiniLM's topic embeddings
    on `vital` and `wikispeedia`.
    Vectors with another number of dimensions come from another encoder; they are multiplied by a fixed random matrix
    with orthogonal rows or columns.

    Args:
        vectors: Unit vectors or means of unit vectors, float32 `[n, dimensions]`; zero vectors stay zero.

    Example:
        >>> project(np.eye(3, 10, dtype=np.float32)).shape
        (3, 64)
    """
    centre, components = _projection(vectors.shape[-1])
    projected = np.empty((len(vectors), PROJECTED), dtype=np.float32)
    for first in range(0, len(vectors), _ROWS_AT_ONCE):
        rows = slice(first, first + _ROWS_AT_ONCE)
        projected[rows] = (vectors[rows] - centre) @ components
        projected[rows][~vectors[rows].any(axis=-1)] = 0.0  # subtracting the centre moved zeros away from zero
    return projected


@cache
def _projection(dimensions: int) -> tuple[FloatArray, FloatArray]:
    shipped = _tensors(FOLDER / PROJECTION_FILE)
    if len(shipped["components"]) == dimensions:
        return shipped["centre"].astype(np.float32), shipped["components"].astype(np.float32)
    # A part of a random orthogonal matrix, scaled so that entries of projected unit vectors are about one.
    size = max(dimensions, PROJECTED)
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(size, size)))[0]
    scale = np.sqrt(min(dimensions, PROJECTED))
    return np.zeros(dimensions, dtype=np.float32), (scale * basis[:dimensions, :PROJECTED]).astype(np.float32)


@cache
def _tensors(path: Path) -> dict[str, NDArray[np.generic]]:
    return load_file(path)
