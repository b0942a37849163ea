from .frontier import Frontier as Frontier
from .nucleus import choose_nucleus as choose_nucleus
from .topic_graph import IntArray as IntArray
from .topic_graph import TopicGraph as TopicGraph
