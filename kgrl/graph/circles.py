"""Circles of directed links, which prerequisites must not have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

__all__ = ["circle_text", "circles"]

_MOST_NAMED = 12
"""Most titles of a circle that a message names."""


def circles(links: Iterable[tuple[int, int]]) -> Iterator[list[int]]:
    """Yield a circle for each link that closes one; without these links there are no circles.

    It takes time in proportion to the links and the lengths of the circles.

    Args:
        links: Source and target of each link.

    Yields:
        The topics of a circle in order; each leads to the next, and the last to the first.

    Example:
        >>> list(circles([(0, 1), (1, 2), (2, 0), (4, 4), (3, 0)]))
        [[0, 1, 2], [4]]
    """
    onward: dict[int, list[int]] = {}
    for source, target in sorted(set(links)):
        onward.setdefault(source, []).append(target)
    done = set[int]()
    for first in onward:
        if first in done:
            continue
        # Depth first, without recursion: a chain of prerequisites may be longer than Python's stack.
        path, place, left = [first], {first: 0}, [iter(onward[first])]
        while path:
            topic = next(left[-1], None)
            if topic is None:
                done.add(path[-1])
                del place[path.pop()]
                left.pop()
            elif topic in place:
                yield path[place[topic] :]
            elif topic not in done:
                place[topic] = len(path)
                path.append(topic)
                left.append(iter(onward.get(topic, ())))


def circle_text(titles: Sequence[str], circle: Sequence[int]) -> str:
    """Return a circle of prerequisites in words; the middle of a long one is left out.

    Args:
        titles: The title of each topic.
        circle: The topics of the circle, in order.

    Example:
        >>> circle_text(["Logic", "Set"], [0, 1])
        "'Logic' before 'Set' before 'Logic'"
    """
    named = [repr(titles[topic]) for topic in (*circle[:_MOST_NAMED], circle[0])]
    if len(circle) > _MOST_NAMED:
        named.insert(-1, f"… ({len(circle) - _MOST_NAMED:,} more)")
    return " before ".join(named)
