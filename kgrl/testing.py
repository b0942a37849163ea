"""Contract tests: inherit one for each learner or agent you write, and give it the fixtures it names.

The classes hold plain test methods for pytest, and pytest does not collect them here, only where they are inherited.
"""

from __future__ import annotations

import numpy as np

from kgrl.curriculum import Curriculum
from kgrl.view import Agent

__all__ = ["AgentContract"]


class AgentContract:
    """What every agent keeps. A subclass defines the fixtures `agent` and `curriculum`.

    Example:
        >>> import pytest
        >>> class TestMine(AgentContract):
        ...     @pytest.fixture
        ...     def agent(self) -> Agent: ...
        ...     @pytest.fixture
        ...     def curriculum(self) -> Curriculum: ...
    """

    def test_it_has_the_attributes_of_an_agent(self, agent: Agent) -> None:
        """It satisfies the protocol, and says whether it stays on the frontier."""
        assert isinstance(agent, Agent)
        assert isinstance(agent.frontier_only, bool)

    def test_every_choice_can_be_learned(self, agent: Agent, curriculum: Curriculum) -> None:
        """It chooses an int, a candidate if it stays on the frontier, and otherwise an unlearned topic with text."""
        curriculum.start()
        agent.reset(curriculum.view)
        while not curriculum.out_of_budget and not curriculum.exhausted:
            topic = agent.choose(curriculum.view)
            assert isinstance(topic, int)
            assert curriculum.trainable[topic] and not curriculum.frontier.is_learned[topic]
            assert topic in curriculum.frontier or not agent.frontier_only
            agent.observe(curriculum.expand(topic))

    def test_choosing_changes_nothing(self, agent: Agent, curriculum: Curriculum) -> None:
        """Learned set, frontier and tokens are after a choice what they were before."""
        curriculum.start()
        agent.reset(curriculum.view)
        learned, frontier, tokens = curriculum.frontier.learned, curriculum.frontier.topics, curriculum.tokens
        agent.choose(curriculum.view)
        assert np.array_equal(learned, curriculum.frontier.learned)
        assert np.array_equal(frontier, curriculum.frontier.topics)
        assert tokens == curriculum.tokens

    def test_the_same_seed_gives_the_same_curriculum(self, agent: Agent, curriculum: Curriculum) -> None:
        """A reset forgets the run before: a second run picks the same topics in the same order."""
        first = [step.topic for step in curriculum.run(agent)]
        assert first == [step.topic for step in curriculum.run(agent)]
        assert len(first) > 1
