import json
import os
import re
import subprocess
import sys
import urllib.request
import zipfile
from pathlib import Path

import pytest

from tests.running import app

CHECKOUT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as for a release from what `make setup` has left."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True, timeout=300)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_all_that_the_program_reads_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    source = CHECKOUT / "src"
    wanted = {
        str(file.relative_to(source))
        for file in (source / "stonks_overwatch").rglob("*")
        if file.is_file() and not {"__pycache__", "assets"} & {*file.parts}
    }
    assert names == wanted | {"stonks_overwatch/config.json.template"}
    assert any(name.startswith("stonks_overwatch/web/static/dist/") for name in names)


def test_the_wheel_runs_from_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    installed, empty = tmp_path / "installed", tmp_path / "empty"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    empty.mkdir()
    variables = {name: text for name, text in os.environ.items() if not name.startswith("STONKS_")}
    variables |= {"PYTHONPATH": str(installed), "DJANGO_SETTINGS_MODULE": "stonks_overwatch.settings"}
    command = [sys.executable, "-m", "stonks_overwatch", "doctor", "--json"]
    ended = subprocess.run(
        command, cwd=empty, env=variables, capture_output=True, text=True, timeout=60, check=False
    )
    missing = json.loads(ended.stdout)["findings"][0]
    assert (
        missing["what"]
        == f"There is no configuration yet: {empty / 'config' / 'config.json'} does not exist."
    )
    assert missing["next_step"].startswith(f"Copy {installed / 'stonks_overwatch' / 'config.json.template'} ")
    assert (empty / "data" / "db.sqlite3").exists()

    with app(empty, PYTHONPATH=str(installed)) as running:
        with urllib.request.urlopen(running.address, timeout=30) as answer:
            page = answer.read().decode()
        for asset in set(re.findall(r'(?:href|src)="(/static/[^"]+)"', page)):
            with urllib.request.urlopen(running.address + asset, timeout=30) as answer:
                assert answer.status == 200
