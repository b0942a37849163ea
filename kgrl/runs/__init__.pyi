from .choices import Choice as Choice
from .metrics import aulc as aulc
from .metrics import continual_metrics as continual_metrics
from .metrics import tokens_to_target as tokens_to_target
from .result import RunResult as RunResult
from .run import Run as Run
