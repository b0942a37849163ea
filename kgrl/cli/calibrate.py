"""`kgrl calibrate`: fit the simulated learner to recorded runs of a real one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import arg

from kgrl.cli.arguments import JsonFile, default_is
from kgrl.cli.output import progress, show_facts, show_table
from kgrl.errors import KgrlError

if TYPE_CHECKING:
    from kgrl.corpus import Corpus
    from kgrl.learners.simulated.calibration import Calibration, Errors
    from kgrl.learners.simulated.courses import Course

__all__ = ["CalibrateCommand"]

_SHARED = ("corpus", "root", "learner", "plugins")
"""Entries of a run's configuration that must be the same in all runs of a calibration; with LoRA the model too."""


@dataclass(frozen=True, kw_only=True)
class CalibrateCommand:
    """Fit the simulated learner to recorded runs of a real learner, and report how well it predicts them.

    Args:
        runs: Folders of runs, all on one corpus and with one kind of learner; seeds and agents may differ.
        out: File for the calibration, JSON.
        transfers: Folders of transfer estimates of the same learner before training: the effect of one topic, learned
            on a fork, on other topics.
        members: Fits in the ensemble, each to another bootstrap sample of the expansions.
        held_out: Share of expansions, from 0 to 1, that each fit leaves out to measure its errors.
        corpus: Name or folder of the runs' corpus, if it is not where they say.
        root: Folder of its source files, if they are not where the runs say.
        encoder: Sentence encoder: static (ships with kgrl), minilm, or another by its Hugging Face name or folder.
        seed: Random seed of the held-out expansions and the bootstrap.
        json: File for the figures, as one JSON object.
    """

    runs: Annotated[tuple[Path, ...], arg(metavar="RUN [RUN ...]")]
    out: Path
    transfers: Annotated[tuple[Path, ...], default_is("none", "FOLDER [FOLDER ...]")] = ()
    members: int = 8
    held_out: float = 0.2
    corpus: Annotated[str | None, default_is("as the runs say")] = None
    root: Annotated[Path | None, default_is("as the runs say", "FOLDER")] = None
    encoder: str = "static"
    seed: int = 0
    json: JsonFile = None

    def run(self) -> dict[str, Any]:
        """Read the records, fit, write the calibration, print and return its figures.

        Raises:
            KgrlError: If folders hold no records, records do not fit together, or there are too few of them.
        """
        from kgrl.cli.recorded import corpus_of_run
        from kgrl.learners.simulated.fit import fit_calibration, fits_needed

        setting = _setting(self.runs, moved=self.corpus is not None)
        # Each run is asked, since each knows the corpus that it learned from; one that is open is not loaded again.
        corpus, *_ = [corpus_of_run(folder, self.corpus, self.root) for folder in self.runs]
        courses, rate = self._courses(corpus)
        with progress("calibrate", total=fits_needed(self.members, self.held_out)) as advance:
            calibration = fit_calibration(
                corpus,
                courses,
                learner=_learner(setting),
                tokens_per_word=rate,
                members=self.members,
                held_out=self.held_out,
                encoder=self.encoder,
                seed=self.seed,
                on_fit=advance,
            )
        calibration.write(self.out)
        _show(calibration, self.out)
        return {**asdict(calibration), "out": str(self.out)}

    def _courses(self, corpus: Corpus) -> tuple[list[Course], float]:
        """Return the records of all folders, and the learner's tokens per word."""
        from kgrl.learners.simulated.courses import course_of_run, course_of_transfer, read_run, tokens_per_word

        recorded = {folder: read_run(folder, corpus) for folder in self.runs}
        # The simulated learner has no tokenizer: it counts words, times this rate.
        rate = tokens_per_word(corpus, list(recorded.values()))
        courses = [course_of_run(corpus, str(folder), expansions, rate) for folder, expansions in recorded.items()]
        return courses + [course_of_transfer(corpus, folder, rate) for folder in self.transfers], rate


def _setting(runs: Sequence[Path], moved: bool) -> dict[str, Any]:
    """Return the configuration that runs share.

    Args:
        runs: Folders of the runs.
        moved: Whether the corpus is at another place than the runs say, so that their places need not agree.

    Raises:
        KgrlError: If two of them differ in an entry that learning curves depend on.
    """
    from kgrl.runs.run import Run

    configs = {folder: Run.read_config(folder) for folder in runs}
    first, shared = next(iter(configs)), next(iter(configs.values()))
    # Other learners ignore --model, so that it may differ between their runs.
    names = (*_SHARED, "model") if _is_pretrained(shared.get("learner")) else _SHARED
    for folder, config in configs.items():
        for name in names:
            if not _agree(name, config, shared, moved):
                has = f"{name} {config.get(name)!r}, {first} has {shared.get(name)!r}"
                raise KgrlError(f"{folder} has {has}; a calibration is of one corpus and one kind of learner")
    return shared


def _agree(name: str, one: Mapping[str, Any], other: Mapping[str, Any], moved: bool) -> bool:
    """Return whether two configurations have the same value, or name the same corpus by whatever place."""
    from kgrl.cli.recorded import FINGERPRINT

    known = one.get(FINGERPRINT), other.get(FINGERPRINT)
    if name in ("corpus", "root") and all(known):
        return known[0] == known[1]
    return (moved and name in ("corpus", "root")) or one.get(name) == other.get(name)


def _is_pretrained(learner: str | None) -> bool:
    """Tell learners whose model is chosen by --model."""
    from kgrl.learners.make import PRETRAINED

    return str(learner).partition(":")[0] in PRETRAINED


def _learner(setting: Mapping[str, Any]) -> str:
    """Return the name of a kind of learner, as a calibration records it."""
    named = [setting["learner"], *([setting["model"]] if _is_pretrained(setting["learner"]) else [])]
    return " ".join(map(str, [*named, *setting.get("plugins", ())]))


def _show(calibration: Calibration, out: Path) -> None:
    fitted = calibration.fitted
    counts = f"{fitted.expansions} expansions of {fitted.runs} runs, {fitted.forks} forks, {fitted.changes} changes"
    show_facts(f"{calibration.learner} on {calibration.corpus}", [("fitted to", counts), ("written", out)])
    _show_errors(calibration.errors)
    _show_parameters(calibration)


def _show_errors(errors: Errors) -> None:
    # Beside the fit stand simpler predictions: a fit that does not beat them has learned nothing about topics.
    title, columns = "Held-out error of predicted loss changes", ["predicting", "nats per token"]
    names = {"calibration": "fit", "style only": "style_only", "mean change": "mean_change", "no change": "no_change"}
    show_table(title, columns, [(said, f"{getattr(errors, name):.4f}") for said, name in names.items()])
    ranks = {
        "mean drop over expansions": errors.rank_expansions,
        "mean drop over forks": errors.rank_candidates,
        "drops within a fork": errors.rank_within,
    }
    rows = [(said, "-" if rank is None else f"{rank:.2f}") for said, rank in ranks.items()]
    show_table("Held-out rank correlation of predicted and measured", ["of", "Spearman"], rows)


def _show_parameters(calibration: Calibration) -> None:
    members = [asdict(member) for member in calibration.members]
    rows = []
    for name, value in asdict(calibration.parameters).items():
        values = [member[name] for member in members]
        rows.append((name, *(f"{number:.4g}" for number in (value, min(values), max(values)))))
    show_table("Parameters", ["name", "fitted", "least in the ensemble", "most"], rows)
