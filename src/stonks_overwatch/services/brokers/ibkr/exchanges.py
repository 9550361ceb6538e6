"""IBKR's codes of exchanges: which market each one is, from the table beside this file."""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Market:
    """A market: its MIC (ISO 10383), name and country (ISO 3166); None where there is none."""

    mic: str | None
    name: str | None
    country: str | None


UNKNOWN = Market(None, None, None)


def market(code: str | None) -> Market:
    """The market behind IBKR's code; a code that is not in the table has no name and is shown as it is."""
    return _markets().get(code or "", UNKNOWN)


@cache
def _markets() -> dict[str, Market]:
    text = files(__package__).joinpath("exchanges.csv").read_text(encoding="utf-8")
    return {
        row["code"]: Market(row["mic"] or None, row["market"], row["country"] or None)
        for row in csv.DictReader(text.splitlines())
    }
