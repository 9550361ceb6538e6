"""What a figure's report is asked: the same words on a page, in the JSON, on the command line and in here."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from stonks_overwatch.ledger.lots import Method
from stonks_overwatch.ledger.models import Account
from stonks_overwatch.reports.allocation import By
from stonks_overwatch.reports.daily import Group
from stonks_overwatch.reports.exposures import RATE
from stonks_overwatch.reports.scope import Scope

Currency = Annotated[str, StringConstraints(pattern="^[A-Za-z]{3}$", to_upper=True)]
Only = Annotated[str, StringConstraints(pattern=f"^({'|'.join(Group.FIELDS)})=")]
Positive = Annotated[Decimal, Field(ge=0)]


class Arguments(BaseModel):
    """Where a figure stands: what its report is asked, and a `row` for each list on the way to it.

    Without `base` the configured currency (`in_base`). `only` looks at some holdings alone, like
    asset_class=etf; with `price_return` a benchmark's dividends are left out; `rate` and `dividend_yield` are
    what option models assume; `money`, `minimum` and `two_sided` are of a plan for new money; `q` and `each`
    of the groups of holdings; `sell`, `at` and `lot` of a sale that might be. Without `method` each account's
    own.
    """

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    account: str | None = None
    broker: str | None = None
    as_of: date | None = None
    base: Currency = ""
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
    dividend_yield: Decimal = Decimal(0)
    money: Positive = Decimal(0)
    minimum: Positive = Decimal(0)
    two_sided: bool = False
    q: str = ""
    each: bool = False
    sell: Decimal | None = None
    at: Decimal | None = None
    lot: tuple[str, ...] = ()
    row: tuple[str, ...] = ()
    page: int = 1

    def in_base(self, currency: str) -> "Arguments":
        """The same, in this currency where none is named."""
        return self if self.base else self.but(base=currency)

    def but(self, **other: Any) -> "Arguments":
        """The same with other arguments."""
        return self.model_copy(update=other)

    @property
    def scope(self) -> Scope:
        return Scope(self.base, self.account, self.broker, self.as_of)

    @property
    def group(self) -> Group | None:
        field, _, value = (self.only or "").partition("=")
        return Group(field, value) if field else None

    def address(self, figure: str, *row: str, **other: Any) -> str:
        """Where the explanation of a figure is, asked the same; `other` replaces an argument.

        Arguments that the figure's report does not take are left out.
        """
        told = self.but(row=row, page=1, **other).model_dump(
            mode="json", by_alias=True, exclude_defaults=True
        )
        words = [
            (name, "1" if value is True else value)
            for name, value in told.items()
            if name not in _TAKEN_BY or any(part in f"{figure}." for part in _TAKEN_BY[name])
        ]
        return f"/explain/{figure}?{urlencode(words, doseq=True)}"


LISTS = ("row", "lot")
"""Arguments that can be named several times."""
_TAKEN_BY = {
    "by": ("allocation.", "diversification.", "targets."),
    "rate": ("exposures.",),
    "dividend_yield": ("exposures.",),
    **dict.fromkeys(("money", "minimum", "two_sided"), ("targets.",)),
    "instrument": ("instrument.", "what_if."),
    **dict.fromkeys(("sell", "at", "lot"), ("what_if.",)),
    **dict.fromkeys(("q", "each"), (".groups.",)),
}


def of_account(account: Account) -> dict[str, str]:
    """The arguments that look at one account alone."""
    return {"account": account.account, "broker": account.broker}


def asked_in(address: str) -> tuple[str, dict[str, Any]]:
    """The name of the figure, and the words of an address as a page has it; a name alone has none."""
    parts = urlsplit(address)
    words = parse_qs(parts.query)
    figure = unquote(parts.path.rpartition("/")[2])
    return figure, {name: found if name in LISTS else found[-1] for name, found in words.items()}
