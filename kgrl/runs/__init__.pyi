from .run import Run as Run
from .run import RunResult as RunResult
