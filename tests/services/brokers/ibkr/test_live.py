"""A login's live values from the sandbox's websocket, through the real iBind: what comes, what goes wrong."""

import os
import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import ibind.var
import pytest

from stonks_overwatch.errors import RefusedCallError
from stonks_overwatch.ledger.types import QuoteKind
from stonks_overwatch.services.brokers.base import AccountNow, LiveState
from stonks_overwatch.services.brokers.ibkr.client import client
from stonks_overwatch.services.brokers.ibkr.live import Feed, Timing, balance_of, number, quote_of
from stonks_overwatch.services.brokers.ibkr.sandbox import Fault, Sandbox, preset
from tests.services.brokers.ibkr.conftest import LogIn, asked

pytestmark = pytest.mark.django_db(transaction=True)

APPLE, MICROSOFT, ACCOUNT = "265598", "272093", "U7654321"
QUICK = Timing(
    look=0.05,
    keep_alive=0.2,
    session_ready=1.0,
    stream_ready=3.0,
    silence=3.0,
    quotes_ready=0.3,
    pauses=(60.0,),
    patience=60.0,
)
PASSING = (
    "competing",
    "cookie_changes",
    "socket_refused",
    "socket_silent",
    "socket_drops",
    "socket_closed",
    "heartbeat_skew",
    "quotes_refused",
    "quotes_delayed",
    "quotes_frozen",
    "nightly_reset",
    "unavailable",
    "unavailable_html",
    "server_error",
    "reset",
    "cut_off",
    "html",
    "clock_skew",
    "empty",
    "error_object",
    "truncated",
    "extra_fields",
)
"""Faults after which everything is well again once they are over."""
NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


def until(holds: Callable[[], Any], seconds: float = 20) -> None:
    """Wait for something to become true. Fails when it does not."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)


class Watched:
    """A feed on a sandbox, and its state when it becomes what is waited for."""

    def __init__(self, sandbox: Sandbox, feed: Feed) -> None:
        self.sandbox = sandbox
        self.feed = feed

    def becomes(self, *statuses: str) -> LiveState:
        until(lambda: self.feed.state().status in statuses)
        return self.feed.state()

    def price(self, conid: str = APPLE) -> Decimal | None:
        quote = self.feed.state().quotes.get(conid)
        return None if quote is None else quote.price

    @property
    def frames(self) -> list[str]:
        return [frame.text for frame in self.sandbox.streams.frames]


Watch = Callable[..., Watched]


@pytest.fixture
def watch(login: LogIn, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    """Starts a feed of two shares; presets of faults may be in force from the start on."""
    monkeypatch.setattr(ibind.var, "IBIND_WS_TIMEOUT", 0.5)  # what iBind waits for its own threads
    started: list[Watched] = []

    def start(
        *faults: str,
        timing: Timing = QUICK,
        conids: tuple[str, ...] = (APPLE, MICROSOFT),
        accounts: tuple[str, ...] = (),
    ) -> Watched:
        sandbox, user = login()
        sandbox.streams.seconds_between_rounds = 0.05
        for fault in faults:
            sandbox.faults.add(preset(fault))
        feed = Feed(user, timing)
        feed.watch(conids, accounts)
        started.append(Watched(sandbox, feed))
        feed.start()
        return started[-1]

    yield start
    for one in started:
        one.feed.stop()
        assert one.feed.join(timeout=20)
        # Whatever went wrong: nobody was displaced or logged out, nothing but reading was tried.
        assert "POST logout" not in asked(one.sandbox)
        assert not [call for call in one.sandbox.calls if call.is_mutating]
        assert not [frame for frame in one.sandbox.streams.frames if frame.is_mutating]


def test_quotes_come_and_move(watch: Watch) -> None:
    watched = watch()

    state = watched.becomes("live")
    until(lambda: watched.price() == Decimal("230.5"))
    watched.sandbox.world.set_price(int(APPLE), Decimal("1231.75"))
    until(lambda: watched.price() == Decimal("1231.75"))  # sent as "1,231.75"

    assert state.quotes[APPLE].kind is QuoteKind.LIVE
    assert abs(datetime.now(UTC) - state.quotes[APPLE].at) < timedelta(minutes=1)
    until(lambda: watched.price(MICROSOFT) == Decimal(480))


def test_the_accounts_own_figures_come_as_ibkr_tells_them(watch: Watch) -> None:
    watched = watch()

    until(lambda: ACCOUNT in watched.feed.state().accounts)

    # The sandbox's own NAV: 21,204.11 EUR with everything in it.
    assert watched.feed.state().accounts[ACCOUNT].nav == Decimal("21204.11")
    assert watched.feed.state().accounts[ACCOUNT].day_pnl is not None


def test_balances_rates_and_values_of_an_account_come_and_move(watch: Watch) -> None:
    watched = watch(accounts=(ACCOUNT,))
    world = watched.sandbox.world

    def now() -> AccountNow:
        return watched.feed.state().accounts.get(ACCOUNT) or AccountNow(ACCOUNT)

    until(lambda: {"EUR", "USD"} <= now().balances.keys())
    stored = world.cash[ACCOUNT]
    told = {currency: balance.amount for currency, balance in now().balances.items()}
    assert {currency: round(stored[currency], 2) for currency in told} == told
    assert "BASE" not in told
    rate = now().balances["USD"].rate
    assert rate is not None
    assert float(rate) == pytest.approx(float(world.market.cross("USD", "EUR")), rel=1e-9)
    with world.lock:
        world.cash[ACCOUNT]["EUR"] += 250
    until(lambda: now().balances["EUR"].amount == round(stored["EUR"], 2))
    assert now().traded_at is None
    # In the end nobody listens any more.
    watched.feed.stop()
    assert watched.feed.join(timeout=20)
    assert {f"uld+{ACCOUNT}", f"usd+{ACCOUNT}", "utr", "upl"} <= set(watched.frames)


def test_a_trade_is_seen(watch: Watch) -> None:
    watched = watch(accounts=(ACCOUNT,))
    until(lambda: ACCOUNT in watched.feed.state().accounts and "str+{}" in watched.frames)
    started = datetime.now(UTC)

    watched.sandbox.world.buy(ACCOUNT, int(APPLE), Decimal(1), Decimal("230.5"))

    until(lambda: watched.feed.state().accounts[ACCOUNT].traded_at is not None)
    seen = watched.feed.state().accounts[ACCOUNT].traded_at
    assert seen is not None
    assert seen >= started


def test_what_a_row_of_the_ledger_leaves_out_is_as_before() -> None:
    first = balance_of(
        {"cashbalance": 2.02e8, "exchangeRate": 1.25, "interest": 1.5, "dividends": 2.5}, NOW, None
    )
    later = balance_of({"key": "LedgerListUSD", "cashbalance": "nan", "dividends": 3}, NOW, first)
    assert (first.amount, first.rate, first.accrued) == (Decimal(202_000_000), Decimal("1.25"), Decimal(4))
    assert later == first


def test_the_session_is_opened_without_displacing_anybody(watch: Watch) -> None:
    watched = watch()
    watched.becomes("live")

    opened = asked(watched.sandbox)
    assert opened.index("POST iserver/auth/ssodh/init") < opened.index("GET iserver/accounts")
    assert 'smd+265598+{"fields":["31","7635","6509"]}' in watched.frames
    until(lambda: "tic" in watched.frames)
    until(lambda: "POST iserver/auth/status" in asked(watched.sandbox))


def test_the_gate_knows_one_way_to_open_the_session(login: LogIn) -> None:
    sandbox, user = login()
    ibkr = client(user)

    for attempt in (
        ibkr.initialize_brokerage_session,
        lambda: ibkr.initialize_brokerage_session(compete=True),
        lambda: ibkr.post("iserver/auth/ssodh/init"),
        lambda: ibkr.post("iserver/auth/ssodh/init", {"publish": True}),
        lambda: ibkr.post("iserver/auth/ssodh/init", {"publish": True, "compete": False, "more": 1}),
        lambda: ibkr.request(
            "POST",
            "iserver/auth/ssodh/init",
            json={"publish": True, "compete": False},
            params={"compete": "true"},
        ),
        lambda: ibkr._session.post(f"{ibkr.base_url}iserver/auth/ssodh/init", json={"compete": True}),
        lambda: ibkr._session.post(f"{ibkr.base_url}iserver/auth/ssodh/init", data="compete=true"),
        lambda: ibkr._session.post(f"{ibkr.base_url}iserver/auth/ssodh/init"),
    ):
        with pytest.raises(RefusedCallError):
            attempt()
    assert not [call for call in sandbox.calls if "ssodh" in call.path]

    assert ibkr.initialize_brokerage_session(compete=False).data["authenticated"]


def test_what_is_followed_changes_with_what_is_held(watch: Watch) -> None:
    watched = watch()
    until(lambda: watched.price(MICROSOFT) is not None)

    watched.feed.watch((APPLE, "370573480"))

    until(lambda: watched.price("370573480") == Decimal("128.4"))
    until(lambda: "umd+272093+{}" in watched.frames)
    assert watched.price(MICROSOFT) is None


def test_stopping_unsubscribes_closes_and_says_nothing_more(watch: Watch) -> None:
    watched = watch()
    until(lambda: watched.price() is not None and watched.price(MICROSOFT) is not None)

    watched.feed.stop()
    assert watched.feed.join(timeout=20)

    assert {"upl", "umd+265598+{}", "umd+272093+{}"} <= set(watched.frames)
    until(lambda: not watched.sandbox.streams.connections)
    assert watched.sandbox.streams.ends == [1000]
    assert not watched.feed.state().quotes
    assert asked(watched.sandbox)[-1] != "POST logout"


def test_nothing_is_opened_for_nothing(watch: Watch) -> None:
    watched = watch(conids=())
    time.sleep(0.3)

    assert watched.feed.state().status == "idle"
    assert watched.sandbox.calls == []

    watched.feed.watch((APPLE,))
    watched.becomes("live")
    watched.feed.watch(())
    watched.becomes("idle")
    until(lambda: not watched.sandbox.streams.connections)


def test_another_login_is_left_alone(watch: Watch) -> None:
    watched = watch("competing")

    state = watched.becomes("competing")

    assert "left alone" in state.what
    assert state.next_step
    assert state.retry_at is not None
    assert state.retry_at > datetime.now(UTC)
    assert watched.sandbox.streams.opened == 0
    assert asked(watched.sandbox).count("POST iserver/auth/ssodh/init") == 1


def test_a_login_that_comes_later_gets_the_session(watch: Watch) -> None:
    watched = watch()
    until(lambda: watched.price() is not None)

    watched.sandbox.faults.add(preset("competing"))

    state = watched.becomes("competing")
    assert not state.quotes
    assert not state.accounts
    until(lambda: not watched.sandbox.streams.connections)


def test_the_session_comes_back_when_the_other_login_ends(watch: Watch) -> None:
    watched = watch("competing", timing=Timing(look=0.05, patience=0.2))
    watched.becomes("competing")

    watched.sandbox.faults.clear()

    watched.becomes("live")


def test_without_rights_it_says_what_to_sign_and_lets_go(watch: Watch) -> None:
    watched = watch("quotes_refused")

    state = watched.becomes("no_rights")

    assert "Market Data Subscriptions" in state.next_step
    assert not state.quotes
    until(lambda: not watched.sandbox.streams.connections)


@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [("quotes_delayed", "delayed", QuoteKind.DELAYED), ("quotes_frozen", "closed", QuoteKind.CLOSE)],
)
def test_late_and_old_quotes_are_named_so(watch: Watch, fault: str, status: str, kind: QuoteKind) -> None:
    watched = watch(fault)

    state = watched.becomes(status)

    assert state.quotes[APPLE].kind is kind
    assert state.quotes[APPLE].price > 0


def test_a_silent_stream_is_given_up(watch: Watch) -> None:
    watched = watch("socket_silent", timing=Timing(look=0.05, silence=0.5, pauses=(60.0,)))

    state = watched.becomes("unavailable")

    assert "silent" in state.what
    assert state.retry_at is not None


def test_a_stream_that_drops_is_opened_again(watch: Watch) -> None:
    # iBind waits five seconds before it opens again; what is sent meanwhile has nowhere to go.
    watched = watch(timing=Timing(look=0.05, keep_alive=0.2))
    until(lambda: watched.price() is not None)

    watched.sandbox.faults.add(preset("socket_drops", times=1))
    until(lambda: watched.sandbox.streams.opened == 2)
    watched.sandbox.world.set_price(int(APPLE), Decimal(240))

    until(lambda: watched.price() == Decimal(240))
    assert watched.feed.state().status == "live"


@pytest.mark.parametrize("fault", ["socket_drops", "socket_closed", "cookie_changes", "socket_refused"])
def test_no_fault_of_the_stream_makes_a_storm(
    watch: Watch, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = watch(fault, timing=Timing(look=0.05, stream_ready=2.0, silence=2.0, pauses=(60.0,)))

    state = watched.becomes("unavailable")

    assert "tried again by itself" in state.next_step
    assert asked(watched.sandbox).count("POST tickle") <= 9
    assert watched.sandbox.streams.opened + watched.sandbox.streams.refused <= 9
    before = len(watched.sandbox.calls)
    time.sleep(0.5)
    assert len(watched.sandbox.calls) == before


def test_heartbeats_far_off_this_computers_clock_are_said(watch: Watch) -> None:
    watched = watch("heartbeat_skew")

    state = watched.becomes("unavailable")

    assert "This computer's clock is" in state.what
    assert "slow" in state.what  # IBKR's heartbeat is 60 seconds ahead of it
    until(lambda: not watched.sandbox.streams.connections)


def test_a_wrong_clock_is_said_before_the_stream_is_opened(watch: Watch, login: LogIn) -> None:
    sandbox, user = login()
    sandbox.faults.add(preset("clock_skew", seconds=40))
    feed = Feed(user, QUICK)
    feed.watch((APPLE,))
    feed.start()
    watched = Watched(sandbox, feed)

    state = watched.becomes("unavailable")
    feed.stop()
    assert feed.join(timeout=20)

    assert "seconds slow" in state.what
    assert sandbox.streams.opened == 0


def test_a_login_that_the_clock_spoils_is_tried_again(watch: Watch) -> None:
    watched = watch("clock_skew", timing=Timing(look=0.05, pauses=(0.2,)))
    assert "clock is 10 minutes slow" in watched.becomes("unavailable").what

    watched.sandbox.faults.clear()

    watched.becomes("live")


def test_the_nightly_reset_is_waited_for(watch: Watch) -> None:
    watched = watch("nightly_reset", timing=Timing(look=0.05, pauses=(0.2,), session_ready=0.5))
    state = watched.becomes("unavailable")

    assert "resets every night" in state.next_step
    watched.sandbox.faults.clear()
    watched.becomes("live")


def test_a_reset_that_answers_401_is_no_refused_login(watch: Watch) -> None:
    watched = watch(timing=Timing(look=0.05, pauses=(0.2,)))
    until(lambda: watched.price() is not None)

    fault = Fault("status", "* iserver/*", status=401, body='{"error":"not authenticated"}')
    watched.sandbox.faults.add(fault)
    watched.sandbox.faults.add(preset("socket_drops", times=1))

    # Each try renews the login once, as any call would that is answered so.
    client(watched.feed._login).log_in()
    assert "resets every night" in watched.becomes("unavailable").next_step
    watched.sandbox.faults.clear()
    watched.becomes("live")


def test_a_penalty_stops_it_until_it_is_over(watch: Watch) -> None:
    watched = watch("busy")

    state = watched.becomes("unavailable")

    assert state.retry_at is not None
    assert timedelta(minutes=9) < state.retry_at - datetime.now(UTC) < timedelta(minutes=11)
    before = len(watched.sandbox.calls)
    time.sleep(0.3)
    assert len(watched.sandbox.calls) == before


def test_a_reset_in_the_middle_takes_the_quotes_away(watch: Watch) -> None:
    watched = watch()
    until(lambda: watched.price() is not None)

    watched.sandbox.faults.add(preset("nightly_reset"))

    state = watched.becomes("unavailable")
    assert not state.quotes


def test_a_login_renewed_by_a_sync_opens_the_stream_anew(watch: Watch) -> None:
    watched = watch()
    until(lambda: watched.price() is not None)

    client(watched.feed._login).log_in()
    until(lambda: watched.sandbox.streams.opened == 2)
    watched.sandbox.world.set_price(int(APPLE), Decimal(250))

    until(lambda: watched.price() == Decimal(250))


def test_a_refused_login_is_not_sent_again(watch: Watch) -> None:
    watched = watch("login_401", timing=Timing(look=0.05, pauses=(0.05,)))

    state = watched.becomes("unavailable")

    assert state.retry_at is None
    time.sleep(0.3)
    assert asked(watched.sandbox) == ["POST oauth/live_session_token"]


def test_the_syncs_of_the_same_login_go_on_while_it_streams(watch: Watch) -> None:
    watched = watch()
    until(lambda: watched.price() is not None)

    positions = client(watched.feed._login).positions2(ACCOUNT).data

    assert len(positions) == 6
    assert asked(watched.sandbox).count("POST oauth/live_session_token") == 1
    assert watched.feed.state().status == "live"


def pairs() -> list[tuple[str, str]]:
    """Drawn at random, the same in each run; `make soak` draws more."""
    chance = random.Random(20261125)
    rounds = int(os.environ.get("SOAK_ROUNDS", "12"))
    return [(one, other) for one, other in (chance.sample(PASSING, 2) for _ in range(rounds))]


@pytest.mark.parametrize(("one", "other"), pairs())
def test_two_faults_at_once_harm_nothing_and_pass(watch: Watch, one: str, other: str) -> None:
    hasty = Timing(
        look=0.05,
        session_ready=0.3,
        stream_ready=0.5,
        silence=0.5,
        quotes_ready=0.2,
        pauses=(0.2,),
        patience=0.2,
    )
    watched = watch(one, other, timing=hasty)
    time.sleep(1)
    state = watched.feed.state()
    assert bool(state.quotes) <= (state.status in ("connecting", "live", "delayed", "closed"))
    assert len(watched.sandbox.calls) < 100

    watched.sandbox.faults.clear()
    watched.sandbox.world.set_price(int(APPLE), Decimal("232.5"))

    until(lambda: watched.price() == Decimal("232.5"), seconds=40)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("655.88", "655.88"),
        ("C655.89", "655.89"),
        ("H12.5", "12.5"),
        ("+3.50", "3.50"),
        ("-0.25", "-0.25"),
        ("1,234.5", "1234.5"),
        ("0.54%", "0.54"),
        (0.54, "0.54"),
        (83, "83"),
        (2.02e8, "202000000"),
        (1e-7, "0.0000001"),
        ("50.2M", "50200000"),
        ("1.2K", "1200"),
        ("3B", "3000000000"),
        (".5", "0.5"),
        ("", None),
        ("-", None),
        ("N/A", None),
        ("NaN", None),
        (float("nan"), None),
        (float("inf"), None),
        (None, None),
        ("CC1", None),
        ("1.2.3", None),
        ("\N{ARABIC-INDIC DIGIT ONE}", None),
    ],
)
def test_a_number_is_read_as_it_is_meant(given: object, expected: str | None) -> None:
    assert number(given) == (None if expected is None else Decimal(expected))


def test_a_quote_is_the_mark_price_else_the_last_one_and_says_what_it_is() -> None:
    live = quote_of("1", {"7635": "10.5", "31": "10.4", "6509": "RpB", "_updated": 1772625590000}, NOW)
    assert live is not None
    assert (live.price, live.kind) == (Decimal("10.5"), QuoteKind.LIVE)
    assert live.at == datetime(2026, 3, 4, 11, 59, 50, tzinfo=UTC)

    last = quote_of("1", {"31": "C10.4", "6509": "RpB"}, NOW)
    assert last is not None
    assert (last.price, last.kind, last.at) == (Decimal("10.4"), QuoteKind.CLOSE, NOW)


@pytest.mark.parametrize(
    "fields",
    [{}, {"31": "10"}, {"6509": "RpB"}, {"31": "10", "6509": "N"}, {"31": "", "6509": "R"}],
)
def test_without_a_price_or_a_right_to_it_there_is_no_quote(fields: dict[str, Any]) -> None:
    assert quote_of("1", fields, NOW) is None
