"""Refuses to build kgrl from a checkout without its symbolic links; everything else is in pyproject.toml.

git on Windows, and some programs that unpack archives, write links as small text files. setuptools would then pack kgrl
without its environments, agents and data, and say nothing.
"""

from pathlib import Path

from setuptools import setup

missing = [
    f"kgrl/{name}"
    for name in ("agents", "data", "envs")
    if not Path(__file__).with_name("kgrl").joinpath(name, "__init__.py").is_file()
]
if missing:
    raise SystemExit(
        f"{', '.join(missing)}: symbolic links of the repository are missing here, so the package would be incomplete. "
        "Clone with: git clone -c core.symlinks=true (on Windows in developer mode or an elevated shell)"
    )

setup()
