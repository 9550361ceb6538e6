"""What all commands share: JSON alone on standard output, errors in two lines, three exit statuses.

0 is done, 1 is failed (`error:` and `next step:` on standard error), 2 is a wrong command line.
"""

import json
import logging
import os
import sys
from argparse import ArgumentTypeError
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError
from pydantic import BaseModel

from stonks_overwatch import config, database, logs
from stonks_overwatch.errors import StonksError
from stonks_overwatch.redaction import redact
from stonks_overwatch.reports.scope import Scope, accounts
from stonks_overwatch.reports.state import told_at

log = logging.getLogger(__name__)


class Command(BaseCommand):
    """A command that ends in one of the three exit statuses and never in a traceback."""

    requires_system_checks = ()
    # They work, but are for developers; the help is for users.
    suppressed_base_arguments = {
        "--version",
        "--verbosity",
        "--settings",
        "--pythonpath",
        "--traceback",
        "--no-color",
        "--force-color",
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stderr.style_func = None  # Django's is red, and progress goes there too

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        # Without abbreviations: `--as` must not change its meaning when an option is added.
        self.parser = super().create_parser(
            prog_name, subcommand.replace("_", "-"), allow_abbrev=False, **kwargs
        )
        return self.parser

    def run_from_argv(self, argv: list[str]) -> None:
        logs.configure()
        try:
            super().run_from_argv(argv)
        except StonksError as err:
            log.warning("%s ended: %s: %s", argv[1], err.code, err.what)
            self.explain(err.what, err.next_step)
            sys.exit(1)
        except DatabaseError as err:
            log.exception("%s ended: the database failed", argv[1])
            self.explain(
                f"The database cannot be used: {err}.",
                f"Check the free space and the rights of {settings.DATA_DIR}, or put a copy from its backups "
                "in the place of db.sqlite3.",
            )
            sys.exit(1)
        except KeyboardInterrupt:
            sys.exit(130)
        except BrokenPipeError:  # `| head` has read enough; Python's own flush at exit must not find the pipe
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def explain(self, what: str, next_step: str, kind: str = "error") -> None:
        """Write the two lines of an error or a warning to standard error."""
        self.stderr.write(redact(f"{kind}: {what}\nnext step: {next_step}"))

    def show_progress(self, step: str, done: int, total: int) -> None:
        """Write one step of a long piece of work to standard error."""
        self.stderr.write(f"{step} ({done} of {total})" if total else step)

    def add_json_argument(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")

    def print_document(self, document: BaseModel | dict[str, Any]) -> None:
        """Print the document as JSON: decimals as strings, ISO 8601 dates, null for what is not known."""
        values = (
            document.model_dump(mode="json", by_alias=True) if isinstance(document, BaseModel) else document
        )
        self.stdout.write(json.dumps(values, indent=2, ensure_ascii=False))


class ReadingCommand(Command):
    """A command that shows what is stored. It works offline, and on a data folder that is still empty."""

    def add_arguments(self, parser: CommandParser) -> None:
        self.add_json_argument(parser)
        parser.add_argument("--account", metavar="ID", help="only this account (the broker's own id)")
        parser.add_argument("--broker", metavar="NAME", help="only this broker's accounts")
        parser.add_argument("--as-of", metavar="DATE", type=day, help="as it was on this day (2026-01-31)")
        parser.add_argument("--base", metavar="CUR", type=base_currency, help="reporting currency (EUR)")

    def execute(self, *args: Any, **options: Any) -> str | None:
        database.prepare()
        return super().execute(*args, **options)

    def scope(self, options: dict[str, Any]) -> Scope:
        """What the arguments ask to look at; the currency of the configuration unless another is named."""
        return Scope(
            base_currency=options["base"] or config.load().base_currency,
            account=options["account"],
            broker=options["broker"],
            as_of=options["as_of"],
        )

    def nothing(self, scope: Scope) -> str:
        """Why there is nothing to show, and what to do."""
        looked_at = accounts(scope)
        if not looked_at:
            return (
                "Nothing is stored yet. Connect a broker (docs/IBKR.md), then run: stonks-overwatch sync; "
                "or import files (docs/Import.md)."
            )
        if told_at(*looked_at) is None:
            return (
                "What the accounts hold is not known: the broker has not told all positions and cash yet. "
                "Run: stonks-overwatch sync; or import a statement with the sections Open Positions and "
                "Cash Report (docs/IBKR.md)."
            )
        return "There is nothing to show of these accounts and days."


class PeriodCommand(ReadingCommand):
    """A reading command that looks at the days from one to another, both included."""

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--from", dest="start", metavar="DATE", type=day, help="first day")
        parser.add_argument("--to", dest="end", metavar="DATE", type=day, help="last day")

    def execute(self, *args: Any, **options: Any) -> str | None:
        if options["start"] and options["end"] and options["start"] > options["end"]:
            self.parser.error("argument --from: it is after --to")
        return super().execute(*args, **options)


def day(text: str) -> date:
    """The day an argument names; for `type=` of an argument."""
    try:
        return date.fromisoformat(text)
    except ValueError as err:
        raise ArgumentTypeError(f"{text!r} is not a date like 2026-01-31") from err


def year(text: str) -> int:
    """The year an argument names; for `type=` of an argument."""
    if not (text.isascii() and text.isdigit() and len(text) == 4):
        raise ArgumentTypeError(f"{text!r} is not a year like 2026")
    return int(text)


def fraction(text: str) -> Decimal:
    """The number between -1 and 1 an argument names; for `type=` of an argument."""
    try:
        value = Decimal(text)
    except InvalidOperation as err:
        raise ArgumentTypeError(f"{text!r} is not a number like 0.03") from err
    if not value.is_finite() or abs(value) > 1:
        raise ArgumentTypeError(f"{text} is not a fraction: 3 % is 0.03")
    return value


def base_currency(text: str) -> str:
    """The currency an argument names; for `type=` of an argument."""
    try:
        return config.currency_in_use(text)
    except ValueError as err:
        raise ArgumentTypeError(str(err)) from err
