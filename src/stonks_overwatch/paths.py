"""Where the user's files are: the configuration and the data folder."""

import os
from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parents[2]


def root() -> Path:
    """The checkout when the program runs from one, else the working directory."""
    return _CHECKOUT if (_CHECKOUT / "pyproject.toml").is_file() else Path.cwd()


def config_file() -> Path:
    given = os.environ.get("STONKS_OVERWATCH_CONFIG")
    return Path(given).expanduser().absolute() if given else root() / "config" / "config.json"


def data_dir() -> Path:
    given = os.environ.get("STONKS_OVERWATCH_DATA_DIR")
    return Path(given).expanduser().absolute() if given else root() / "data"


def from_user(given: str) -> Path:
    """The file that a path in the configuration means.

    `~` is the home folder; a relative path is looked for from the working directory, then from the root.
    """
    try:
        path = Path(given).expanduser()
    except RuntimeError:  # a home folder of somebody unknown
        return Path(given).absolute()
    here, there = path.absolute(), root() / path
    return there if there.exists() and not here.exists() else here
