"""Makes the modules of `benchmarks/` importable; last, so that none of them hides an installed package."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
