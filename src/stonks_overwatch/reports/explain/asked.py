"""What the address of a figure asks: the same words on a page, in the JSON and on the command line."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import BaseModel, Field, StringConstraints

from stonks_overwatch.ledger.lots import Method
from stonks_overwatch.reports.allocation import By
from stonks_overwatch.reports.daily import Group
from stonks_overwatch.reports.explain.finding import Arguments
from stonks_overwatch.reports.exposures import RATE
from stonks_overwatch.reports.scope import Scope

Currency = Annotated[str, StringConstraints(pattern="^[A-Za-z]{3}$", to_upper=True)]
Only = Annotated[str, StringConstraints(pattern=f"^({'|'.join(Group.FIELDS)})=")]
Positive = Annotated[Decimal, Field(ge=0)]


class AskedFigure(BaseModel):
    """Where a figure stands: what its report is asked, and a `row` for each list on the way to it.

    `only` looks at some holdings alone, like asset_class=etf; with `price_return` a benchmark's dividends are
    left out; `rate` is what option models assume; `money`,
    `minimum` and `two_sided` are of a plan for new money; `q` and `each` of the groups of holdings; `sell`
    and `at` of a sale that might be. Without `method` each account's own.
    """

    account: str | None = None
    broker: str | None = None
    as_of: date | None = None
    base: Currency | None = None
    start: date | None = Field(None, alias="from")
    end: date | None = Field(None, alias="to")
    only: Only | None = None
    by: By | Literal["instrument"] = "asset_class"
    year: int | None = None
    method: Method | None = None
    benchmark: str = ""
    price_return: bool = False
    instrument: int | None = None
    rate: Decimal = RATE
    money: Positive = Decimal(0)
    minimum: Positive = Decimal(0)
    two_sided: bool = False
    q: str = ""
    each: bool = False
    sell: Decimal | None = None
    at: Decimal | None = None
    row: list[str] = []
    page: int = 1

    def arguments(self, base_currency: str) -> Arguments:
        """For the report; `base_currency` where the address names none."""
        field, _, value = (self.only or "").partition("=")
        return Arguments(
            scope=Scope(self.base or base_currency, self.account, self.broker, self.as_of),
            start=self.start,
            end=self.end,
            by=self.by,
            year=self.year,
            method=self.method,
            benchmark=self.benchmark,
            price_return=self.price_return,
            instrument=self.instrument,
            only=Group(field, value) if field else None,
            rate=self.rate,
            money=self.money,
            minimum=self.minimum,
            two_sided=self.two_sided,
            query=self.q,
            each=self.each,
            sell=self.sell,
            at=self.at,
            rows=tuple(self.row),
        )


def asked_in(address: str) -> tuple[str, dict[str, Any]]:
    """The name of the figure, and the words of an address as a page has it; a name alone has none."""
    parts = urlsplit(address)
    words = parse_qs(parts.query)
    figure = unquote(parts.path.rpartition("/")[2])
    return figure, {name: found if name == "row" else found[-1] for name, found in words.items()}
