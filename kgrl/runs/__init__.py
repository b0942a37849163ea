"""Runs: curricula carried out and recorded in folders, so that they can be resumed and repeated.

`Run` carries out a curriculum, `RunResult` is its outcome; `Run.read_expansions` and `Choice.read` read a run's folder.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
