"""Arrays in files, read without trust: what is in a file, and what it claims to hold, may be anything."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import DTypeLike, NDArray

from kgrl.errors import DataError

__all__ = ["mapped_array", "read_array"]


def mapped_array(path: Path, way_out: str = "") -> NDArray[Any]:
    """Map an array of a `.npy` file into memory, read-only.

    Nothing is taken into memory before the file's length is known to fit, so a header that claims too much is refused.

    Args:
        path: The file.
        way_out: What to do about a file that cannot be used; the end of the message.

    Raises:
        DataError: If the file is missing, or is no whole array.
    """
    end = f"; {way_out}" if way_out else ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a header that only Python 2 can have written
            found = open_memmap(path, mode="r")  # which reads no pickle and no archive
    except FileNotFoundError as error:
        raise DataError(path, None, f"no such file{end}") from error
    # NumPy parses the header as Python: a damaged one raises whatever Python's parser does.
    except Exception as error:
        raise DataError(path, None, f"not a whole array ({' '.join(str(error).split())[:200]}){end}") from error
    # As a plain array: slices of np.memmap take several times as long to make.
    return np.asarray(found)


def read_array(path: Path, dtype: DTypeLike, *shape: int | None, way_out: str = "") -> NDArray[Any]:
    """Map an array of a known type and shape into memory, read-only.

    Args:
        path: The file.
        dtype: The type that its numbers must have.
        shape: The length of each dimension; None where any is right.
        way_out: What to do about a file that cannot be used; the end of the message.

    Raises:
        DataError: If the file is missing, is no whole array, or has another type or shape.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "a.npy"
        >>> np.save(path, np.arange(3))
        >>> read_array(path, np.int64, None).tolist()
        [0, 1, 2]
    """
    found = mapped_array(path, way_out)
    fits = len(shape) == found.ndim and all(n in (None, own) for n, own in zip(shape, found.shape, strict=True))
    if found.dtype != np.dtype(dtype) or not fits:
        wanted = " x ".join("any" if n is None else str(n) for n in shape)
        has = " x ".join(map(str, found.shape))
        end = f"; {way_out}" if way_out else ""
        raise DataError(path, None, f"holds {found.dtype} [{has}] in place of {np.dtype(dtype)} [{wanted}]{end}")
    return found
