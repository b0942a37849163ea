"""The static encoder: vectors that stand for MiniLM's, of any text, in no time and without torch."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kgrl.builtin import FOLDER
from kgrl.retrieval.encoder import Encoder
from kgrl.retrieval.static_encoder import StaticModel, pack_vectors, unpack_vectors

TEXTS = [
    "Mont Blanc is the highest mountain of the Alps.",
    "A summit in the Himalayas that climbers reached in 1953.",
    "Inflation rose in the third quarter.",
    "La inflación subió en el tercer trimestre.",
    "数学は数・量・図形を研究する学問である。",
    "",
    " \n",
    "\ud800 a lone surrogate",
]


def test_vectors_are_unit_and_do_not_depend_on_the_batch() -> None:
    vectors = Encoder().encode(TEXTS)
    assert vectors.shape == (len(TEXTS), 384) and vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    alone = np.concatenate([Encoder().encode([text]) for text in TEXTS])
    np.testing.assert_allclose(alone, vectors, atol=1e-5)


def test_what_is_alike_has_vectors_that_are_alike() -> None:
    mountain, summit, inflation, *_ = Encoder().encode(TEXTS)
    assert mountain @ summit > 0.3 > mountain @ inflation


def test_it_is_the_default_and_its_name_wins_over_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "static").mkdir()
    monkeypatch.chdir(tmp_path)
    assert Encoder("static").fingerprint == Encoder().fingerprint == StaticModel(64).fingerprint


def test_only_so_many_tokens_are_read() -> None:
    long = " ".join(["cat"] * 64 + ["inflation"] * 64)
    few, many = Encoder(max_tokens=64), Encoder(max_tokens=128)
    assert np.array_equal(few.encode([long])[0], few.encode([" ".join(["cat"] * 64)])[0])
    assert few.encode([long])[0] @ many.encode([long])[0] < 0.99
    assert few.fingerprint != many.fingerprint


def test_hostile_texts_take_no_time() -> None:
    texts = ["a" * 10_000_000, "é\u0301" * 1_000_000, "a b" * 1_000_000]
    Encoder().encode(texts[:1])
    began = time.process_time()
    Encoder().encode(texts)
    assert time.process_time() - began < 1


def test_it_needs_no_torch() -> None:
    code = (
        "import sys; from kgrl.retrieval.encoder import Encoder; Encoder().encode(['a']); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@given(arrays(np.float32, (5, 6), elements=st.floats(-100, 100, width=32)))
def test_packed_vectors_are_as_exact_as_four_bits_can_be(table: np.ndarray) -> None:
    largest = np.abs(table).max(axis=1, keepdims=True)
    assert (np.abs(unpack_vectors(*pack_vectors(table)) - table) <= largest / 7 * 0.51 + 1e-3).all()


def test_the_files_are_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.glob("encoder*")) < 5.5e6


@pytest.mark.integration
def test_its_vectors_stand_for_minilms() -> None:
    texts = [
        "Mount Everest is the highest mountain above sea level, in the Himalayas, on the border of Nepal and China.",
        "Photosynthesis is the process by which plants turn light into chemical energy.",
        "The French Revolution began in 1789 and ended with the rise of Napoleon.",
    ]
    cosines = Encoder().encode(texts) @ Encoder("minilm").encode(texts).T
    assert (np.diag(cosines) > 0.6).all()
    assert (cosines.argmax(axis=1) == np.arange(3)).all()
