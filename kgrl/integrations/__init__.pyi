from .topic_sampler import Exercise as Exercise
from .topic_sampler import TopicSampler as TopicSampler
