import os
import shutil
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
MAKE = shutil.which("make") or "make"


def make(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    # Without what the `make test` around this test hands down to its children.
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        [MAKE, *arguments],
        cwd=folder,
        env=inherited | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_make_alone_lists_the_targets() -> None:
    listed = {line.split()[1] for line in make(CHECKOUT).stdout.splitlines() if line.startswith("  make ")}
    assert {"run", "test", "lint", "soak", "bench", "help"} <= listed


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ([], []),
        (["port=8001"], ["--port", "8001"]),
        (["demo=true"], ["--demo"]),
        (["demo=false"], []),
        (["debug=true", "demo=true", "port=1"], ["--port", "1", "--demo", "--debug"]),
    ],
)
def test_what_is_said_to_make_reaches_the_program(arguments: list[str], options: list[str]) -> None:
    recipe = make(CHECKOUT, "--dry-run", "run", *arguments).stdout.replace("\\\n", " ")
    line = next(line for line in recipe.splitlines() if "stonks_overwatch run" in line)
    assert line.replace("'", "").split() == [
        "exec",
        ".venv/bin/python",
        "-m",
        "stonks_overwatch",
        "run",
        *options,
    ]


def test_without_a_python_that_is_new_enough_make_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    shutil.copy(CHECKOUT / "Makefile", tmp_path)
    tools = tmp_path / "bin"
    tools.mkdir()
    old = tools / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    ended = make(tmp_path, "run", PATH=str(tools))
    assert ended.returncode != 0
    assert ended.stderr.splitlines()[:2] == [
        "error: Python 3.11 or newer was not found.",
        "next step: Install it (for example: sudo apt install python3 python3-venv), then run make again.",
    ]
    assert not (tmp_path / ".venv").exists()
