"""Downloads that go on where they stopped and never leave half a file under its final name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pooch
import requests

from kgrl.errors import MissingDataError

__all__ = ["download"]

_CHUNK = 1 << 20
_TIMEOUT = 60


def download(url: str, folder: Path) -> Path:
    """Return the file that `url` names, downloaded to `folder` unless it is there.

    An interrupted download goes on where it stopped, where the server supports that.

    Raises:
        MissingDataError: If it cannot be downloaded; what arrived is kept for the next try.
    """
    name = url.rsplit("/", 1)[-1]
    try:
        # No checksum is published for what kgrl downloads; readers check the content.
        path = pooch.retrieve(
            url, known_hash=None, fname=name, path=folder, downloader=_Resuming(folder / f"{name}.part")
        )
    except requests.RequestException as error:
        raise MissingDataError(f"{url} could not be downloaded ({error}); place the file in {folder}") from error
    return Path(path)


class _Resuming:
    """Fetches to a partial file that outlives an interruption; pooch then moves the whole one into place."""

    def __init__(self, partial: Path) -> None:
        self.partial = partial

    def __call__(self, url: str, output_file: str, pooch_: Any) -> None:
        have = self.partial.stat().st_size if self.partial.exists() else 0
        headers = {"Range": f"bytes={have}-"} if have else {}
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
            if response.status_code != requests.codes.requested_range_not_satisfiable:  # then all of it is here
                response.raise_for_status()
                goes_on = response.status_code == requests.codes.partial_content
                with self.partial.open("ab" if goes_on else "wb") as file:
                    for chunk in response.iter_content(_CHUNK):
                        file.write(chunk)
        self.partial.replace(output_file)
