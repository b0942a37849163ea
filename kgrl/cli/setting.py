"""Settings of a curriculum: arguments of `run` and `research run`, and the objects made of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from kgrl.cli.arguments import MOST_COUNT, MOST_SEED, MOST_TOKENS, NAME_OR_TITLES, check_range, default_is
from kgrl.curriculum.config import DEFAULT_REWARD, LEAST_TOKENS, CurriculumConfig
from kgrl.errors import SettingError
from kgrl.system.devices import CPU
from kgrl.system.files import absolute

if TYPE_CHECKING:
    from kgrl.benchmark.tasks import Task
    from kgrl.corpus import Corpus
    from kgrl.curriculum.loop import Curriculum
    from kgrl.exam import Exam
    from kgrl.learners.base import Learner

__all__ = ["NO_REWARD", "Setting", "as_nucleus"]

NO_REWARD = "none"
"""The word that stands for no reward on the command line and in `config.yaml`."""
_DEFAULT_CORPUS = "vital"
_FIRST_TITLES = 8
"""Titles that are shown of a goal or a nucleus that was given as a file or a sentence."""
_USUAL = CurriculumConfig(probe_topics=20, light_probes=True)
"""The configuration without a task: 20 topics of a light sample read two thirds of the tokens of 24 drawn
alike, and are as precise. Tasks keep the samples that their published results have."""


def _or_the_tasks(default: object, metavar: str | None = None) -> Any:
    """Return the annotation of an argument that a task sets."""
    return default_is(f"{default}, or the task's", metavar)


_Count = int | None


@dataclass(frozen=True)
class Setting:
    """A curriculum, described by plain values. An argument that is left out has the task's value, if there is a task.

    Args:
        task: Task: sets corpus, nucleus, goal, budgets, reward and exam. `kgrl info` lists tasks.
        corpus: Corpus: a name that `kgrl info` lists, an invented world such as invented:2000 (2,000 topics), or a
            folder.
        root: Folder of the source files of a corpus that kgrl does not bring or download.
        learner: Learner: lora (a pretrained model with a LoRA adapter), scratch (a small transformer with random
            weights) or another that `kgrl info` lists. Options may follow, as in
            scratch:preset=2m,learning_rate=0.0015,schedule=wsd: learning_rate; schedule (constant; wsd, which falls to
            zero over the last fifth of the budget; cosine); average_tokens (weights averaged over so many tokens, to
            measure with); linked_windows=true (passages of linked topics in one lesson see each other); of lora rank,
            alpha, target_modules, dora, rslora and others. full trains all weights of a pretrained model. accelerate
            does the same, or with rank=16 trains an adapter, on the processes that `accelerate launch` starts.
        model: Model of the learners lora, full and accelerate: smollm2 (SmolLM2-135M), a Hugging Face causal model, or
            a folder.
        reward: Reward: a name that `kgrl info` lists, a function of yours as FILE.py:NAME, or an expression of these,
            such as "0.7*mean-prediction-gain + 0.3*clip(information-gap, -1, 1) - 1e-4*token-cost"; or none, and then
            nothing is probed.
        goal: Topics to learn about: a category (`kgrl graph` lists a corpus's), titles, file:PATH with a title on each
            line, or "about:SENTENCE" for the topics whose text is most similar. A task has its own.
        nucleus: Topics to start from: pagerank or k-core chooses them by that score, "about:SENTENCE" by similarity; or
            titles, or file:PATH with a title on each line. A task has its own.
        nucleus_size: Topics of a nucleus chosen by score.
        budget_tokens: Tokens to train on in total, the nucleus included.
        expansion_tokens: Most tokens of one expansion.
        neighbourhood: Most topics of one expansion.
        probe_topics: Topics of each probe sample, one passage each.
        mastery: When a topic counts as known and its neighbours can be picked: read, once it was read; gap or
            gap:LEVEL, once its loss is so much below that of topics not read yet, in nats per token; recall or
            recall:LEVEL, once that share of the links that its probe passage states is known.
        most_readings: How often a passage may be read; 0 for any number of times.
        review: Share of a lesson's tokens for topics that were read before, longest ago first.
        light_probes: Draw topics with short probe passages more often, with less weight: as precise for fewer tokens.
        seed: Random seed of the learner, the probe samples and the agent.
        encoder: Sentence encoder: static (ships with kgrl), minilm, or another by its Hugging Face name or folder.
        device: Device that learner and encoder compute on: cpu, cuda, cuda:1, mps, or auto for the fastest that is
            there. The learner accelerate computes where Accelerate is configured to.
        plugins: Plug-ins of the learner, with options after a colon, such as replay top-k:share=0.05. `kgrl info` lists
            plug-ins.
    """

    task: str | None = None
    corpus: Annotated[str | None, _or_the_tasks(_DEFAULT_CORPUS)] = None
    root: Annotated[Path | None, default_is("none", "FOLDER")] = None
    learner: str = "lora"
    model: str = "smollm2"
    reward: Annotated[str | None, _or_the_tasks(f"{DEFAULT_REWARD} for agents that read it")] = None
    goal: Annotated[str | tuple[str, ...] | None, NAME_OR_TITLES, default_is("all topics, or the task's")] = None
    nucleus: Annotated[tuple[str, ...], _or_the_tasks(CurriculumConfig.nucleus)] = ()
    nucleus_size: Annotated[_Count, _or_the_tasks(CurriculumConfig.nucleus_size)] = None
    budget_tokens: Annotated[_Count, _or_the_tasks(CurriculumConfig.budget_tokens)] = None
    expansion_tokens: Annotated[_Count, _or_the_tasks(CurriculumConfig.expansion_tokens)] = None
    neighbourhood: Annotated[_Count, _or_the_tasks(CurriculumConfig.neighbourhood)] = None
    mastery: Annotated[str | None, _or_the_tasks(CurriculumConfig.mastery)] = None
    most_readings: Annotated[_Count, _or_the_tasks(CurriculumConfig.most_readings)] = None
    review: Annotated[float | None, _or_the_tasks(CurriculumConfig.review)] = None
    probe_topics: Annotated[_Count, _or_the_tasks(_USUAL.probe_topics)] = None
    light_probes: Annotated[bool | None, default_is("True, or as the task has it")] = None
    seed: int = 0
    encoder: str = "static"
    device: Annotated[str | None, default_is("cpu")] = None
    plugins: tuple[str, ...] = ()

    def setting(self) -> dict[str, Any]:
        """Return the values of this class's fields, ready for YAML, without those that a subclass adds.

        Arguments that were left out have the values that are used in their stead.
        """
        # What was used, not what was typed: a run can then be repeated by versions with other defaults.
        used = {**asdict(self.curriculum_config()), "corpus": self.corpus_name, "reward": self.reward_name or NO_REWARD}
        used["device"] = self.found_device
        values = {f.name: used.get(f.name, getattr(self, f.name)) for f in fields(Setting)}
        values["nucleus"] = (used["nucleus"],) if isinstance(used["nucleus"], str) else used["nucleus"]
        if values["device"] == CPU:  # as in runs of versions that had no devices, which are resumed
            del values["device"]
        return {n: str(v) if isinstance(v, Path) else list(v) if isinstance(v, tuple) else v for n, v in values.items()}

    def placed(self) -> Self:
        """Return the setting with absolute paths, so that it means the same in every working folder."""
        from kgrl.data.load import absolute_corpus
        from kgrl.learners.decoder.models import absolute_model
        from kgrl.retrieval.encoder import absolute_encoder
        from kgrl.rewards.expression import absolute_files

        return replace(
            self,
            corpus=self.corpus and absolute_corpus(self.corpus),
            root=self.root and Path(absolute(self.root)),
            model=absolute_model(self.model),
            encoder=absolute_encoder(self.encoder),
            reward=self.reward and absolute_files(self.reward),
        )

    @cached_property
    def made_task(self) -> Task | None:
        """The task, made once."""
        if self.task is None:
            return None
        from kgrl.benchmark.tasks import make_task

        return make_task(self.task, self.corpus, root=self.root)

    def check_task(self) -> None:
        """Refuse a goal or a nucleus beside a task.

        Raises:
            SettingError: If there is a task, and a goal or a nucleus beside it.
        """
        if self.task is not None and (self.goal is not None or self.nucleus):
            raise SettingError(f"the task {self.task!r} has its own goal and nucleus; leave --goal and --nucleus out")

    def check_numbers(self) -> None:
        """Refuse numbers that are out of range.

        Raises:
            SettingError: If one is.
        """
        check_range(
            ("--seed", self.seed, 0, MOST_SEED),
            ("--nucleus-size", self.nucleus_size, 1, MOST_COUNT),
            ("--budget-tokens", self.budget_tokens, LEAST_TOKENS, MOST_TOKENS),
            ("--expansion-tokens", self.expansion_tokens, LEAST_TOKENS, MOST_COUNT),
            ("--neighbourhood", self.neighbourhood, 1, MOST_COUNT),
            ("--probe-topics", self.probe_topics, 1, MOST_COUNT),
            ("--most-readings", self.most_readings, 0, MOST_COUNT),
            ("--review", self.review, 0, 1),
        )

    @property
    def corpus_name(self) -> str:
        """The corpus, by a name that `kgrl.data.load_corpus` knows."""
        if self.task is None:
            return self.corpus or _DEFAULT_CORPUS
        from kgrl.benchmark.tasks import corpus_of_task

        return corpus_of_task(self.task, self.corpus)

    @property
    def reward_name(self) -> str | None:
        """The reward, by name or as an expression; None for a curriculum without one."""
        named = self.reward or (self.usual_reward if self.made_task is None else self.made_task.reward)
        return None if named == NO_REWARD else named

    @property
    def usual_reward(self) -> str:
        """The reward where neither the user nor a task names one."""
        return DEFAULT_REWARD

    @property
    def placed_encoder(self) -> str:
        """The encoder's name, with the device that it computes on."""
        from kgrl.retrieval.encoder import on_device

        return on_device(self.encoder, self.found_device)

    @property
    def found_device(self) -> str:
        """The device by torch's name.

        Raises:
            UnknownNameError: If this machine does not have it; the message lists those that it has.
        """
        if self.device in (None, CPU):  # torch takes seconds to import
            return CPU
        from kgrl.system.devices import find_device

        return str(find_device(self.device))

    def curriculum_config(self) -> CurriculumConfig:
        """Return the configuration of the curriculum: the given values over the task's or the usual ones.

        Its goal and nucleus have titles where a file or a sentence was given.
        """
        return self._config

    def named_topics(self) -> list[tuple[str, str]]:
        """Return the topics that goal and nucleus stand for, a line each, if they are a file or a sentence."""
        from kgrl.curriculum.named_topics import is_named

        config = self.curriculum_config()
        given = {"goal": (self.goal, config.goal), "nucleus": (as_nucleus(self.nucleus), config.nucleus)}
        return [(name, _listing(typed, titles)) for name, (typed, titles) in given.items() if is_named(typed)]

    @cached_property
    def _config(self) -> CurriculumConfig:
        # Arguments that were left out are None or empty, and keep the usual values.
        usual = _USUAL if self.made_task is None else self.made_task.config
        given = {f.name: getattr(self, f.name, None) for f in fields(CurriculumConfig)}
        given["nucleus"] = as_nucleus(self.nucleus)
        return self._titled(replace(usual, **{name: value for name, value in given.items() if value not in (None, ())}))

    def _titled(self, config: CurriculumConfig) -> CurriculumConfig:
        """Return a configuration with titles in the place of files and sentences."""
        from kgrl.curriculum.named_topics import is_named, with_titles

        # A category is looked for among titles, too, if there is none of that name.
        if not is_named(config.nucleus) and not isinstance(config.goal, str):
            return config
        return with_titles(config, self.load_corpus(), self.placed_encoder)

    def load_corpus(self) -> Corpus:
        """Load the corpus."""
        if self.made_task is not None:
            return self.made_task.corpus
        from kgrl.data.load import load_corpus

        return load_corpus(self.corpus_name, root=self.root)

    def make_curriculum(self, corpus: Corpus, learner: Learner | None = None) -> Curriculum:
        """Make the curriculum on a loaded corpus.

        Args:
            corpus: The corpus.
            learner: The learner; made for the corpus if None.

        Raises:
            KgrlError: If a name is not known, or the values do not fit together.
        """
        from kgrl.curriculum.loop import Curriculum

        learner, config = learner or self.make_learner(corpus), self.curriculum_config()
        return Curriculum.make(corpus, learner, self.reward_name, config, encoder=self.placed_encoder)

    def make_learner(self, corpus: Corpus) -> Learner:
        """Make the learner for a corpus.

        Raises:
            KgrlError: If its name or its model's is not known.
        """
        from kgrl.learners.accelerated.processes import refuse_launched
        from kgrl.learners.make import PRETRAINED, SIMULATED, make_learner
        from kgrl.learners.plugins import make_plugin
        from kgrl.system.options import split_options

        kind = split_options(self.learner)[0]
        if kind != "accelerate":
            refuse_launched(kind)
        options: dict[str, Any] = {"model": self.model} if kind in PRETRAINED else {}
        if self.found_device != CPU and kind != "accelerate" and kind not in SIMULATED:  # these do not compute there
            options["device"] = self.found_device
        if self.plugins:  # learners of other packages need not take plug-ins
            options["plugins"] = [make_plugin(spec, self.placed_encoder) for spec in self.plugins]
        budget = self.curriculum_config().budget_tokens
        encoder = self.placed_encoder
        return make_learner(self.learner, corpus, seed=self.seed, encoder=encoder, budget_tokens=budget, **options)

    def make_exam(self, curriculum: Curriculum, size: int) -> Exam:
        """Make the exam: on the topics that the task examines, or else on the goal's, or else on all.

        Args:
            curriculum: The curriculum.
            size: Most topics of the exam.
        """
        from kgrl.exam import Exam

        examined = curriculum.goal if self.made_task is None else self.made_task.examined
        return Exam(curriculum.corpus, examined, size)


def as_nucleus(named: tuple[str, ...]) -> str | tuple[str, ...]:
    """Return a nucleus as `CurriculumConfig` takes it: a method, a file or a sentence by its name, or titles."""
    from kgrl.curriculum.named_topics import is_named
    from kgrl.graph.nucleus import NUCLEUS_METHODS

    return named[0] if len(named) == 1 and (named[0] in NUCLEUS_METHODS or is_named(named[0])) else named


def _listing(typed: Any, titles: Any) -> str:
    """Return the number of topics that a name stands for, and the first of them."""
    more = f" and {len(titles) - _FIRST_TITLES} more" if len(titles) > _FIRST_TITLES else ""
    return f"{typed} stands for {len(titles)} topics: {'; '.join(titles[:_FIRST_TITLES])}{more}"
