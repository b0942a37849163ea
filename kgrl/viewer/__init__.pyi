from .server import ViewerServer as ViewerServer
from .shown_run import ShownRun as ShownRun
