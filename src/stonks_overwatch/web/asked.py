"""What the address of a report over time asks for: which account, which period."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from stonks_overwatch.reports.booked import year_before

DEFAULT = "1y"
_DAY = timedelta(days=1)
_SPANS = (("1y", "Last 12 months", 1), ("3y", "Last 3 years", 3), ("5y", "Last 5 years", 5))


@dataclass(frozen=True, slots=True)
class Asked:
    """`period` is one of `choices`; anything else in the address is replaced by the default.

    `start` is None for all that is known. `page` counts from 1.
    """

    account: str
    period: str
    start: date | None
    end: date | None
    page: int
    choices: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, parameters: Mapping[str, str], today: date | None, first: date | None) -> "Asked":
        """`today` and `first` are the last and the first day that the ledger knows."""
        periods: dict[str, tuple[str, date | None, date | None]] = {}
        if today is not None:
            for key, text, years in _SPANS:
                periods[key] = text, year_before(today, years) + _DAY, today
            periods["ytd"] = "This year", date(today.year, 1, 1), today
            for year in range(today.year - 1, (first or today).year - 1, -1):
                periods[str(year)] = str(year), date(year, 1, 1), date(year, 12, 31)
        periods["all"] = "Everything", None, today
        asked = parameters.get("period", DEFAULT)
        period = asked if asked in periods else DEFAULT if DEFAULT in periods else "all"
        _, start, end = periods[period]
        page = parameters.get("page", "")
        return cls(
            account=parameters.get("account", ""),
            period=period,
            start=start,
            end=end,
            page=int(page) if page.isascii() and page.isdigit() and len(page) < 7 else 1,
            choices=tuple((key, text) for key, (text, _, _) in periods.items()),
        )
