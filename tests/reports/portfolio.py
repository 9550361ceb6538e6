"""A small portfolio with something on every page: two accounts, two currencies, trades, income, charges."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from stonks_overwatch.ledger import models, packed
from tests.reports import builders

TODAY = datetime.now(UTC).date()


def day(ago: int) -> date:
    return TODAY - timedelta(days=ago)


def fill() -> models.Account:
    """One euro is 1.25 dollars on every day; the first account is in euro, the second in dollars."""
    now = datetime.now(UTC)
    told: dict[str, Any] = {
        "updated_at": now,
        "cash_since": now,
        "positions_since": now,
        "reported_as_of": now,
    }
    first = builders.account("U1", "EUR", opened_on=day(500), reported_nav=builders.number("6000"), **told)
    second = builders.account("U2", "USD", opened_on=day(500), **told)
    models.FxRate.objects.bulk_create(
        models.FxRate(base="USD", quote="EUR", on=day(ago), rate=Decimal("0.8"), source="test")
        for ago in range(480)
    )
    packed.rates_changed({("USD", "EUR"): date.min})
    asml = builders.instrument(
        "ASML", name="ASML Holding NV", isin="NL0010273215", country="NL", sector="Tech"
    )
    apple = builders.instrument("AAPL", "USD", name="Apple Inc", country="US", sector="Tech")
    option = builders.instrument(
        "TSLA",
        "USD",
        name="TSLA 17JAN28 250 C",
        asset_class="option",
        multiplier=100,
        strike=250,
        right="call",
        expires_on="2028-01-17",
        underlying_symbol="TSLA",
    )
    future = builders.instrument(
        "ES", "USD", name="E-mini S&P", asset_class="future", multiplier=50, expires_on="2028-03-17"
    )
    bond = builders.instrument(
        "T",
        "USD",
        name="T 4.25 05/15/35",
        asset_class="bond",
        quote_factor=builders.number("0.01"),
        expires_on="2035-05-15",
    )
    builders.position(first, asml, "8", "700", "4808", average_cost=builders.number("601"))
    builders.position(first, apple, "10", "200", "1500", average_cost=builders.number("150"))
    builders.position(second, apple, "5", "200", None)
    builders.position(second, option, "-3", "12.5", "-3000")
    builders.position(second, future, "1", "5000", "249000", market_value=builders.number("1000"))
    builders.position(second, bond, "10000", "98.5", "9800")
    builders.cash(first, "EUR", "1000", accrued_dividends=builders.number("12.5"))
    builders.cash(first, "USD", "-250.75")
    builders.cash(second, "USD", "3000", accrued_interest=builders.number("3.1"))
    builders.activity(first, "deposit", day(400), gross="10000")
    builders.activity(second, "deposit", day(400), gross="20000")
    builders.activity(first, "buy", day(390), asml, quantity="10", price="600", gross="-6000", fee="-10")
    builders.activity(first, "buy", day(380), apple, quantity="10", price="150", gross="-1500", fee="-1")
    builders.activity(second, "buy", day(380), apple, quantity="5", price="150", gross="-750", fee="-1")
    builders.activity(first, "sell", day(100), asml, quantity="-2", price="650", gross="1300", fee="-5")
    builders.activity(first, "dividend", day(90), apple, gross="20", tax="-3")
    builders.activity(first, "dividend", day(455), apple, gross="18", tax="-2.7")
    builders.activity(first, "dividend", day(60), asml, gross="14")
    builders.activity(second, "interest", day(30), gross="7.77")
    builders.activity(first, "fee", day(20), gross="-4.5")
    builders.activity(first, "withdrawal", day(15), gross="-500")
    past = range(1, 450)
    models.NavPoint.objects.bulk_create(
        models.NavPoint(
            account=holder, on=day(ago), nav=Decimal(begin + step * ago), currency=holder.currency
        )
        for holder, begin, step in ((first, 9000, 1), (second, 20000, -1))
        for ago in past
    )
    models.Price.objects.bulk_create(
        models.Price(
            instrument=paper,
            on=day(ago),
            close=begin - Decimal(ago) / 10,
            currency=paper.currency,
            source="test",
        )
        for paper, begin in ((apple, Decimal(200)), (asml, Decimal(700)))
        for ago in past
    )
    builders.run("ok", now, accounts=2, positions=6)
    return first
