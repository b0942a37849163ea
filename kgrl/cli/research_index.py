"""`kgrl research index` and `search`: an index over one's own passages, and what is in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional

from kgrl.cli.output import progress, show_facts, show_table

__all__ = ["IndexCommand", "SearchCommand"]

_SHOWN = 160


@dataclass(frozen=True)
class IndexCommand:
    """Index passages of JSON Lines (.jsonl, .gz, .zst), Parquet, folders of these, or datasets (hf:NAME:SPLIT).

    Each file is a shard of its own. What was embedded before is not embedded again, so a build that was interrupted
    goes on, and new files are added by naming them with the old ones.

    Args:
        sources: Files, folders or datasets.
        out: The index's folder.
        field: The name of the text in a record.
        encoder: A sentence encoder by Hugging Face name, or a folder; MiniLM by default.
        kind: The index; by default the one that suits a shard's size.
        executor: Where shards are built: serial, process or ray.
        workers: How many shards are built at a time; all processors by default.
        on_error: What to do about records that cannot be used.
        rebuild: Start over, whatever is there.
        json: File to write the figures to, as one JSON object.
    """

    sources: Annotated[tuple[str, ...], Positional]
    out: Path
    field: str = "text"
    encoder: str | None = None
    kind: Literal["flat", "hnsw", "ivfpq"] | None = None
    executor: Literal["serial", "process", "ray"] = "serial"
    workers: int | None = None
    on_error: Literal["fail", "skip"] = "fail"
    rebuild: bool = False
    json: Path | None = None

    def run(self) -> dict[str, Any]:
        """Build the index, print its figures and return them.

        Raises:
            KgrlError: If a source cannot be read, or a package is missing.
        """
        from kgrl.retrieval.encoder import Encoder
        from kgrl.retrieval.sharded import build_shards
        from kgrl.retrieval.sources import passage_sources
        from kgrl.system.executors import executors

        sources = passage_sources(self.sources, self.field, self.on_error)
        options = {} if self.executor == "serial" or self.workers is None else {"workers": self.workers}
        with progress("shards", total=len(sources)) as advance:
            passages = build_shards(
                sources,
                self.out,
                Encoder(self.encoder),
                self.kind,
                executor=executors.make(self.executor, **options),
                rebuild=self.rebuild,
                on_shard=lambda done: advance(done, ""),
            )
        show_facts(str(self.out), [("shards", len(sources)), ("passages", passages)])
        return {"folder": str(self.out), "shards": len(sources), "passages": passages}


@dataclass(frozen=True)
class SearchCommand:
    """Find passages of an index.

    Args:
        folder: The index's folder.
        query: What to look for.
        k: How many passages.
        encoder: The encoder that the index was built with; MiniLM by default.
        hybrid: Search by words as well, and fuse both rankings.
        json: File to write what is found to, as one JSON object.
    """

    folder: Annotated[Path, Positional]
    query: Annotated[str, Positional]
    k: int = 5
    encoder: str | None = None
    hybrid: bool = False
    json: Path | None = None

    def run(self) -> dict[str, Any]:
        """Search, print what is found and return it.

        Raises:
            KgrlError: If there is no index, or it was built with another encoder.
        """
        from kgrl.retrieval.encoder import Encoder
        from kgrl.retrieval.hybrid import Bm25Retriever, reciprocal_rank_fusion
        from kgrl.retrieval.sharded import ShardedRetriever

        encoder = Encoder(self.encoder)
        retriever = ShardedRetriever(self.folder, encoder.fingerprint)
        ids, scores = retriever.search(encoder.encode([self.query]), max(self.k, 50 if self.hybrid else 0))
        if self.hybrid:
            by_words = Bm25Retriever(retriever.texts()).search([self.query], 50)[0]
            ids, scores = reciprocal_rank_fusion([ids, by_words], self.k)
        rows = [(int(i), float(s)) for i, s in zip(ids[0][: self.k], scores[0], strict=False) if i >= 0]
        found = [{"passage": i, "score": score, "text": retriever.text(i)} for i, score in rows]
        show_table(self.query, ["passage", "score", "text"], [[i, s, retriever.text(i)[:_SHOWN]] for i, s in rows])
        return {"query": self.query, "found": found}
