from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from stonks_overwatch.errors import (
    AccountNotVisibleError,
    BrokerBusyError,
    BrokerUnavailableError,
    BrokerUnreachableError,
    CredentialsRefusedError,
    KeyFileMissingError,
    StonksError,
    UnexpectedAnswerError,
)
from stonks_overwatch.services import brokers
from stonks_overwatch.services.brokers.base import Answer, Raw
from stonks_overwatch.services.brokers.ibkr import agenda
from stonks_overwatch.services.brokers.ibkr.agenda import Holding
from stonks_overwatch.services.brokers.ibkr.repositories.models import (
    IbkrCall,
    IbkrContract,
    IbkrPosition,
    IbkrQuestion,
    IbkrTransaction,
)
from stonks_overwatch.services.brokers.ibkr.sandbox import Fault, Sandbox, preset
from tests.services.brokers.ibkr.conftest import LogIn, asked

MAIN = "U7654321"
SECOND = "U2468013"
APPLE = 265598
PAGES = f"GET portfolio/{MAIN}/positions/0"
FRESH = f"GET portfolio2/{MAIN}/positions"

Run = Callable[..., Raw]

pytestmark = pytest.mark.django_db


@pytest.fixture
def small(login: LogIn) -> tuple[Sandbox, Run]:
    """A sandbox with one account of six positions, and a fetch of it: `run(accounts=("U1",))`."""
    sandbox, user = login("small")

    def run(**changes: Any) -> Raw:
        login_ = user.model_copy(update=changes)
        return brokers.load("ibkr").fetch(login_, date(2020, 1, 1), lambda *_: None)

    return sandbox, run


def keep(raw: Raw) -> Raw:
    brokers.load("ibkr").keep(raw)
    return raw


def pass_time() -> None:
    """Let the quarter of an hour that PortfolioAnalyst wants be over."""
    IbkrCall.objects.update(last_at=datetime(2020, 1, 1, tzinfo=UTC))


def of(raw: Raw, endpoint: str) -> list[Answer]:
    return [answer for answer in raw.answers if answer.endpoint == endpoint]


def held(raw: Raw, account: str = MAIN) -> dict[str, Decimal]:
    """What the ledger is told of an account: the quantities of its complete positions."""
    rows = brokers.load("ibkr").transform(raw).positions[account]
    return {row.broker_ref: row.quantity for row in rows if row.quantity}


# --- what is asked for ----------------------------------------------------------------------------


def test_one_fetch_brings_everything(small: tuple[Sandbox, Run]) -> None:
    sandbox, run = small

    raw = run()

    assert not raw.failures
    assert [answer.endpoint for answer in raw.answers] == [
        "GET portfolio/accounts",
        f"GET portfolio/{MAIN}/meta",
        f"GET portfolio/{MAIN}/summary",
        PAGES,
        FRESH,
        f"GET portfolio/{MAIN}/ledger",
        "POST pa/transactions",
        "GET trsrv/secdef",
        "POST pa/performance",
    ]
    assert of(raw, FRESH)[0].request["complete"] is True
    assert {call.status for call in sandbox.calls} == {200}
    assert len(held(raw)) == 6


def test_the_first_answer_without_names_is_not_the_one_that_counts(
    small: tuple[Sandbox, Run], waits: list[float]
) -> None:
    sandbox, run = small

    raw = run()

    assert asked(sandbox).count(PAGES) == 2  # cold, then with contract data
    assert all("ticker" in row for row in of(raw, PAGES)[0].body)
    assert waits == [pytest.approx(1.5, abs=0.5)]


def test_a_warm_answer_is_not_waited_for(small: tuple[Sandbox, Run], waits: list[float]) -> None:
    sandbox, run = small
    run()
    IbkrCall.objects.all().delete()
    before, waits[:] = len(sandbox.calls), []

    run()

    assert asked(sandbox)[before:].count(PAGES) == 1
    assert not waits


def test_all_accounts_and_all_currencies_are_read(login: LogIn) -> None:
    sandbox, user = login("demo")
    seen: list[tuple[str, int, int]] = []

    raw = brokers.load("ibkr").fetch(user, date(2020, 1, 1), lambda *step: seen.append(step))

    assert not raw.failures
    batch = brokers.load("ibkr").transform(raw)
    assert {account: len(rows) for account, rows in batch.positions.items()} == {
        account: len(sandbox.world.shown(account)) for account in (MAIN, SECOND)
    }
    # Progress never goes back and ends at its end.
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)
    assert seen[-1][1] == seen[-1][2]
    assert f"Positions of {SECOND}" in [what for what, _, _ in seen]


def test_pages_are_read_to_the_end_and_shifting_ones_lose_nothing(login: LogIn) -> None:
    sandbox, user = login("large")
    sandbox.faults.add(preset("shifting_pages", times=3))

    raw = brokers.load("ibkr").fetch(user, date(2020, 1, 1), lambda *_: None)

    assert not raw.failures
    assert sum(len(rows) for rows in brokers.load("ibkr").transform(raw).positions.values()) == 5000
    definitions = of(raw, "GET trsrv/secdef")
    assert len(definitions) == 25  # 200 at once
    assert all(len(a.request["conids"].split(",")) == 200 for a in definitions)


def test_an_account_without_positions_is_complete_and_empty(login: LogIn) -> None:
    sandbox, user = login("empty")

    raw = brokers.load("ibkr").fetch(user, date(2020, 1, 1), lambda *_: None)

    assert not raw.failures
    assert brokers.load("ibkr").transform(raw).positions == {MAIN: ()}
    assert "POST pa/transactions" not in asked(sandbox)  # there is nothing to ask about


def test_only_the_accounts_of_the_configuration_are_read(login: LogIn) -> None:
    sandbox, user = login("demo", accounts=(SECOND,))

    raw = brokers.load("ibkr").fetch(user, date(2020, 1, 1), lambda *_: None)

    assert not raw.failures
    assert not [call for call in asked(sandbox) if MAIN in call]
    assert of(raw, "POST pa/performance")[0].request["acctIds"] == [SECOND]


def test_an_account_that_is_not_shown_is_named_and_the_others_are_read(small: tuple[Sandbox, Run]) -> None:
    _, run = small

    raw = run(accounts=(MAIN, "U0000001"))

    assert [type(err) for err in raw.failures] == [AccountNotVisibleError]
    assert "U0000001" in raw.failures[0].what
    assert len(held(raw)) == 6


def test_no_account_at_all_is_an_error(small: tuple[Sandbox, Run]) -> None:
    sandbox, run = small
    with pytest.raises(AccountNotVisibleError, match="U0000001"):
        run(accounts=("U0000001",))
    sandbox.faults.add(Fault("status", "GET portfolio/accounts", status=200, body="[]"))
    with pytest.raises(AccountNotVisibleError, match="lists no account"):
        run()


def test_an_empty_first_list_of_accounts_is_asked_for_again(small: tuple[Sandbox, Run]) -> None:
    sandbox, run = small
    sandbox.faults.add(Fault("status", "GET portfolio/accounts", times=2, status=200, body="[]"))

    assert not run().failures
    assert asked(sandbox).count("GET portfolio/accounts") == 3


def test_a_missing_key_file_is_said_before_anything_is_sent(small: tuple[Sandbox, Run]) -> None:
    sandbox, run = small
    raw = run()
    assert raw.login == ""
    credentials = sandbox.config_file.parent / "private_signature.pem"
    aside = credentials.rename(credentials.with_suffix(".aside"))
    before = len(sandbox.calls)
    try:
        with pytest.raises(KeyFileMissingError):
            run()
    finally:
        aside.rename(credentials)
    assert len(sandbox.calls) == before


# --- positions that are not what they seem --------------------------------------------------------


def test_an_incomplete_first_list_is_read_again(small: tuple[Sandbox, Run]) -> None:
    sandbox, run = small
    run()
    sandbox.faults.add(preset("incomplete_positions"))  # half of the rows, twice

    raw = run()

    assert not raw.failures
    assert len(held(raw)) == 6
    assert of(raw, FRESH)[0].request == {"attempt": 3, "complete": True}
    assert len(of(raw, PAGES)) == 1  # of the attempts only the last is handed on


def test_a_sold_position_is_gone_though_the_cached_list_still_has_it(small: tuple[Sandbox, Run]) -> None:
    sandbox, run = small
    run()
    sandbox.world.sell(MAIN, APPLE, Decimal("2.125"))
    sandbox.faults.add(preset("stale_positions"))

    raw = run()

    assert f"POST portfolio/{MAIN}/positions/invalidate" in asked(sandbox)
    assert of(raw, FRESH)[0].request["complete"] is True
    assert str(APPLE) not in held(raw)
    assert len(held(raw)) == 5


def test_a_fresh_list_that_is_too_short_closes_nothing(small: tuple[Sandbox, Run]) -> None:
    sandbox, run = small
    sandbox.faults.add(Fault("incomplete", "GET portfolio2/*"))

    raw = run()

    assert of(raw, FRESH)[0].request["complete"] is False
    batch = brokers.load("ibkr").transform(raw)
    assert MAIN not in batch.positions
    assert len(batch.partial_positions) == 6


def test_two_empty_lists_close_nothing_while_the_account_is_worth_something(
    small: tuple[Sandbox, Run],
) -> None:
    sandbox, run = small
    sandbox.faults.add(Fault("status", "GET portfolio*/*/positions*", status=200, body="[]"))

    raw = run()

    assert of(raw, FRESH)[0].request["complete"] is False
    assert MAIN not in brokers.load("ibkr").transform(raw).positions


def test_without_the_fresh_list_the_pages_do_and_close_nothing(small: tuple[Sandbox, Run]) -> None:
    sandbox, run = small
    sandbox.faults.add(preset("unavailable", where="GET portfolio2/*"))

    raw = run()

    assert [type(err) for err in raw.failures] == [BrokerUnavailableError]
    assert len(brokers.load("ibkr").transform(raw).partial_positions) == 6


def test_without_the_pages_the_fresh_list_does_once_it_is_confirmed(small: tuple[Sandbox, Run]) -> None:
    sandbox, run = small
    sandbox.faults.add(preset("unavailable", where="GET portfolio/*/positions/*"))

    raw = run()

    assert [type(err) for err in raw.failures] == [BrokerUnavailableError]
    assert asked(sandbox).count(FRESH) == 2
    assert len(held(raw)) == 6


def test_without_both_lists_nothing_is_known_of_the_positions(small: tuple[Sandbox, Run]) -> None:
    sandbox, run = small
    sandbox.faults.add(preset("html", where="GET portfolio*/*/positions*"))

    raw = run()

    assert [type(err) for err in raw.failures] == [UnexpectedAnswerError] * 2
    batch = brokers.load("ibkr").transform(raw)
    assert MAIN not in batch.positions
    assert not batch.partial_positions
    assert of(raw, f"GET portfolio/{MAIN}/ledger")  # the rest went on


@pytest.mark.parametrize("fault", ["nan_prices", "missing_fields", "extra_fields", "conid_type"])
def test_odd_rows_do_not_keep_a_list_from_being_complete(small: tuple[Sandbox, Run], fault: str) -> None:
    sandbox, run = small
    sandbox.faults.add(preset(fault))

    raw = run()

    assert not raw.failures
    assert len(held(raw)) == 6


def test_a_ledger_without_a_currency_of_the_positions_is_read_again(small: tuple[Sandbox, Run]) -> None:
    sandbox, run = small
    sandbox.faults.add(preset("ledger_incomplete"))

    raw = run()

    ledger = of(raw, f"GET portfolio/{MAIN}/ledger")
    assert len(ledger) == 1
    assert {"EUR", "USD", "GBP", "CHF", "BASE"} <= ledger[0].body.keys()


def test_an_empty_ledger_is_read_again(login: LogIn) -> None:
    sandbox, user = login("empty")
    sandbox.faults.add(Fault("status", "GET portfolio/*/ledger", times=1, status=200, body="{}"))

    raw = brokers.load("ibkr").fetch(user, date(2020, 1, 1), lambda *_: None)

    assert of(raw, f"GET portfolio/{MAIN}/ledger")[0].body["BASE"]


# --- what fails on the way ------------------------------------------------------------------------


def test_one_failing_step_leaves_the_others(small: tuple[Sandbox, Run]) -> None:
    sandbox, run = small
    sandbox.faults.add(preset("transactions_500"))
    sandbox.faults.add(preset("unavailable", where="GET portfolio/*/summary"))

    raw = run()

    assert [type(err) for err in raw.failures] == [BrokerUnavailableError] * 2
    assert asked(sandbox).count("POST pa/transactions") == 1  # its pace allows one try
    assert of(raw, "POST pa/performance")
    assert len(held(raw)) == 6


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("login_401", CredentialsRefusedError),
        ("unavailable", BrokerUnavailableError),
        ("reset", BrokerUnreachableError),
        ("busy", BrokerBusyError),
        ("not_enabled_accounts", StonksError),
        ("error_object", UnexpectedAnswerError),
    ],
)
def test_without_login_or_accounts_there_is_nothing(
    small: tuple[Sandbox, Run], fault: str, error: type[StonksError]
) -> None:
    sandbox, run = small
    sandbox.faults.add(preset(fault))

    with pytest.raises(error):
        run()


def test_a_429_ends_the_fetch_with_what_there_is(small: tuple[Sandbox, Run]) -> None:
    sandbox, run = small
    sandbox.faults.add(preset("busy", where="GET portfolio/*/ledger"))

    raw = run()

    assert [type(err) for err in raw.failures] == [BrokerBusyError]
    assert asked(sandbox)[-1] == f"GET portfolio/{MAIN}/ledger"
    assert len(held(raw)) == 6
    with pytest.raises(BrokerBusyError):
        run()
    assert asked(sandbox)[-1] == f"GET portfolio/{MAIN}/ledger"


def test_a_dead_connection_ends_the_fetch_with_what_there_is(small: tuple[Sandbox, Run]) -> None:
    sandbox, run = small
    run()
    sandbox.faults.add(preset("reset", where="GET portfolio/U*"))
    sandbox.faults.add(preset("reset", where="GET portfolio2*"))

    raw = run()

    assert all(isinstance(err, BrokerUnreachableError) for err in raw.failures)
    assert [answer.endpoint for answer in raw.answers] == ["GET portfolio/accounts"]
    # The first page, the account and its summary: three calls of three tries each.
    assert len([call for call in sandbox.calls if call.status == 0]) == 9


def test_a_token_that_dies_on_the_way_is_not_noticed(small: tuple[Sandbox, Run]) -> None:
    sandbox, run = small
    sandbox.faults.add(preset("token_expired"))

    raw = run()

    assert not raw.failures
    assert len(held(raw)) == 6
    assert asked(sandbox).count("POST oauth/live_session_token") == 2


# --- PortfolioAnalyst, a question at a time -------------------------------------------------------


def test_slow_questions_are_left_out_until_they_are_due(small: tuple[Sandbox, Run]) -> None:
    _, run = small
    keep(run())

    again = keep(run())

    assert not again.failures
    assert not of(again, "POST pa/transactions")
    assert not of(again, "POST pa/performance")
    pass_time()
    assert of(run(), "POST pa/transactions")


def test_every_instrument_is_asked_about_the_largest_first(small: tuple[Sandbox, Run]) -> None:
    _, run = small
    asked_about = []
    for _ in range(7):
        asked_about.append(of(keep(run()), "POST pa/transactions")[0].request["conids"][0])
        pass_time()

    # In EUR, by the script of the sandbox: VWCE 40 x 128.4 = 5136; MSFT 6 x 480 x .86 = 2477;
    # SHEL 50 x 27.25 x 1.15 = 1567; VQ3K7T 60 x 18.42 = 1105; NESN 9 x 82.1 x 1.06 = 783;
    # AAPL 2.125 x 230.5 x .86 = 421. Then the one asked about longest ago.
    vwce, msft, shel, turbo, nesn = "370573480", "272093", "507726782", "712345678", "29612193"
    assert asked_about == [vwce, msft, shel, turbo, nesn, str(APPLE), vwce]


def test_a_change_is_asked_about_before_everything_else(small: tuple[Sandbox, Run]) -> None:
    sandbox, run = small
    keep(run())
    pass_time()
    sandbox.world.sell(MAIN, 29612193, Decimal(9))

    raw = keep(run())

    answer = of(raw, "POST pa/transactions")[0]
    assert answer.request == {"acctIds": [MAIN], "conids": ["29612193"], "currency": "EUR", "days": 90}
    assert [row["type"] for row in answer.body["transactions"]] == ["Sell"]
    assert IbkrPosition.objects.get(conid=29612193).quantity == 0


def test_a_change_that_is_not_told_yet_is_asked_about_again_later(small: tuple[Sandbox, Run]) -> None:
    _, run = small
    keep(run())
    now = datetime.now(UTC)
    IbkrPosition.objects.update(changed_at=now - timedelta(days=30))
    IbkrPosition.objects.filter(conid=APPLE).update(changed_at=now - timedelta(hours=10))
    IbkrTransaction.objects.all().delete()

    def wanted(asked_ago: timedelta) -> int | None:
        for conid in IbkrPosition.objects.values_list("conid", flat=True):
            agenda.note("", "pa/transactions", str(conid), now - timedelta(hours=1))
        agenda.note("", "pa/transactions", str(APPLE), now - asked_ago)
        holdings = {
            row.conid: Holding(row.conid, {MAIN: row.quantity or Decimal(0)}, Decimal(1), "STK")
            for row in IbkrPosition.objects.all()
        }
        return agenda.next_instrument("", [MAIN], holdings, [MAIN], now)

    assert wanted(timedelta(hours=7)) == APPLE
    assert wanted(timedelta(minutes=30)) != APPLE


def test_instruments_without_transactions_do_not_keep_the_others_waiting(small: tuple[Sandbox, Run]) -> None:
    _, run = small
    keep(run())
    now = datetime.now(UTC)
    IbkrPosition.objects.update(changed_at=now - timedelta(hours=10))
    IbkrTransaction.objects.all().delete()
    IbkrQuestion.objects.all().delete()
    holdings = {}
    for row in IbkrPosition.objects.all():
        holdings[row.conid] = Holding(row.conid, {MAIN: row.quantity or Decimal(0)}, Decimal(2), "STK")
        if row.conid != APPLE:
            agenda.note("", "pa/transactions", str(row.conid), now - timedelta(hours=7))
    holdings[APPLE] = replace(holdings[APPLE], value=Decimal(1))

    assert agenda.next_instrument("", [MAIN], holdings, [MAIN], now) == APPLE


def test_a_question_that_fails_does_not_block_the_others(small: tuple[Sandbox, Run]) -> None:
    sandbox, run = small
    sandbox.faults.add(preset("transactions_500"))
    keep(run())
    pass_time()
    sandbox.faults.clear()

    assert of(run(), "POST pa/transactions")[0].request["conids"] == ["272093"]
    assert IbkrQuestion.objects.filter(endpoint="pa/transactions").count() == 2


def test_one_question_brings_the_performance_of_all_accounts(login: LogIn) -> None:
    _, user = login("demo")
    broker = brokers.load("ibkr")

    raw = broker.fetch(user, date(2020, 1, 1), lambda *_: None)

    assert of(raw, "POST pa/allperiods")[0].request["acctIds"] == [MAIN, SECOND]
    assert not of(raw, "POST pa/performance")
    days = Counter(point.account for point in broker.transform(raw).navs)
    assert min(days[MAIN], days[SECOND]) > 200  # a year of trading days
    keep(raw)
    again = broker.fetch(user, date(2020, 1, 1), lambda *_: None)
    assert not of(again, "POST pa/allperiods")
    assert not of(again, "POST pa/performance")


def test_the_accounts_take_turns_when_they_cannot_be_asked_about_together(login: LogIn) -> None:
    sandbox, user = login("demo")
    sandbox.faults.add(preset("unavailable", where="POST pa/allperiods"))
    asked_about = []
    for _ in range(3):
        raw = keep(brokers.load("ibkr").fetch(user, date(2020, 1, 1), lambda *_: None))
        asked_about.append(of(raw, "POST pa/performance")[0].account)
        pass_time()

    assert asked_about == [SECOND, MAIN, SECOND]


def test_no_more_history_is_asked_for_than_wanted(login: LogIn) -> None:
    _, user = login()
    since = datetime.now(UTC).date() - timedelta(days=12)

    raw = brokers.load("ibkr").fetch(user, since, lambda *_: None)

    assert of(raw, "POST pa/transactions")[0].request["days"] == 12


# --- contracts ------------------------------------------------------------------------------------


def test_known_contracts_are_not_asked_for_again_and_still_there(small: tuple[Sandbox, Run]) -> None:
    sandbox, run = small
    first = keep(run())

    again = run()

    assert asked(sandbox).count("GET trsrv/secdef") == 1
    assert of(again, "GET trsrv/secdef")[0].body == of(first, "GET trsrv/secdef")[0].body
    assert of(again, "GET trsrv/secdef")[0].fetched_at == of(first, "GET trsrv/secdef")[0].fetched_at


def test_a_new_contract_is_asked_for_alone(small: tuple[Sandbox, Run]) -> None:
    sandbox, run = small
    keep(run())
    IbkrContract.objects.filter(conid=APPLE).delete()

    raw = run()

    assert of(raw, "GET trsrv/secdef")[0].request["conids"] == str(APPLE)
    assert sandbox.calls[-1].query == f"conids={APPLE}"


def test_contracts_are_asked_for_again_after_weeks(small: tuple[Sandbox, Run]) -> None:
    sandbox, run = small
    keep(run())
    IbkrContract.objects.update(fetched_at=datetime.now(UTC) - timedelta(days=29))
    sandbox.faults.add(preset("unavailable", where="GET trsrv/secdef"))

    failed = run()
    assert [type(err) for err in failed.failures] == [BrokerUnavailableError]
    assert len(of(failed, "GET trsrv/secdef")[0].body["secdef"]) == 6  # as told then

    sandbox.faults.clear()
    keep(run())
    assert min(IbkrContract.objects.values_list("fetched_at", flat=True)) > datetime.now(UTC) - timedelta(
        days=1
    )
