from .config import DEFAULT_REWARD as DEFAULT_REWARD
from .config import CurriculumConfig as CurriculumConfig
from .loop import Curriculum as Curriculum
from .researcher import Researcher as Researcher
from .view import Agent as Agent
from .view import PassageAgent as PassageAgent
from .view import View as View
