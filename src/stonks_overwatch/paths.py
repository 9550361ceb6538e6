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


def config_template() -> Path:
    """The config.json to copy and fill in; an installed package carries it inside."""
    installed = Path(__file__).with_name("config.json.template")
    return installed if installed.exists() else _CHECKOUT / "config" / "config.json.template"


def data_dir() -> Path:
    given = os.environ.get("STONKS_OVERWATCH_DATA_DIR")
    return Path(given).expanduser().absolute() if given else root() / "data"


def candidates(given: str) -> tuple[Path, ...]:
    """The places that a path in the configuration may mean, best first.

    `~` is the home folder; a relative path is looked for from the working directory, then from the root.
    """
    try:
        path = Path(given).expanduser()
    except RuntimeError:  # the home folder of somebody unknown
        path = Path(given)
    return tuple(dict.fromkeys((path.absolute(), root() / path)))


def from_user(given: str) -> Path:
    """The first of the candidates that is there; the first of all when none is."""
    places = candidates(given)
    return next((place for place in places if _is_there(place)), places[0])


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # something is there that this user may not look at
        return True
