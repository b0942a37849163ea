"""A graph network that picks what to learn next, in plain torch: message passing, trained by REINFORCE.

    python examples/graph_network.py                       # a simulated learner on vital articles, under a minute
    python examples/graph_network.py --learner scratch --episodes 10

`kgrl.envs.graph_observation.GraphObservation` turns observations into graphs whose node k is the topic in slot k, so
the network's score of node k is the logit of action k. No library of graph networks is needed.
"""

from __future__ import annotations

from dataclasses import dataclass

import gymnasium as gym
import numpy as np
import torch
import tyro
from gymnasium.spaces import GraphInstance
from torch import Tensor, nn
from torch.distributions import Categorical

from kgrl.envs.graph_observation import EDGE_FEATURES, NODE_FEATURES, GraphObservation


@dataclass(frozen=True)
class Args:
    """Command-line arguments."""

    corpus: str = "vital"
    """The corpus; `vital` comes with kgrl's extra `offline`."""
    learner: str = "simulated"
    """The learner; `simulated` is fast, `scratch` is a real small model."""
    goal: str | None = "Mathematics"
    """The category to learn about; None for all topics."""
    episodes: int = 60
    """Episodes to train for."""
    budget_tokens: int = 12_000
    """Tokens of an episode."""
    learning_rate: float = 3e-3
    """Learning rate of Adam."""
    entropy: float = 0.003
    """Weight of the entropy bonus."""
    discount: float = 0.95
    """Discount of later rewards."""
    seed: int = 0
    """Seeds weights, actions and the environment."""


class GraphPolicy(nn.Module):
    """Scores the nodes of a graph after some rounds of messages, and values the state.

    Args:
        width: Width of all layers.
        rounds: Rounds of messages; each reaches one link further.
    """

    def __init__(self, width: int = 32, rounds: int = 2) -> None:
        super().__init__()
        self.read = nn.Linear(len(NODE_FEATURES), width)
        self.messages = nn.ModuleList(nn.Linear(2 * width + len(EDGE_FEATURES), width) for _ in range(rounds))
        self.updates = nn.ModuleList(nn.Linear(2 * width, width) for _ in range(rounds))
        self.score, self.value = nn.Linear(width, 1), nn.Linear(width, 1)

    def forward(self, graph: GraphInstance, candidates: int) -> tuple[Tensor, Tensor]:
        """Return the logits of the candidates, which are the first nodes, `[candidates]`, and the state's value."""
        edges, ends = torch.as_tensor(graph.edges), torch.as_tensor(graph.edge_links)
        to, from_ = ends[:, 0], ends[:, 1]
        hidden = torch.tanh(self.read(torch.as_tensor(graph.nodes)))  # [nodes, width]
        # Means of messages, since sums grow with the number of links.
        neighbours = torch.zeros(len(hidden), 1).index_add(0, to, torch.ones(len(to), 1)).clamp(min=1)
        for message, update in zip(self.messages, self.updates, strict=True):
            sent = torch.relu(message(torch.cat([hidden[to], hidden[from_], edges], dim=1)))  # [edges, width]
            heard = torch.zeros_like(hidden).index_add(0, to, sent) / neighbours
            hidden = hidden + torch.tanh(update(torch.cat([hidden, heard], dim=1)))
        return self.score(hidden[:candidates]).squeeze(1), self.value(hidden.mean(dim=0)).squeeze(0)


def play(env: GraphObservation, policy: GraphPolicy, seed: int | None) -> tuple[list[float], Tensor, Tensor, Tensor]:
    """Play an episode; return its rewards, and log-probabilities, values and entropies of its steps, each `[steps]`."""
    graph, info = env.reset(seed=seed)
    rewards, chosen, values, entropies, over = [], [], [], [], False
    while not over:
        logits, value = policy(graph, int(info["action_mask"].sum()))  # filled slots come first: no mask is needed
        choice = Categorical(logits=logits)
        action = choice.sample()
        graph, reward, terminated, truncated, info = env.step(np.int64(action.item()))
        rewards.append(float(reward))
        chosen.append(choice.log_prob(action))
        values.append(value)
        entropies.append(choice.entropy())
        over = terminated or truncated
    return rewards, torch.stack(chosen), torch.stack(values), torch.stack(entropies)


def discounted(rewards: list[float], discount: float) -> Tensor:
    """Return the discounted sum of the rewards from each step on, `[steps]`."""
    total, totals = 0.0, []
    for reward in reversed(rewards):
        total = reward + discount * total
        totals.append(total)
    return torch.tensor(totals[::-1])


def train(env: GraphObservation, args: Args) -> list[float]:
    """Train a policy and return the return of each episode, in nats per token."""
    torch.manual_seed(args.seed)
    policy = GraphPolicy()
    optimizer = torch.optim.Adam(policy.parameters(), lr=args.learning_rate)
    returns: list[float] = []
    scale = 0.0
    for episode in range(args.episodes):
        rewards, chosen, values, entropies = play(env, policy, args.seed if episode == 0 else None)
        following = discounted(rewards, args.discount)
        scale = scale or float(following.abs().mean()) or 1.0  # so that values are about one, whatever the reward
        advantage = following / scale - values
        loss = -(chosen * advantage.detach()).mean() + advantage.square().mean() - args.entropy * entropies.mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
        optimizer.step()
        returns.append(sum(rewards))
        if (episode + 1) % 10 == 0:
            print(f"episodes {episode - 8} to {episode + 1}: mean return {np.mean(returns[-10:]):.4f} nats per token")
    return returns


def main(args: Args) -> list[float]:
    """Make the environment and train in it."""
    reward = "mean-prediction-gain" if args.goal is None else "target-prediction-gain"
    settings = {"reward": reward, "goal": args.goal, "budget_tokens": args.budget_tokens, "seed": args.seed}
    options = {"preset": "0.4m"} if args.learner == "scratch" else {}
    env = gym.make(
        "kgrl:kgrl/Curriculum-v0", corpus=args.corpus, learner=args.learner, learner_options=options, **settings
    )
    return train(GraphObservation(env), args)


if __name__ == "__main__":
    main(tyro.cli(Args))
