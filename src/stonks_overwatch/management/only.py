"""The argument that looks at some holdings alone."""

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
