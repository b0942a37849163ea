"""The contract of agents."""

from __future__ import annotations

import numpy as np
import pytest

from kgrl.curriculum.loop import Curriculum
from kgrl.curriculum.view import Agent, PassageAgent
from kgrl.testing.samples import sample_curriculum

__all__ = ["AgentContract"]


class AgentContract:
    """What every agent keeps. A subclass defines the fixture `agent`, and `curriculum` where the sample will not do.

    Example:
        >>> import pytest
        >>> class TestMine(AgentContract):
        ...     @pytest.fixture
        ...     def agent(self) -> Agent: ...
    """

    @pytest.fixture
    def curriculum(self) -> Curriculum:
        """What the agent chooses in."""
        return sample_curriculum()

    def test_it_has_the_attributes_of_an_agent(self, agent: Agent) -> None:
        """It satisfies the protocol, and says whether it stays on the frontier."""
        assert isinstance(agent, Agent)
        assert isinstance(agent.frontier_only, bool)

    def test_every_choice_can_be_learned(self, agent: Agent, curriculum: Curriculum) -> None:
        """It chooses a candidate if it stays on the frontier, else an unlearned topic with text, or unread passages."""
        curriculum.start()
        agent.reset(curriculum.view)
        while not curriculum.state.out_of_budget and not curriculum.state.exhausted:
            choice = agent.choose(curriculum.view)
            if isinstance(agent, PassageAgent):
                assert np.isin(choice, curriculum.view.unread()).all()
            else:
                assert isinstance(choice, int)
                assert curriculum.state.trainable[choice] and not curriculum.state.frontier.is_learned[choice]
                assert choice in curriculum.state.frontier or not agent.frontier_only
            agent.observe(curriculum.expand(choice))

    def test_choosing_changes_nothing(self, agent: Agent, curriculum: Curriculum) -> None:
        """Learned set, frontier and tokens are after a choice what they were before."""
        curriculum.start()
        agent.reset(curriculum.view)
        learned, frontier, tokens = (
            curriculum.state.frontier.learned,
            curriculum.state.frontier.topics,
            curriculum.state.tokens,
        )
        agent.choose(curriculum.view)
        assert np.array_equal(learned, curriculum.state.frontier.learned)
        assert np.array_equal(frontier, curriculum.state.frontier.topics)
        assert tokens == curriculum.state.tokens

    def test_the_same_seed_gives_the_same_curriculum(self, agent: Agent, curriculum: Curriculum) -> None:
        """A reset forgets the run before: a second run picks the same topics in the same order."""
        first = [step.topic for step in curriculum.run(agent)]
        assert first == [step.topic for step in curriculum.run(agent)]
        assert len(first) > 1
