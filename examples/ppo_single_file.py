"""PPO in one file, in CleanRL's manner: arguments, network, loop. It uses nothing of kgrl but the environment.

    python examples/ppo_single_file.py
    python examples/ppo_single_file.py --corpus wikispeedia --goal Science --total-steps 300000
    tensorboard --logdir runs

Two things are particular to this environment. Some slots are empty, so logits are masked. Slots have no lasting
meaning, so one network scores every candidate, and permuting the slots permutes the scores.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch
import tyro
from gymnasium.vector import AutoresetMode, VectorEnv
from rich.progress import Progress, TextColumn
from torch import Tensor, nn
from torch.distributions import Categorical
from torch.utils.tensorboard import SummaryWriter

Observation = dict[str, Tensor]


@dataclass(frozen=True)
class Args:
    """Command-line arguments."""

    corpus: str = "vital"
    """The corpus; `vital` comes with kgrl's extra `offline`."""
    goal: str | None = "Mathematics"
    """The category to learn about; None for all topics."""
    budget_tokens: int = 8_000
    """Tokens of an episode."""
    slots: int = 32
    """Candidates on show."""
    seed: int = 0
    """Seeds weights, actions and the environment."""
    total_steps: int = 60_000
    """Steps in total, over all copies of the environment."""
    num_envs: int = 64
    """Copies of the environment."""
    num_steps: int = 32
    """Steps of each copy between updates."""
    epochs: int = 4
    """Passes over a batch."""
    minibatches: int = 8
    """Parts of a batch; each is one update."""
    learning_rate: float = 5e-4
    """At the start; falls to 0 linearly."""
    discount: float = 0.99
    gae_lambda: float = 0.95
    clip: float = 0.2
    entropy: float = 0.005
    """Weight of the entropy bonus."""
    value: float = 0.5
    """Weight of the value loss."""
    max_grad_norm: float = 0.5
    width: int = 64
    """Width of the network's layers."""
    run: Path = Path("runs/ppo_single_file")
    """Folder of the TensorBoard events."""


class Agent(nn.Module):
    """Scores each candidate, given the mean candidate and the state, and values the state.

    Args:
        envs: Environments, for the sizes of their observations.
        width: Width of the layers.
    """

    def __init__(self, envs: VectorEnv, width: int) -> None:
        super().__init__()
        space = envs.single_observation_space
        state = space["global"].shape[0] + space["goal"].shape[0]
        self.candidate = layer(space["candidates"].shape[1] + space["topics"].shape[1], width)
        self.context = layer(state + width, width)
        self.hidden = layer(2 * width, width)
        self.logit, self.value = layer(width, 1, gain=0.01), layer(width, 1, gain=1.0)

    def forward(self, observation: Observation) -> tuple[Categorical, Tensor]:
        """Return the distribution over slots, batch `[n]`, and the values, `[n]`."""
        filled = observation["mask"].bool()
        read = torch.cat([observation["candidates"], observation["topics"]], dim=-1)
        candidates = torch.tanh(self.candidate(read))  # [n, slots, width]
        share = filled / filled.sum(dim=1, keepdim=True).clamp(min=1)
        mean = (candidates * share.unsqueeze(-1)).sum(dim=1)
        context = torch.tanh(self.context(torch.cat([observation["global"], observation["goal"], mean], dim=-1)))
        both = torch.cat([candidates, context.unsqueeze(1).expand_as(candidates)], dim=-1)
        logits = self.logit(torch.tanh(self.hidden(both))).squeeze(-1)
        return Categorical(logits=logits.masked_fill(~filled, -1e9)), self.value(context).squeeze(-1)


def layer(inputs: int, outputs: int, gain: float = 2**0.5) -> nn.Linear:
    """Return a linear layer with orthogonal weights and a bias of zero."""
    linear = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(linear.weight, gain)
    nn.init.zeros_(linear.bias)
    return linear


def tensors(observation: dict[str, np.ndarray]) -> Observation:
    """Return an observation as tensors that share the arrays' memory."""
    return {name: torch.as_tensor(values) for name, values in observation.items()}


def advantages_of(rewards: Tensor, values: Tensor, dones: Tensor, following: Tensor, args: Args) -> Tensor:
    """Return generalised advantage estimates (Schulman et al. 2016), `[steps, envs]`.

    Args:
        rewards: Of each step, `[steps, envs]`.
        values: Of the state before each step.
        dones: 1 where an episode ended with the step.
        following: Value of the state after the last step, `[envs]`.
        args: The discount and lambda.
    """
    advantages, last = torch.zeros_like(rewards), torch.zeros_like(following)
    for step in reversed(range(len(rewards))):
        alive = 1.0 - dones[step]
        error = rewards[step] + args.discount * following * alive - values[step]
        last = advantages[step] = error + args.discount * args.gae_lambda * alive * last
        following = values[step]
    return advantages


def train(envs: VectorEnv, args: Args, writer: SummaryWriter, progress: Progress) -> list[float]:
    """Train an agent; return the mean return of the episodes that ended in each round, in nats per token."""
    torch.manual_seed(args.seed)
    agent = Agent(envs, args.width)
    optimizer = torch.optim.Adam(agent.parameters(), lr=args.learning_rate, eps=1e-5)
    batch = args.num_envs * args.num_steps
    rounds = max(1, args.total_steps // batch)
    task = progress.add_task("PPO", total=rounds * batch, now="")
    observation = tensors(envs.reset(seed=args.seed)[0])
    so_far, scale, history = np.zeros(args.num_envs), 0.0, []
    began = time.perf_counter()

    for number in range(rounds):
        optimizer.param_groups[0]["lr"] = args.learning_rate * (1 - number / rounds)

        # Act. With same-step resets the next episode's first observation takes the place of an episode's last one. That
        # one is not needed: the observation tells the remaining budget, so a spent budget ends the episode for good,
        # and no value is bootstrapped from there.
        seen, actions, log_probs, values, rewards, dones, ended = [], [], [], [], [], [], []
        for _ in range(args.num_steps):
            with torch.no_grad():
                choice, value = agent(observation)
                action = choice.sample()
            seen.append(observation)
            actions.append(action)
            log_probs.append(choice.log_prob(action))
            values.append(value)
            shown, reward, terminated, truncated, _ = envs.step(action.numpy())
            observation, done = tensors(shown), terminated | truncated
            so_far += reward
            ended += so_far[done].tolist()
            so_far[done] = 0.0
            rewards.append(torch.as_tensor(reward, dtype=torch.float32))
            dones.append(torch.as_tensor(done, dtype=torch.float32))

        # Judge. Rewards are hundredths of a nat. The first round's spread scales them to about one, for good: a scale
        # that followed the rewards would change the targets of the value head.
        scale = scale or float(torch.stack(rewards).std()) or 1.0
        with torch.no_grad():
            following = agent(observation)[1]
        judged = torch.stack(rewards) / scale, torch.stack(values), torch.stack(dones), following
        advantages = advantages_of(*judged, args).flatten()
        targets = advantages + torch.stack(values).flatten()
        inputs = {name: torch.cat([part[name] for part in seen]) for name in seen[0]}
        taken, before = torch.cat(actions), torch.cat(log_probs)

        # Learn.
        for _ in range(args.epochs):
            for rows in torch.randperm(batch).chunk(args.minibatches):
                choice, value = agent({name: part[rows] for name, part in inputs.items()})
                ratio = (choice.log_prob(taken[rows]) - before[rows]).exp()
                gain = advantages[rows]
                gain = (gain - gain.mean()) / (gain.std() + 1e-8)
                clipped = ratio.clamp(1 - args.clip, 1 + args.clip)
                policy_loss = -torch.minimum(ratio * gain, clipped * gain).mean()
                value_loss = (value - targets[rows]).square().mean()
                entropy = choice.entropy().mean()
                loss = policy_loss + args.value * value_loss - args.entropy * entropy
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(agent.parameters(), args.max_grad_norm)
                optimizer.step()

        # Tell.
        step = (number + 1) * batch
        if ended:
            history.append(float(np.mean(ended)))
            writer.add_scalar("episodes/return", history[-1], step)
        speed = step / (time.perf_counter() - began)
        parts = {"policy": policy_loss, "value": value_loss, "entropy": entropy}
        for name, part in parts.items():
            writer.add_scalar(f"losses/{name}", part.item(), step)
        writer.add_scalar("charts/steps_per_second", speed, step)
        now = f"return {history[-1]:.3f}, " if history else ""
        progress.update(task, completed=step, now=f"{now}{speed:,.0f} steps/s")
    return history


def main(args: Args) -> list[float]:
    """Make the environments and train in them."""
    reward = "mean-prediction-gain" if args.goal is None else "target-prediction-gain"
    envs = gym.make_vec(
        "kgrl:kgrl/Curriculum-v0",
        num_envs=args.num_envs,
        autoreset_mode=AutoresetMode.SAME_STEP,
        corpus=args.corpus,
        learner="simulated",
        reward=reward,
        goal=args.goal,
        slots=args.slots,
        budget_tokens=args.budget_tokens,
        seed=args.seed,
    )
    with (
        SummaryWriter(str(args.run)) as writer,
        Progress(*Progress.get_default_columns(), TextColumn("{task.fields[now]}")) as bar,
    ):
        history = train(envs, args, writer, bar)
    envs.close()
    print(f"mean return: {history[0]:.3f} nats per token at first, {np.mean(history[-5:]):.3f} at last")
    return history


if __name__ == "__main__":
    main(tyro.cli(Args))
