"""Layout of a topic graph for drawing: force-directed, in seconds for ten thousand topics.

Links attract with an energy that grows with their length, topics repel one another in proportion to their degrees: the
edge-repulsion LinLog model of Noack (2007), "Energy Models for Graph Clustering", which separates communities. All
repulsions together are one convolution: topics are spread on a mesh, the mesh is convolved with the force by fast
Fourier transforms, and the field is read off at the topics. The start is a smoothed random projection, in which linked
topics are near one another.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft, sparse, spatial

from kgrl.graph.topic_graph import TopicGraph
from kgrl.system.cache import cached
from kgrl.system.files import cache_dir, content_key, write_npy

__all__ = ["layout", "stored_layout"]

Points = NDArray[np.float64]

_VERSION = "1"
"""Part of the key of stored layouts; a change of the layout needs another."""

_MESH = 256
"""Cells along each side of the mesh."""

_STEPS, _SMOOTHINGS, _PUSHES = 150, 60, 40
"""Steps along the forces, smoothings of the start, and most rounds of pushing topics apart."""

_SEED = 0

_REACH = 0.15
"""Distance that a topic moves in the first step, in units in which all forces together reach about 1."""

_GRAVITY = 0.4
"""Pull towards the centre, which keeps parts of the graph near that no link connects."""

_APART = 0.5
"""Least distance of two topics, in units of their distance on a square lattice."""


def stored_layout(graph: TopicGraph) -> NDArray[np.float32]:
    """Return the layout of a graph from kgrl's cache; the first call makes it and stores it there. See `layout`."""
    path = cache_dir() / "layouts" / f"{content_key(_VERSION, graph.fingerprint)}.npy"
    cached(path, make=lambda: write_npy(path, layout(graph)))
    points: NDArray[np.float32] = np.load(path, allow_pickle=False)
    return points


def layout(graph: TopicGraph) -> NDArray[np.float32]:
    """Return a place for each topic within the unit square around 0, always the same for the same graph.

    Args:
        graph: The topic graph.

    Returns:
        Places, float32 of shape `[topics, 2]`.

    Example:
        >>> layout(TopicGraph.from_links(["a", "b", "c"], [0, 1], [1, 2])).shape
        (3, 2)
    """
    if not len(graph):
        return np.zeros((0, 2), dtype=np.float32)
    indptr, indices = graph.undirected
    linked = np.flatnonzero(np.diff(indptr))
    places = np.zeros((len(graph), 2), dtype=np.float32)
    if len(linked):
        # [linked topics, linked topics]: topics without links have no force that would place them.
        links = sparse.csr_array((np.ones(len(indices)), indices, indptr), shape=(len(graph),) * 2)[linked][:, linked]
        places[linked] = _framed(_apart(_framed(_relaxed(_start(links), links))))
    _ring(places, np.flatnonzero(np.diff(indptr) == 0))
    return _framed(places)


def _ring(places: NDArray[np.float32], alone: NDArray[np.int64]) -> None:
    """Put the topics without links on rings around all others, in place."""
    # The mean distance of topics on a square lattice over the unit square.
    gap = 1.0 / np.sqrt(len(places) + 1)
    radius, done = np.linalg.norm(places, axis=1).max() + 2 * gap, 0
    while done < len(alone):
        topics = alone[done : done + max(1, int(2 * np.pi * radius / gap))]
        turn = 2 * np.pi * np.arange(len(topics)) / len(topics)
        places[topics] = radius * np.stack([np.cos(turn), np.sin(turn)], axis=1)
        radius, done = radius + gap, done + len(topics)


def _start(links: sparse.csr_array) -> Points:
    """Random vectors, averaged over neighbours many times: approximate slowest modes of the graph, `[topics, 2]`."""
    degree = np.maximum(links.sum(axis=1), 1.0)
    vectors = np.random.default_rng(_SEED).normal(size=(links.shape[0], 2))
    for _ in range(_SMOOTHINGS):
        vectors = 0.5 * vectors + 0.5 * (links @ vectors) / degree[:, None]
        # The constant mode, the slowest of all, is removed, and QR keeps both dimensions from becoming the same mode.
        vectors -= np.average(vectors, axis=0, weights=degree)
        vectors, _ = np.linalg.qr(vectors)
    # Ranks instead of values: modes put nearly all topics into one point.
    places: Points = np.argsort(np.argsort(vectors, axis=0), axis=0) / links.shape[0] - 0.5
    return places


def _relaxed(places: Points, links: sparse.csr_array) -> Points:
    """Move topics along their forces, by smaller and smaller steps."""
    # One more than the degree, so that topics with few links also keep others at a distance.
    weight = links.sum(axis=1) + 1.0
    rows = np.repeat(np.arange(links.shape[0]), np.diff(links.indptr))
    for step in range(_STEPS):
        # Both forces are of a unit of weight, so that well-linked topics move no faster than others.
        force = _attraction(places, links, rows) / weight[:, None] + _repulsion(places, weight)
        force -= _GRAVITY * places
        length = np.linalg.norm(force, axis=1, keepdims=True)
        reach = _REACH * (1.0 - step / _STEPS) ** 1.5
        places = places + force * reach / np.maximum(length, 1.0)
    return places


def _attraction(places: Points, links: sparse.csr_array, rows: NDArray[np.int64]) -> Points:
    """Pull of the links on each topic, `[topics, 2]`: the same for each link, and less for a very short one."""
    along = places[links.indices] - places[rows]  # [2 * links, 2]
    # The small summand softens the force where it would flip its sign from step to step.
    along /= np.linalg.norm(along, axis=1, keepdims=True) + 0.02
    return np.stack([np.bincount(rows, along[:, axis], len(places)) for axis in (0, 1)], axis=1)


def _repulsion(places: Points, weight: NDArray[np.float64]) -> Points:
    """Push of all other topics on a unit of weight: their share of all weight, over distance, `[topics, 2]`."""
    low, span = places.min(axis=0), np.ptp(places, axis=0).max() + 1e-9
    at = (places - low) / span * (_MESH - 2)  # in cells, with one free for the corners beyond
    cell = at.astype(np.int64)
    part = at - cell
    mesh = np.zeros(_MESH * _MESH)
    # Cloud in cell: a topic's weight goes to the four corners around it, the nearer ones getting more.
    corners = []
    for dx, dy in ((0, 0), (0, 1), (1, 0), (1, 1)):
        share = np.abs(1 - dx - part[:, 0]) * np.abs(1 - dy - part[:, 1])
        index = (cell[:, 0] + dx) * _MESH + cell[:, 1] + dy
        corners.append((index, share))
        mesh += np.bincount(index, weight * share, _MESH * _MESH)
    # Twice the mesh, since the product of transforms is periodic: opposite borders would push each other.
    spread = fft.rfft2(mesh.reshape(_MESH, _MESH), s=(2 * _MESH, 2 * _MESH))
    field = [fft.irfft2(spread * kernel)[:_MESH, :_MESH].ravel() for kernel in _KERNELS]
    # Read off at the same corners with the same shares, so that no topic pushes itself.
    push = np.stack([sum(f[index] * share for index, share in corners) for f in field], axis=1)
    scaled: Points = push * (_MESH - 2) / (span * weight.sum())
    return scaled


def _kernels() -> list[NDArray[np.complex128]]:
    """The force between two cells by their offset, transformed: offset over squared distance, along x and along y."""
    offset = np.fft.fftfreq(2 * _MESH, 1 / (2 * _MESH))  # 0, 1, ..., -2, -1, as transforms order them
    x, y = np.meshgrid(offset, offset, indexing="ij")
    return [fft.rfft2(axis / (x * x + y * y + 0.5)) for axis in (x, y)]


_KERNELS = _kernels()


def _framed(places: NDArray[np.floating]) -> NDArray[np.float32]:
    """Centre the places and scale them to the unit square."""
    middle = (places.max(axis=0) + places.min(axis=0)) / 2
    framed: NDArray[np.float32] = ((places - middle) / (np.ptp(places, axis=0).max() + 1e-12)).astype(np.float32)
    return framed


def _apart(places: NDArray[np.float32]) -> Points:
    """Push topics apart that would be drawn over one another."""
    moved, least = places.astype(np.float64), _APART / np.sqrt(len(places))
    for _ in range(_PUSHES):
        pairs = spatial.cKDTree(moved).query_pairs(least, output_type="ndarray")
        if not len(pairs):
            break
        along = moved[pairs[:, 0]] - moved[pairs[:, 1]]
        along += 1e-9 * (pairs[:, :1] - pairs[:, 1:])  # two topics in the same place have no direction
        length = np.linalg.norm(along, axis=1, keepdims=True)
        push = along / length * (least - length) / 2
        # Half of each push, or a topic between several others would jump back and forth.
        for axis in (0, 1):
            moved[:, axis] += np.bincount(pairs[:, 0], push[:, axis], len(moved)) * 0.5
            moved[:, axis] -= np.bincount(pairs[:, 1], push[:, axis], len(moved)) * 0.5
    return moved
