"""What the canonical CSV has no columns for: the JSON file beside it, written by an export.

Each row names something of the CSV files by what they call it. All but that is optional.
"""

import zlib
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, StringConstraints

from stonks_overwatch.ledger.fields import text
from stonks_overwatch.ledger.models import Import
from stonks_overwatch.ledger.types import AssetClass

FORMAT = "stonks-overwatch export"
KIND = "details"
# How the keys of imported activities begin: with the file's own number, or made of the row's content.
BY_NUMBER, BY_CONTENT = "id:", "row:"

Exact = Annotated[Decimal, Field(allow_inf_nan=False), PlainSerializer(text, when_used="json")]
Currency = Annotated[str, StringConstraints(pattern="^[A-Z]{3}$")]


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class AccountDetails(_Row):
    account: str
    currency: Currency | None = None  # unknown
    alias: str = ""
    kind: str = ""
    opened_on: date | None = None
    lot_method: Literal["fifo", "lifo", "hifo", "average", "specific", "broker"] = "fifo"


class InstrumentDetails(_Row):
    """`symbol` and `isin` as in the CSV; `shown_symbol` where that is another."""

    isin: str = ""
    symbol: str = ""
    currency: Currency
    shown_symbol: str | None = None
    name: str
    asset_class: AssetClass
    multiplier: Annotated[Exact, Field(gt=0)]
    quote_factor: Annotated[Exact, Field(gt=0)]
    exchange: str | None = None
    country: str | None = None
    sector: str | None = None
    industry: str | None = None
    expires_on: date | None = None
    strike: Exact | None = None
    right: Literal["call", "put"] | None = None
    underlying_symbol: str | None = None
    description: str = ""


class ActivityDetails(_Row):
    account: str
    external_id: str
    trade_at: datetime | None = None
    settlement_date: date | None = None
    subtype: str = ""
    group: str | None = None
    booked_on: date | None = None
    ex_date: date | None = None
    acquired_on: date | None = None
    value: Exact | None = None
    cost: Exact | None = None
    realized_pnl: Exact | None = None
    refs: str = ""
    reverses: str | None = None


class Details(_Row):
    """The whole file."""

    format: Literal["stonks-overwatch export"]
    version: Literal[1]
    accounts: tuple[AccountDetails, ...] = ()
    instruments: tuple[InstrumentDetails, ...] = ()
    activities: tuple[ActivityDetails, ...] = ()


class Known(NamedTuple):
    """All details of all imported files, by what they are of; of two the later import counts.

    Accounts by name, instruments by ISIN, symbol and currency, activities by account and key.
    """

    accounts: dict[str, AccountDetails]
    instruments: dict[tuple[str, str, str], InstrumentDetails]
    activities: dict[tuple[str, str], ActivityDetails]


def key_of(external_id: str) -> str:
    """The key of an activity with this number in a file; in what we exported that may be a key itself."""
    return external_id if external_id.startswith(BY_CONTENT) else f"{BY_NUMBER}{external_id}"


def known() -> Known:
    found = Known({}, {}, {})
    for details in _files():
        found.accounts.update({row.account: row for row in details.accounts})
        found.instruments.update({(row.isin, row.symbol, row.currency): row for row in details.instruments})
        found.activities.update({(row.account, key_of(row.external_id)): row for row in details.activities})
    return found


def _files() -> Iterator[Details]:
    for content in Import.objects.filter(kind=KIND).order_by("pk").values_list("content", flat=True):
        yield Details.model_validate_json(zlib.decompress(content))
