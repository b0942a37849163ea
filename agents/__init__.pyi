from .base import Agent as Agent
from .base import BaseAgent as BaseAgent
from .base import View as View
from .make import agents as agents
from .make import make_agent as make_agent
from .policy.agent import PPOAgent as PPOAgent
from .training.ppo import train_ppo as train_ppo
