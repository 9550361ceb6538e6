"""From a login to the figures as a user has it, with a broker that reckons by itself what they must be."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from stonks_overwatch.services.brokers.ibkr.sandbox import Expectation, Sandbox
from tests.running import command

APPLE, MICROSOFT, MAIN = 265598, 272093, "U7654321"


@dataclass
class User:
    """Somebody at a terminal, with a data folder and a login of their own."""

    broker: Sandbox
    folder: Path

    def run(self, *arguments: str) -> Any:
        """The JSON document of a command that must succeed."""
        ended = command(
            self.folder,
            *arguments,
            "--json",
            IBIND_OAUTH1A_REST_URL=self.broker.rest_url,
            STONKS_OVERWATCH_CONFIG=str(self.broker.config_file),
        )
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)


@pytest.fixture
def at(sandbox: Callable[..., Sandbox], tmp_path: Path) -> Callable[[str], User]:
    return lambda scenario: User(sandbox(scenario), tmp_path)


def cents(amount: str | Decimal) -> Decimal:
    return round(Decimal(amount), 2)


# Without money in dollars IBKR tells no dollar rate, so "empty" is looked at in its own currency alone.
@pytest.mark.parametrize(("scenario", "bases"), [("demo", "EUR USD"), ("small", "EUR USD"), ("empty", "EUR")])
def test_every_total_is_what_the_broker_reckons_to_the_cent(
    scenario: str, bases: str, at: Callable[[str], User]
) -> None:
    user = at(scenario)
    (run,) = user.run("sync")["runs"]
    assert run["status"] == "ok"
    assert run["counts"]["inbox"] == 0
    for base in bases.split():
        agrees(user.run("holdings", "--base", base), user.broker.expected(base))
    assert all(account["agrees"] for account in user.run("reconcile")["accounts"])


def agrees(document: Any, wanted: Expectation) -> None:
    totals = document["totals"]
    assert totals["unknown"] == 0
    assert cents(totals["nav_base"]) == cents(wanted.total_nav)
    assert cents(totals["cash_base"]) == cents(wanted.total_cash)
    assert cents(totals["accrued_base"]) == cents(wanted.total_accrued)
    assert cents(totals["market_value_base"]) == cents(wanted.total_market_value)
    assert {row["account"]: (row["currency"], cents(row["nav"])) for row in document["accounts"]} == {
        name: (account.currency, cents(account.nav)) for name, account in wanted.accounts.items()
    }
    assert {(row["account"], row["currency"]): cents(row["amount"]) for row in document["cash"]} == {
        (name, currency): cents(amount)
        for name, account in wanted.accounts.items()
        for currency, amount in account.cash.items()
        if amount
    }
    assert {
        (row["account"], int(row["broker_ref"])): Decimal(row["quantity"]) for row in document["holdings"]
    } == {
        (name, conid): quantity
        for name, account in wanted.accounts.items()
        for conid, quantity in account.quantities.items()
    }


def test_a_second_sync_adds_nothing(at: Callable[[str], User]) -> None:
    user = at("small")
    user.run("sync")
    before = figures(user)
    (run,) = user.run("sync")["runs"]
    assert (run["counts"]["activities_new"], run["counts"]["inbox"]) == (0, 0)
    assert figures(user) == before


def test_a_sold_position_leaves_the_holdings_and_is_among_the_activities(at: Callable[[str], User]) -> None:
    user = at("small")
    user.run("sync")
    user.broker.world.sell(MAIN, MICROSOFT, Decimal(6), Decimal(480))
    user.run("sync")
    assert str(MICROSOFT) not in {row["broker_ref"] for row in user.run("holdings")["holdings"]}
    sales = [
        row
        for row in user.run("activities", "--kind", "sell")["activities"]
        if row["broker_ref"] == str(MICROSOFT)
    ]
    assert [Decimal(row["quantity"]) for row in sales] == [Decimal(-6)]


def test_parts_of_a_share_and_long_names_are_kept_whole(at: Callable[[str], User]) -> None:
    user = at("small")
    user.run("sync")
    holdings = {int(row["broker_ref"]): row for row in user.run("holdings")["holdings"]}
    assert holdings[APPLE]["quantity"] == "2.125"  # 1.5 and 0.625
    assert holdings[712345678]["name"] == "OPEN END TURBO LONG ON ASML HOLDING NV"


def test_the_ledger_made_anew_from_kept_answers_is_the_same(at: Callable[[str], User]) -> None:
    user = at("small")
    user.run("sync")
    user.broker.world.sell(MAIN, MICROSOFT, Decimal(6), Decimal(480))
    user.broker.world.buy(MAIN, APPLE, Decimal("0.5"), Decimal(230))
    user.run("sync")
    before = figures(user)
    document = user.run("rebuild")
    assert document["runs"] == 2
    assert Path(document["backup"]).is_file()
    assert figures(user) == before


def figures(user: User) -> list[Any]:
    """What the user sees, without the numbers of rows and the times of runs."""
    holdings, activities = user.run("holdings"), user.run("activities")
    accounts = user.run("reconcile")["accounts"]
    del holdings["as_of"]
    for row in (*holdings["holdings"], *activities["activities"], *accounts):
        for name in ("id", "price_as_of", "as_of"):
            row.pop(name, None)
    return [holdings, activities, accounts]
