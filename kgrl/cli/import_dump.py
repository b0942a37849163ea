"""`kgrl data import-dump`: a MediaWiki dump as a corpus folder."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional

from kgrl.cli.output import progress, show_facts

__all__ = ["ImportDumpCommand"]


@dataclass(frozen=True)
class ImportDumpCommand:
    """Make a corpus folder of a MediaWiki XML dump: topic graph and passages.

    Redirects are folded into their targets; other namespaces and pages that only list others are left out. An import
    that was interrupted goes on where it stopped when it is started again.

    Args:
        dump: The dump: .xml, .xml.bz2, .xml.gz or .xml.xz, such as enwiki-latest-pages-articles.xml.bz2.
        out: The corpus's folder; missing or empty. `kgrl run --corpus` takes it.
        workers: Processes that parse, beside the one that reads.
        limit: Most articles to read; all by default.
        on_error: What to do about a dump that is cut off: fail, or skip what is missing.
        json: File to write the figures to, as one JSON object.
    """

    dump: Annotated[Path, Positional]
    out: Path
    workers: int = 2
    limit: int | None = None
    on_error: Literal["fail", "skip"] = "fail"
    json: Path | None = None

    def run(self) -> dict[str, Any]:
        """Import the dump, print what came of it and return that.

        Raises:
            KgrlError: If the dump is damaged, or the folder is in use.
        """
        from kgrl.data.wikimedia.dump import import_dump

        size = self.dump.stat().st_size if self.dump.is_file() else 0
        with progress(f"reading {self.dump.name}", total=size) as advance:
            done = import_dump(
                self.dump,
                self.out,
                workers=self.workers,
                limit=self.limit,
                on_error=self.on_error,
                on_read=advance,
            )
        figures = asdict(done)
        facts = [(name, value) for name, value in figures.items() if not isinstance(value, dict) and value != ""]
        facts += list(done.passages.items()) + [(f"left out: {reason}", n) for reason, n in done.left_out.items()]
        show_facts(str(self.out), facts)
        return {**figures, "folder": str(self.out)}
