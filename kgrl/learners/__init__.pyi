from .base import Learned as Learned
from .base import Learner as Learner
from .decoder.lora import LoraLearner as LoraLearner
from .decoder.scratch import ScratchLearner as ScratchLearner
from .make import learners as learners
from .make import make_learner as make_learner
from .simulated.learner import SimulatedLearner as SimulatedLearner
