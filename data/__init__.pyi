from .folder import load_folder as load_folder
from .folder import save_folder as save_folder
from .load import corpora as corpora
from .load import load_corpus as load_corpus
from .load import load_traces as load_traces
from .load import traced_corpus as traced_corpus
from .traces.traced_clicks import TracedClicks as TracedClicks
from .traces.traced_clicks import load_clicks as load_clicks
