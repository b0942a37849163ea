from .composition import compose as compose
from .folder import Adapter as Adapter
from .folder import AdapterFacts as AdapterFacts
from .folder import read_adapter as read_adapter
from .folder import save_adapter as save_adapter
