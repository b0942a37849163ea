"""What `run`, `train` and `quickstart` have in common: the arguments that describe a curriculum, and making it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kgrl.corpus import Corpus
    from kgrl.curriculum import Curriculum, CurriculumConfig

__all__ = ["Setting"]


@dataclass(frozen=True)
class Setting:
    """A curriculum, described by plain values.

    Args:
        corpus: The corpus: a name such as vital or wikispeedia, or a folder.
        root: Folder of the corpus's source files, for corpora that are read from some.
        learner: The learner: lora or scratch.
        model: For lora: smollm2, a Hugging Face causal model by name, or a folder.
        reward: The reward: a name, as `kgrl info` lists them, your own as FILE.py:NAME, or an expression of these, such
            as "0.7*mean-prediction-gain + 0.3*clip(information-gap, -1, 1) - 1e-4*token-cost".
        goal: A category to learn about, as `kgrl graph` lists them; all topics if none.
        nucleus: pagerank, k-core, or titles.
        nucleus_size: Topics of a nucleus chosen by score.
        budget_tokens: Tokens to train on altogether, the nucleus included.
        expansion_tokens: Most tokens of one expansion.
        neighbourhood: Most topics of one expansion.
        probe_topics: Topics of each probe sample, one passage each.
        seed: Seeds the learner, the probe samples and the agent's draws.
        plugins: What plugs into the learner, by name, with options where wanted: replay top-k:share=0.05.
    """

    corpus: str = "vital"
    root: Path | None = None
    learner: str = "lora"
    model: str = "smollm2"
    reward: str = "mean-prediction-gain"
    goal: str | None = None
    nucleus: tuple[str, ...] = ("pagerank",)
    nucleus_size: int = 8
    budget_tokens: int = 20_000
    expansion_tokens: int = 1_000
    neighbourhood: int = 8
    probe_topics: int = 24
    seed: int = 0
    plugins: tuple[str, ...] = ()

    def setting(self) -> dict[str, Any]:
        """Return the values of this class's fields, ready for YAML; a subclass's own fields are left out."""
        values = {name: value for name, value in asdict(self).items() if name in {f.name for f in fields(Setting)}}
        return {n: str(v) if isinstance(v, Path) else list(v) if isinstance(v, tuple) else v for n, v in values.items()}

    def curriculum_config(self) -> CurriculumConfig:
        """Return the part that a curriculum is configured with."""
        from kgrl.curriculum import CurriculumConfig
        from kgrl.nucleus import NUCLEUS_METHODS

        by_score = len(self.nucleus) == 1 and self.nucleus[0] in NUCLEUS_METHODS
        names = {f.name for f in fields(CurriculumConfig)}
        values = {f.name: getattr(self, f.name) for f in fields(Setting) if f.name in names}
        return CurriculumConfig(**{**values, "nucleus": self.nucleus[0] if by_score else self.nucleus})

    def load_corpus(self) -> Corpus:
        """Load the corpus."""
        from kgrl.data import load_corpus

        return load_corpus(self.corpus, root=self.root)

    def make_curriculum(self, corpus: Corpus) -> Curriculum:
        """Make the curriculum on a loaded corpus.

        Raises:
            KgrlError: If a name is not known, or the values do not fit together.
        """
        from kgrl.curriculum import Curriculum
        from kgrl.learners.plugins import make_plugin

        options: dict[str, Any] = {"model": self.model} if self.learner == "lora" else {}
        if self.plugins:  # learners of other packages may not know any
            options["plugins"] = [make_plugin(spec) for spec in self.plugins]
        return Curriculum.make(corpus, self.learner, self.reward, self.curriculum_config(), **options)
