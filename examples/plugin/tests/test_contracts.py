"""The contracts of kgrl, inherited."""

import pytest
from kgrl_example.agents import Even
from kgrl_example.rewards import Evenness

from kgrl.curriculum.view import Agent
from kgrl.rewards import Reward, rewards
from kgrl.testing import AgentContract, RewardContract
from kgrl.testing.samples import sample_context, sample_expansions


class TestEvenness(RewardContract):
    """A reward that is a class."""

    @pytest.fixture
    def reward(self) -> Reward:
        """What is tested."""
        return Evenness()


class TestRelativeGain(RewardContract):
    """A reward that is a function, by the name of its entry point."""

    @pytest.fixture
    def reward(self) -> Reward:
        """What is tested."""
        return rewards.make("relative-gain")


class TestEven(AgentContract):
    """An agent."""

    @pytest.fixture
    def agent(self) -> Agent:
        """What is tested."""
        return Even()


def test_evenness_grows_with_a_second_category() -> None:
    """Logic and Set, Number, Order and Graph are Mathematics; Lake and River are Nature."""
    reward, (nucleus, *steps) = Evenness(), sample_expansions()
    reward.bind(sample_context())
    reward.begin(nucleus)
    assert [round(reward(step), 3) for step in steps[:3]] == [0.0, 0.0, 0.598]
