"""Make kgrl/builtin/projection.safetensors: the principal components of topic embeddings of both corpora.

    KGRL_DATA=FOLDER python benchmarks/builtin_projection.py

A change of the file changes the meaning of observations: raise `FEATURE_VERSION` and train the built-in policy anew.
It takes seconds once both corpora are embedded.
"""

from __future__ import annotations

import numpy as np
from safetensors.numpy import save_file

from kgrl.builtin import FOLDER, PROJECTED, PROJECTION_FILE
from kgrl.data import load_corpus
from kgrl.retrieval import embed_corpus
from kgrl.retrieval.encoder import Encoder
from kgrl.system.files import replacing


def main() -> None:
    vectors = np.concatenate(
        [embed_corpus(load_corpus(name), Encoder("minilm"))[1] for name in ("vital", "wikispeedia")]
    )
    vectors = vectors[vectors.any(axis=1)].astype(np.float64)
    centre = vectors.mean(axis=0)
    variances, directions = np.linalg.eigh(np.cov(vectors - centre, rowvar=False))
    largest = np.argsort(-variances)[:PROJECTED]
    scale = 1.0 / np.sqrt(variances[largest].mean())  # entries of about one, and larger in the first components
    tensors = {"centre": centre.astype(np.float16), "components": (scale * directions[:, largest]).astype(np.float16)}
    with replacing(FOLDER / PROJECTION_FILE) as temporary:
        save_file(tensors, temporary)
    print(f"{variances[largest].sum() / variances.sum():.1%} of the variance of {len(vectors):,} embeddings")


if __name__ == "__main__":
    main()
