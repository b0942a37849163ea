"""An arrival: a topic whose passages are ready to be trained on."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Arrival"]


@dataclass(frozen=True)
class Arrival:
    """One topic, fetched, cleaned, split, embedded. Arrivals are numbered from 0 in one order that never changes.

    Args:
        title: The topic's title.
        category: Its category, `""` if none.
        links: Titles it links to, whether they have arrived or not.
        aliases: Other titles that lead to it.
        texts: Its passages in text order; near-duplicates of other splits are gone.
        splits: Their `Split` values.
        vectors: Unit vectors of its first few train passages, in order, float32, shape `[embedded, dimensions]`.
        fetched: When the site gave it, seconds since 1970.

    Example:
        >>> arrival = Arrival("Logic", "", ("Reason",), (), ("Logic is …",), (0,), np.ones((1, 2), np.float32), 1.5)
        >>> Arrival.from_json(arrival.to_json()).vectors.tolist()
        [[1.0, 1.0]]
    """

    title: str
    category: str
    links: tuple[str, ...]
    aliases: tuple[str, ...]
    texts: tuple[str, ...]
    splits: tuple[int, ...]
    vectors: NDArray[np.float32]
    fetched: float

    def to_json(self) -> str:
        """Return one line of JSON; the vectors are in it bit for bit."""
        shape, data = self.vectors.shape, base64.b64encode(np.ascontiguousarray(self.vectors, "<f4").tobytes()).decode()
        return json.dumps({**vars(self), "vectors": {"shape": shape, "data": data}}, ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str) -> Arrival:
        """Read what `to_json` wrote."""
        values: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in json.loads(line).items()}
        packed = values["vectors"]
        values["vectors"] = np.frombuffer(base64.b64decode(packed["data"]), "<f4").reshape(packed["shape"])
        return cls(**values)
