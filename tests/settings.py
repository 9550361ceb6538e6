"""The product's settings on a data folder of this test run alone: tests never meet a user's files."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

_folder = Path(tempfile.mkdtemp(prefix="stonks-overwatch-tests-"))
atexit.register(shutil.rmtree, _folder, ignore_errors=True)
os.environ["STONKS_OVERWATCH_DATA_DIR"] = str(_folder / "data")
os.environ["STONKS_OVERWATCH_CONFIG"] = str(_folder / "config.json")

from stonks_overwatch.settings import *  # noqa: E402, F403  # reads the two variables
from stonks_overwatch.settings import DATA_DIR, DATABASES  # noqa: E402

# A file as in the product, because a database in memory locks differently between threads.
DATABASES["default"]["TEST"] = {"NAME": DATA_DIR / "test.sqlite3"}
