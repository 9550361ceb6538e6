"""How often the pages ask the database: as often for a thousand positions as for ten."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from stonks_overwatch.ledger import store
from stonks_overwatch.ledger.models import Account, Figure
from stonks_overwatch.ledger.types import ActivityKind
from tests.builders import account, activity, batch
from tests.reports import builders
from tests.web.conftest import Configure

pytestmark = pytest.mark.django_db


def fill(holder: Account, start: int, end: int) -> None:
    currencies = ("EUR", "USD", "GBP", "CHF")
    for number in range(start, end):
        held = builders.instrument(f"S{number}", currencies[number % len(currencies)])
        builders.position(holder, held, str(number + 1), "10", "9")
        builders.activity(holder, "opening", of=held, quantity=str(number + 1), price="9")


def queries(reader: Client, page: str) -> int:
    reader.get(page)  # stores what is worked out once after each change of the ledger
    reader.get(page)  # works out what is stored then
    with CaptureQueriesContext(connection) as captured:
        assert reader.get(page).status_code == 200
    return len(captured)


def test_a_page_asks_as_often_for_a_thousand_positions_as_for_ten(
    configure: Configure, reader: Client
) -> None:
    configure()
    holder = builders.account(updated_at=datetime.now(UTC))
    other = builders.account("U2", "USD", updated_at=datetime.now(UTC))
    for currency in ("USD", "GBP", "CHF"):
        builders.rate(currency, "EUR", "0.9", datetime.now(UTC).date())
    builders.cash(holder, "EUR", "1")
    builders.cash(other, "USD", "1")
    builders.run("ok", datetime.now(UTC))
    pages = (
        "/",
        "/holdings",
        "/holdings?account=each",
        "/accounts",
        "/reconcile",
        "/performance",
        "/sync",
        "/settings",
        "/welcome",
    )

    fill(holder, 0, 10)
    few = {page: queries(reader, page) for page in pages}
    fill(holder, 10, 1000)
    many = {page: queries(reader, page) for page in pages}

    assert many == few
    assert max(many.values()) <= 30


def test_a_page_asks_as_often_for_accounts_in_six_currencies_as_in_two(
    configure: Configure, reader: Client
) -> None:
    configure()
    builders.run("ok", datetime.now(UTC))
    today = datetime.now(UTC).date()

    def asked(currency: str) -> dict[str, int]:
        """With one account more, of which the broker tells a return."""
        name, at = f"U{currency}", datetime.now(UTC)
        put_in = [
            activity(ActivityKind.DEPOSIT, today - timedelta(days=9), gross="9", ref=None, key="in",
                     account=name, currency=currency)
        ]  # fmt: skip
        told = batch(None, at=at, cash=None, accounts=(account(name, currency),), activities=put_in)
        store.record(told)
        Figure.objects.create(
            account=Account.objects.get(account=name),
            section="ChangeInNAV",
            name="twr",
            since=today - timedelta(days=5),
            until=today - timedelta(days=2),
            currency=currency,
            amount=Decimal(1),
        )
        return {page: queries(reader, page) for page in ("/reconcile", "/income", "/fees", "/contributions")}

    _, two, *others = map(asked, ("EUR", "USD", "GBP", "CHF", "JPY", "SEK"))
    assert others == [two] * 4
