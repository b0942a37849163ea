"""The contract tests of kgrl, inherited for each reward and agent of the package."""

import pytest
from kgrl_example.agents import Even
from kgrl_example.rewards import Evenness

from kgrl.curriculum.view import Agent
from kgrl.rewards import Reward, rewards
from kgrl.testing import AgentContract, RewardContract
from kgrl.testing.samples import sample_context, sample_expansions


class TestEvenness(RewardContract):
    """Contract of a reward that is a class."""

    @pytest.fixture
    def reward(self) -> Reward:
        """The reward under test."""
        return Evenness()


class TestRelativeGain(RewardContract):
    """Contract of a reward that is a function, made by the name of its entry point."""

    @pytest.fixture
    def reward(self) -> Reward:
        """The reward under test."""
        return rewards.make("relative-gain")


class TestEven(AgentContract):
    """Contract of the agent."""

    @pytest.fixture
    def agent(self) -> Agent:
        """The agent under test."""
        return Even()


def test_evenness_grows_with_a_second_category() -> None:
    """Logic and Set, Number, Order and Graph are Mathematics; Lake and River are Nature."""
    reward, (nucleus, *steps) = Evenness(), sample_expansions()
    reward.bind(sample_context())
    reward.begin(nucleus)
    assert [round(reward(step), 3) for step in steps[:3]] == [0.0, 0.0, 0.598]
