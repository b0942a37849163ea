"""Contract tests: inherit one for each learner, agent, reward, retriever or trace source that you write.

The classes hold plain test methods for pytest. pytest does not collect them here, only where they are inherited.
"""

import pytest

# Before the module is imported: pytest then reports a broken contract with the values that were compared.
pytest.register_assert_rewrite(f"{__name__}.contracts")

from kgrl.testing.contracts import (  # noqa: E402
    AgentContract,
    DifferentiableContract,
    LearnerContract,
    RetrieverContract,
    RewardContract,
    TraceSourceContract,
)

__all__ = [
    "AgentContract",
    "DifferentiableContract",
    "LearnerContract",
    "RetrieverContract",
    "RewardContract",
    "TraceSourceContract",
]
