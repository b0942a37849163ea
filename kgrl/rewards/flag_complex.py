"""Clique complex of a growing graph: its first Betti number over GF(2), updated as vertices are added.

Every edge carries an annotation, a vector over GF(2) with one coordinate for each hole, such that a cycle's homology
class is the sum of its edges' annotations (Dey, Fan and Wang 2014). A new edge that closes a cycle adds a coordinate;
a triangle whose edges do not sum to zero removes one. The first Betti number depends on vertices, edges and triangles
only. Adding a vertex takes time in proportion to the links among its neighbours; all edges are visited only when a hole
is filled.

Arrays of the compiled functions: `notes` are the edges' annotations as bits, uint64 `[edges, words]`; `in_use` marks
the coordinates that stand for a hole, `[64 words]`; `heads`, `nexts` and `ends` are linked lists of each vertex's
edges, edge e having the slots 2e and 2e + 1; `parents` is a union-find forest over the vertices.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from kgrl.graph.topic_graph import IntArray

__all__ = ["Components", "FlagComplex"]

_LEAST_ROOM = 64
_BITS = 64
_ONE = np.uint64(1)


@njit(cache=True, nogil=True)
def _find(parents, vertex):
    """Return the representative of a vertex's component."""
    while parents[vertex] != vertex:
        parents[vertex] = parents[parents[vertex]]  # path halving keeps the trees flat
        vertex = parents[vertex]
    return vertex


@njit(cache=True, nogil=True)
def _join(parents, vertex, near):
    """Join a new vertex with its neighbours; return the number of components they were in."""
    parents[vertex] = vertex
    joined = 0
    for other in near:
        root = _find(parents, other)
        if root != vertex:
            parents[root] = vertex
            joined += 1
    return joined


@njit(cache=True, nogil=True)
def _free_coordinate(in_use):
    """Return the first coordinate that is not in use, -1 if all are."""
    for coordinate in range(len(in_use)):
        if not in_use[coordinate]:
            return coordinate
    return -1


@njit(cache=True, nogil=True)
def _fill(notes, edges, total, in_use):
    """Make the nonzero class `total` zero: replace one of its coordinates by its others in all annotations."""
    # The lowest bit set is the coordinate that is replaced.
    word = 0
    while total[word] == 0:
        word += 1
    bit = 0
    while not (total[word] >> np.uint64(bit)) & _ONE:
        bit += 1
    for edge in range(edges):
        if (notes[edge, word] >> np.uint64(bit)) & _ONE:
            notes[edge] ^= total
    in_use[word * _BITS + bit] = False


@njit(cache=True, nogil=True)
def _connect(vertex, near, edges, heads, nexts, ends):
    """Append the edges of a new vertex to the linked lists of both ends."""
    heads[vertex] = -1
    for row in range(len(near)):
        slot = 2 * (edges + row)
        ends[slot], nexts[slot], heads[vertex] = near[row], heads[vertex], slot
        ends[slot + 1], nexts[slot + 1], heads[near[row]] = vertex, heads[near[row]], slot + 1


@njit(cache=True, nogil=True)
def _annotate(vertex, near, place, edges, parents, heads, nexts, ends, notes, in_use):
    """Annotate the edges of a new vertex so that the triangles of a spanning forest of its neighbours sum to zero.

    Returns the annotations, wider where that was needed, the coordinates in use, and the number of holes added.
    """
    added, queue, done = 0, np.empty(len(near), np.int32), np.zeros(len(near), np.bool_)
    parents[vertex] = vertex
    for start in range(len(near)):
        if done[start]:
            continue
        notes[edges + start] = 0
        root = _find(parents, near[start])
        if root != vertex:
            parents[root] = vertex  # this edge joins a component, and closes no cycle
        else:
            # A second edge into the same component closes a cycle, which is a hole until a triangle fills it.
            coordinate = _free_coordinate(in_use)
            if coordinate < 0:
                coordinate = len(in_use)
                in_use = np.concatenate((in_use, np.zeros(coordinate, np.bool_)))
                notes = np.concatenate((notes, np.zeros_like(notes)), axis=1)
            in_use[coordinate] = True
            notes[edges + start, coordinate // _BITS] = _ONE << np.uint64(coordinate % _BITS)
            added += 1
        # Neighbours that are linked with one another get the annotation that makes their triangle sum to zero.
        done[start], queue[0], count = True, start, 1
        while count:
            count -= 1
            row = queue[count]
            slot = heads[near[row]]
            while slot >= 0:
                other = place[ends[slot]]
                if other >= 0 and not done[other]:
                    notes[edges + other] = notes[edges + row] ^ notes[slot // 2]
                    done[other], queue[count] = True, other
                    count += 1
                slot = nexts[slot]
    return notes, in_use, added


@njit(cache=True, nogil=True)
def _fill_triangles(near, place, edges, heads, nexts, ends, notes, in_use):
    """Fill the triangles of a new vertex with its neighbours' edges; return the number of holes that closes."""
    filled, words = 0, notes.shape[1]
    total = np.empty(words, np.uint64)
    for row in range(len(near)):
        slot = heads[near[row]]
        while slot >= 0:
            other = place[ends[slot]]
            if other > row:  # each triangle once
                some = np.uint64(0)
                for word in range(words):
                    total[word] = notes[edges + row, word] ^ notes[edges + other, word] ^ notes[slot // 2, word]
                    some |= total[word]
                if some:
                    _fill(notes, edges + len(near), total, in_use)
                    filled += 1
            slot = nexts[slot]
    return filled


@njit(cache=True, nogil=True)
def _add(vertex, near, edges, parents, heads, nexts, ends, notes, in_use):
    """Add a vertex; return the annotations, the coordinates in use, and the change of the Betti number."""
    place = np.full(vertex + 1, -1, np.int32)  # the row of each vertex in `near`, -1 for others
    for row in range(len(near)):
        place[near[row]] = row
    notes, in_use, added = _annotate(vertex, near, place, edges, parents, heads, nexts, ends, notes, in_use)
    filled = _fill_triangles(near, place, edges, heads, nexts, ends, notes, in_use)
    _connect(vertex, near, edges, heads, nexts, ends)
    return notes, in_use, added - filled


class Components:
    """Cycle rank |E| - |V| + components of a growing graph.

    Attributes:
        vertices: Number of vertices.
        cycle_rank: Number of independent cycles.

    Example:
        >>> square = Components()
        >>> for near in ([], [0], [1], [0, 2]):
        ...     square.add(np.array(near, dtype=np.int32))
        >>> square.cycle_rank
        1
    """

    def __init__(self) -> None:
        self.vertices, self.cycle_rank = 0, 0
        self._parents = np.empty(_LEAST_ROOM, dtype=np.int32)

    def add(self, near: IntArray) -> None:
        """Add a vertex, numbered on from 0, linked with the vertices `near`."""
        self._parents = _with_room(self._parents, self.vertices + 1)
        self.cycle_rank += len(near) - int(_join(self._parents, self.vertices, near))
        self.vertices += 1


class FlagComplex:
    """Clique complex of a growing graph, with its first Betti number over GF(2): cycles that no triangles fill.

    Attributes:
        vertices: Number of vertices.
        edges: Number of edges.
        holes: The first Betti number.

    Example:
        >>> square = FlagComplex()
        >>> for near in ([], [0], [1], [0, 2]):
        ...     square.add(np.array(near, dtype=np.int32))
        >>> square.holes
        1
        >>> square.add(np.array([0, 1, 2, 3], dtype=np.int32))
        >>> square.holes
        0
    """

    def __init__(self) -> None:
        self.vertices, self.edges, self.holes = 0, 0, 0
        self._parents = np.empty(_LEAST_ROOM, dtype=np.int32)
        self._heads = np.empty(_LEAST_ROOM, dtype=np.int32)
        self._nexts = np.empty(2 * _LEAST_ROOM, dtype=np.int32)
        self._ends = np.empty(2 * _LEAST_ROOM, dtype=np.int32)
        self._notes: NDArray[np.uint64] = np.empty((_LEAST_ROOM, 1), dtype=np.uint64)
        self._in_use = np.zeros(_BITS, dtype=bool)

    def add(self, near: IntArray) -> None:
        """Add a vertex, numbered on from 0, linked with the vertices `near`."""
        self._make_room(len(near))
        lists = self._parents, self._heads, self._nexts, self._ends
        self._notes, self._in_use, change = _add(self.vertices, near, self.edges, *lists, self._notes, self._in_use)
        self.holes += int(change)
        self.vertices, self.edges = self.vertices + 1, self.edges + len(near)

    def _make_room(self, links: int) -> None:
        self._parents = _with_room(self._parents, self.vertices + 1)
        self._heads = _with_room(self._heads, self.vertices + 1)
        self._nexts = _with_room(self._nexts, 2 * (self.edges + links))
        self._ends = _with_room(self._ends, 2 * (self.edges + links))
        if self.edges + links > len(self._notes):
            longer = np.empty((2 * (self.edges + links), self._notes.shape[1]), dtype=np.uint64)
            longer[: self.edges] = self._notes[: self.edges]
            self._notes = longer


def _with_room(array: IntArray, room: int) -> IntArray:
    """The array, or a longer copy if it is too short."""
    return array if room <= len(array) else np.concatenate((array, np.empty(room, dtype=array.dtype)))
