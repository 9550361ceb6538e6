"""Arguments that several reports of returns share."""

from argparse import ArgumentTypeError

from django.core.management.base import CommandParser

from stonks_overwatch.reports.daily import Group


def add_only(parser: CommandParser) -> None:
    parser.add_argument(
        "--only",
        metavar="FIELD=VALUE",
        type=group,
        help=f"only holdings like asset_class=etf; fields: {', '.join(Group.FIELDS)}",
    )


def group(text: str) -> Group:
    """The holdings an argument names; for `type=` of an argument."""
    field, equals, value = text.partition("=")
    if not equals or field not in Group.FIELDS:
        raise ArgumentTypeError(f"{text!r} is not like asset_class=etf; fields: {', '.join(Group.FIELDS)}")
    return Group(field, value)


def add_price_return(parser: CommandParser) -> None:
    parser.add_argument(
        "--price-return",
        action="store_true",
        help="leave the benchmark's dividends out; otherwise those that are known are reinvested",
    )
