from .communities import find_communities as find_communities
from .frontier import Frontier as Frontier
from .nucleus import choose_nucleus as choose_nucleus
from .nucleus import grow_nucleus as grow_nucleus
from .nucleus import pagerank as pagerank
from .prerequisites import Prerequisites as Prerequisites
from .topic_graph import IntArray as IntArray
from .topic_graph import TopicGraph as TopicGraph
