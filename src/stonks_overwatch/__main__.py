"""The console script: `stonks-overwatch <command>` runs the command of that name."""

import ast
import errno
import os
import sys
import tempfile
from pathlib import Path

from stonks_overwatch import demo, paths


def main() -> None:
    # Whatever this program writes (database, logs, backups, exports) is for its user's eyes alone.
    os.umask(0o077)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "stonks_overwatch.settings")
    arguments = sys.argv[1:]
    if arguments[:1] == ["--version"]:
        from importlib.metadata import version  # noqa: PLC0415  # takes a while, and nothing else needs it

        sys.stdout.write(f"Stonks Overwatch {version('stonks-overwatch')}\n")
        return
    if arguments[:1] == ["run"] and "--demo" in arguments:
        demo.choose_folders()  # before the settings read them
    try:
        paths.data_dir().mkdir(parents=True, exist_ok=True, mode=0o700)
        (paths.data_dir() / "locks").mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=paths.data_dir()) as trial:
            trial.write(b"x")
            trial.flush()
    except OSError as err:
        step = "Make room on its disk" if err.errno == errno.ENOSPC else "Make it writable for you"
        sys.exit(
            f"error: The data folder {paths.data_dir()} cannot be written to ({err.strerror}).\n"
            f"next step: {step}, or name another folder in STONKS_OVERWATCH_DATA_DIR."
        )
    if arguments in ([], ["help"], ["--help"], ["-h"]):
        sys.stdout.write(overview())
        return
    import django  # noqa: PLC0415  # Django comes after the settings' variables
    from django.core.management import execute_from_command_line, get_commands  # noqa: PLC0415

    django.setup()
    command, arguments = arguments[0], arguments[1:]
    if not command.startswith("-") and command.replace("-", "_") not in {"help", *get_commands()}:
        sys.stderr.write(f"error: There is no command {command!r}.\nnext step: stonks-overwatch help\n")
        sys.exit(2)
    # Commands are modules, whose names have no hyphens.
    name = command if command.startswith("-") else command.replace("-", "_")
    execute_from_command_line(["stonks-overwatch", name, *arguments])


def overview() -> str:
    """Our own commands; Django's, which work too, are for developers.

    What they say of themselves is read from their text: to import all of them takes a second.
    """
    commands = sorted((Path(__file__).parent / "management" / "commands").glob("[!_]*.py"))
    lines = [
        f"  {file.stem.replace('_', '-'):15}{ast.literal_eval(node.value)}"
        for file in commands
        for node in ast.walk(ast.parse(file.read_bytes()))
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "help"
    ]
    return "\n".join(["stonks-overwatch <command>; --help after it tells its options", *lines, ""])


if __name__ == "__main__":
    main()
