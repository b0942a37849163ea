"""Measure how long a run waits for a transformer's vectors, what it needs them for, and what bfloat16 would change.

    git worktree add /tmp/before 15e43e9
    PYTHONPATH=. OMP_NUM_THREADS=1 python benchmarks/encoding.py --before /tmp/before --json docs/results/encoding.json

`start` is `kgrl run --corpus vital --encoder minilm` (scratch learner, 2,000 tokens) until the first expansion after
the nucleus is recorded, and its processor seconds, with a cache that has all but the vectors. The code before and this
one take turns. `needs` are runs of two agents that read no embeddings, with the simulated learner: how
many of their expansions read passages of topics outside the neighbourhood, which only a search of all vectors finds.
`bfloat16` is the same encoding in that format: processor seconds, cosines with float32's vectors, and the share of
topics with other passages among those that research finds for them. It takes a quarter of an hour of one core.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from kgrl.agents import make_agent
from kgrl.corpus import Corpus
from kgrl.curriculum import Curriculum, CurriculumConfig
from kgrl.data import load_corpus
from kgrl.retrieval import FaissRetriever, indexed_passages, transformer_encoder
from kgrl.retrieval.corpus_index import topic_embeddings
from kgrl.retrieval.encoder import Encoder

ROOT = Path(__file__).resolve().parent.parent
RUN = ("run", "--corpus", "vital", "--learner", "scratch", "--budget-tokens", "2000")
AGENTS = ("closure", "random")
WANTED = CurriculumConfig().neighbourhood
VECTORS = ("embeddings", "research")
"""Folders of the cache that depend on the encoder."""


def started(code: Path, cache: Path, encoder: str) -> dict[str, float]:
    """Carry out a run; return the seconds to its first expansion, and the processor's."""
    environment = {**os.environ, "PYTHONPATH": str(code), "KGRL_CACHE": str(cache), "NUMBA_CACHE_DIR": f"{cache}-numba"}
    with tempfile.TemporaryDirectory() as folder:
        out, began = Path(folder) / "run", time.perf_counter()
        command = [sys.executable, "-m", "kgrl", *RUN, "--encoder", encoder, "--out", str(out)]
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=subprocess.DEVNULL)
        record = out / "curriculum.jsonl"
        while not record.exists() or record.read_bytes().count(b"\n") < 2:
            if os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                break
            time.sleep(0.01)
        seconds = time.perf_counter() - began
        _, status, used = os.wait4(process.pid, 0)
        if status:
            raise RuntimeError(f"the run of {code} ended with {status}")
    return {"seconds": round(seconds, 1), "processor_seconds": round(used.ru_utime + used.ru_stime, 1)}


def starts(codes: dict[str, Path], work: Path, turns: int) -> dict[str, list[dict[str, float]]]:
    """Start with both codes in turns, each time without vectors."""
    for name, code in codes.items():  # fills the caches with all that is not measured
        started(code, work / name, "static")
    found: dict[str, list[dict[str, float]]] = {name: [] for name in codes}
    for _ in range(turns):
        for name, code in codes.items():
            for part in VECTORS:
                shutil.rmtree(work / name / part)
            found[name].append(started(code, work / name, "minilm"))
            print(name, found[name][-1], flush=True)
    return found


def needs(corpus: Corpus, agent: str) -> dict[str, int]:
    """Count the expansions that read what only a search of all vectors finds, and the passages of that kind."""
    curriculum = Curriculum.make(corpus, "simulated", encoder=Encoder("minilm"))
    expansions = list(curriculum.run(make_agent(agent)))
    outside = [sum(corpus.topics[p] not in e.neighbourhood for p in e.passages) for e in expansions]
    return {
        "expansions": len(expansions),
        "that_need_all_vectors": sum(count > 0 for count in outside),
        "passages": sum(len(e.passages) for e in expansions),
        "passages_of_other_topics": sum(outside),
    }


def in_bfloat16(corpus: Corpus) -> dict[str, float]:
    """Encode in bfloat16 and compare with float32's vectors."""
    ids = indexed_passages(corpus)
    texts = [corpus.texts[i] for i in ids]
    exact = np.asarray(Encoder("minilm").encode_cached(texts))
    transformer_encoder._DTYPE = "bfloat16"
    encoder = Encoder("minilm")
    encoder.encode(texts[:1])  # loads the model
    began = time.process_time()
    vectors = encoder.encode(texts)
    seconds, cosines = time.process_time() - began, np.einsum("td,td->t", exact, vectors)
    own, theirs = (_found(corpus, ids, rows) for rows in (exact, vectors))
    return {
        "processor_seconds": round(seconds, 1),
        "least_cosine": round(float(cosines.min()), 5),
        "mean_cosine": round(float(cosines.mean()), 6),
        "topics_with_other_passages": round(
            float(np.mean([set(a) != set(b) for a, b in zip(own, theirs, strict=True)])), 3
        ),
        "topics_with_another_order": round(float((own != theirs).any(axis=1).mean()), 3),
    }


def _found(corpus: Corpus, ids: np.ndarray[Any, Any], vectors: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    embeddings = topic_embeddings(corpus.topics[ids], vectors, len(corpus.graph))
    return FaissRetriever(ids, vectors).search(embeddings, WANTED)[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, help="a checkout of the code to compare with; none by default")
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    codes = {"before": arguments.before.resolve()} if arguments.before else {}
    with tempfile.TemporaryDirectory() as work:
        result: dict[str, Any] = {"start": starts({**codes, "after": ROOT}, Path(work), arguments.turns)}
        os.environ["KGRL_CACHE"] = f"{work}/after"
        corpus = load_corpus("vital")
        result["needs"] = {agent: needs(corpus, agent) for agent in AGENTS}
        result["bfloat16"] = in_bfloat16(corpus)
    print(json.dumps(result, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
