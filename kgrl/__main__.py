"""`python -m kgrl`: the command line."""

import sys

from kgrl.cli import main

sys.exit(main())
