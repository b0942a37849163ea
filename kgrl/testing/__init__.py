"""Contract tests: inherit one for each learner, agent, reward, retriever or trace source you write.

The classes hold plain test methods for pytest, and pytest does not collect them here, only where they are inherited.
"""

import pytest

# Before they are imported: a contract that is broken is then reported with the values that were compared.
for _part in ("agents", "learners", "retrievers", "rewards", "trace_sources"):
    pytest.register_assert_rewrite(f"{__name__}.{_part}")

from kgrl.testing.agents import AgentContract  # noqa: E402
from kgrl.testing.learners import DifferentiableContract, LearnerContract  # noqa: E402
from kgrl.testing.retrievers import RetrieverContract  # noqa: E402
from kgrl.testing.rewards import RewardContract  # noqa: E402
from kgrl.testing.trace_sources import TraceSourceContract  # noqa: E402

__all__ = [
    "AgentContract",
    "DifferentiableContract",
    "LearnerContract",
    "RetrieverContract",
    "RewardContract",
    "TraceSourceContract",
]
