from .curriculum_dataset import CurriculumDataset as CurriculumDataset
from .topic_sampler import Exercise as Exercise
from .topic_sampler import TopicSampler as TopicSampler
from .trainer_callback import CurriculumCallback as CurriculumCallback
