"""Stories from answer to ledger: golden/<story>/answers.json as it came, expected.json worked out by hand."""

import json
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from stonks_overwatch.ledger import models, store
from stonks_overwatch.services import brokers
from stonks_overwatch.services.brokers.base import Answer, Raw

GOLDEN = Path(__file__).parent / "golden"


def fetches(story: Path) -> list[Raw]:
    """The answers of each sync, decoded as the client decodes them."""
    told = json.loads((story / "answers.json").read_text(), parse_float=Decimal)
    found = []
    for sync in told:
        at = datetime.fromisoformat(sync["at"])
        answers = [
            Answer(a["endpoint"], a.get("account"), a.get("request", {}), a["body"], at)
            for a in sync["answers"]
        ]
        found.append(Raw(login="", fetched_at=at, answers=answers))
    return found


def plain(value: Any, like: Any) -> Any:
    """A column's value as JSON has it; a number is written as expected where it is the same number."""
    if isinstance(value, Decimal):
        return like if isinstance(like, str) and Decimal(like) == value else str(value)
    return value.isoformat() if isinstance(value, date) else value


def nav(account: models.Account) -> Decimal:
    """Positions, cash and accruals at the ledger's rates, in the account's currency."""
    rates = {rate.base: rate.rate for rate in models.FxRate.objects.filter(quote=account.currency)}
    rates[account.currency] = Decimal(1)
    total = Decimal(0)
    for position in models.Position.objects.filter(account=account).select_related("instrument"):
        assert position.market_value is not None
        total += position.market_value * rates[position.instrument.currency]
    for cash in models.CashBalance.objects.filter(account=account):
        accrued = (cash.accrued_interest or Decimal(0)) + (cash.accrued_dividends or Decimal(0))
        total += (cash.amount + accrued) * rates[cash.currency]
    return total


@pytest.mark.django_db
@pytest.mark.parametrize("story", sorted(GOLDEN.glob("*/answers.json")), ids=lambda file: file.parent.name)
def test_the_ledger_tells_the_story(story: Path) -> None:
    story = story.parent
    for raw in fetches(story):
        store.record(brokers.load("ibkr").transform(raw))
    expected = json.loads((story / "expected.json").read_text())
    assert expected.pop("about")
    for account, wanted in expected.pop("nav", {}).items():
        assert nav(models.Account.objects.get(account=account)) == Decimal(wanted)
    for table, wanted_rows in expected.items():
        columns = list(dict.fromkeys(name for row in wanted_rows for name in row))
        found = sorted(getattr(models, table).objects.values(*(columns or ["pk"])), key=repr)
        assert len(found) == len(wanted_rows), table
        unmatched = list(found)
        for wanted_row in wanted_rows:
            matching = [row for row in unmatched if all(plain(row[k], v) == v for k, v in wanted_row.items())]
            assert matching, f"{table}: nothing is {wanted_row}, there is {unmatched}"
            unmatched.remove(matching[0])
