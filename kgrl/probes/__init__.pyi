from .prober import Prober as Prober
from .prober import sample_topics as sample_topics
from .questions import Question as Question
from .questions import distances_from as distances_from
from .questions import link_questions as link_questions
from .recall import Accuracy as Accuracy
from .recall import Recall as Recall
from .recall import Recalled as Recalled
