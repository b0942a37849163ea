"""Runs that are refused before they begin: the mistake is named, and no folder stays behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from kgrl.cli import main
from kgrl.corpus import Corpus
from kgrl.data.folder import save_folder

TINY = "scratch:width=16,heads=2"


@pytest.fixture
def there(tiny_corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a corpus folder `mine` in it."""
    monkeypatch.chdir(tmp_path)
    save_folder(tiny_corpus, tmp_path / "mine")
    (tmp_path / "empty").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (("--corpus", "gone"), "unknown corpus 'gone'"),
        (("--corpus", "empty"), "topics.jsonl"),
        (("--learner", "lora", "--model", "nowhere"), "unknown model 'nowhere'"),
        (("--learner", "full", "--model", "empty"), "empty holds no model that transformers can load"),
        (("--learner", "lorra"), "unknown learner 'lorra'; did you mean 'lora'?"),
        (("--learner", "scratch:wdith=16"), "did you mean 'width'?"),
        (("--learner", "scratch:width=17,heads=2"), "width must be a multiple of twice the heads, such as 16, not 17"),
        (("--learner", "scratch:width=16,heads=0"), "heads must be at least 1, not 0"),
        (("--learner", "simulated"), "no calibration of learner"),
        (("--nucleus", "Nowhere"), "unknown topic 'Nowhere'"),
        (("--goal", "Nowhere"), "unknown category 'Nowhere'"),
        (("--plugins", "replay:share=3"), "must be between 0 and 1, not 3"),
        (("--encoder", "nowhere"), "the sentence encoder 'nowhere' is not on this machine"),
        (("--fact-recall", "8"), "has no questions about facts"),
        (("--device", "cuda:63"), "unknown device 'cuda:63'. Known: auto"),
        (("--reward", "nothing"), "unknown reward 'nothing'"),
    ],
)
def test_a_refused_run_leaves_no_folder(
    wrong: tuple[str, ...], told: str, there: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "--corpus", "mine", "--learner", TINY, "--out", "made", *wrong]) == 2
    assert told in " ".join(capsys.readouterr().err.split())
    assert not (there / "made").exists()
    assert main(["run", "--corpus", "mine", "--learner", TINY, *wrong]) == 2
    assert not list(there.glob("runs/*"))


def test_a_folder_with_files_of_others_stays(there: Path) -> None:
    (there / "made").mkdir()
    (there / "made" / "notes.txt").write_text("mine")
    assert main(["run", "--corpus", "gone", "--out", "made"]) == 2
    assert (there / "made" / "notes.txt").read_text() == "mine"


def test_a_live_run_is_refused_before_it_asks_for_pages(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nowhere = ("--nucleus", "Set", "--url", "http://127.0.0.1:9/api.php", "--out", "made")
    assert main(["research", "run", *nowhere, "--learner", "lora:rang=4"]) == 2
    assert "did you mean 'rank'?" in " ".join(capsys.readouterr().err.split())
    assert not (there / "made").exists()
