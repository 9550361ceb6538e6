"""Live values are open while somebody looks, for the logins that want them, and released afterwards."""

import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import ibind.var
import pytest

from stonks_overwatch import config, live, sync
from stonks_overwatch.reports.holdings import valuation
from stonks_overwatch.reports.live import Now, at
from stonks_overwatch.reports.scope import Scope
from stonks_overwatch.services.brokers.base import LiveState
from stonks_overwatch.services.brokers.ibkr import pace
from stonks_overwatch.services.brokers.ibkr.credentials import IbkrLogin
from stonks_overwatch.services.brokers.ibkr.live import Feed, Timing
from stonks_overwatch.services.brokers.ibkr.sandbox import Sandbox, preset
from tests.conftest import StartSandbox

pytestmark = pytest.mark.django_db(transaction=True)


def until(holds: Callable[[], Any], seconds: float = 20) -> None:
    """Wait for something to become true. Fails when it does not."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)


Open = Callable[..., tuple[Sandbox, live.Desk]]


@pytest.fixture
def synced(sandbox: StartSandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """A sandbox whose login is configured here and has synced once."""
    running = sandbox("small")
    running.streams.seconds_between_rounds = 0.05
    monkeypatch.setenv("IBIND_OAUTH1A_REST_URL", running.rest_url)
    monkeypatch.setenv("STONKS_OVERWATCH_CONFIG", str(running.config_file))
    monkeypatch.setattr(pace, "wait", lambda _: None)
    monkeypatch.setattr(ibind.var, "IBIND_WS_TIMEOUT", 0.5)
    assert [run.status for run in sync.run_all("ibkr")] == ["ok"]
    return running


@pytest.fixture
def feeds() -> Iterator[list[Feed]]:
    """Every feed that a desk made; they have ended when the test has."""
    made: list[Feed] = []
    yield made
    for feed in made:
        feed.stop()
        assert feed.join(timeout=20)


@pytest.fixture
def desk(feeds: list[Feed]) -> Iterator[live.Desk]:
    def feed_of(login: IbkrLogin) -> Feed:
        feeds.append(Feed(login, Timing(look=0.05)))
        return feeds[-1]

    made = live.Desk(feed_of, look=0.05, lingers=0.3)
    yield made
    until(made.is_idle)


def states(desk: live.Desk) -> dict[str, str]:
    return {state.login: state.status for state in desk.states()}


def change_login(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """Make the configuration another one from now on."""
    loaded = config.load()
    changed = loaded.model_copy(
        update={"ibkr": tuple(login.model_copy(update=changes) for login in loaded.ibkr)}
    )
    monkeypatch.setattr(config, "load", lambda: changed)


def test_the_largest_positions_are_followed_while_a_page_is_open(synced: Sandbox, desk: live.Desk) -> None:
    with desk.watching():
        until(lambda: len(live.quotes(desk.states())) == 6)

        assert ("ibkr", "265598") in live.quotes(desk.states())
        assert states(desk) == {"": "live"}


def test_everything_is_released_after_the_last_page(
    synced: Sandbox, desk: live.Desk, feeds: list[Feed]
) -> None:
    with desk.watching():
        with desk.watching():
            until(lambda: live.quotes(desk.states()))
        time.sleep(0.6)  # longer than it lingers
        assert states(desk) == {"": "live"}  # another page still looks

    until(desk.is_idle)
    assert feeds[0].join(timeout=20)
    until(lambda: not synced.streams.connections)
    assert desk.states() == []
    assert len([frame for frame in synced.streams.frames if frame.text.startswith("umd")]) == 6
    assert not [call for call in synced.calls if call.path == "logout"]


def test_going_from_page_to_page_keeps_the_session(synced: Sandbox, desk: live.Desk) -> None:
    for _ in range(3):
        with desk.watching():
            until(lambda: live.quotes(desk.states()))

    assert synced.streams.opened == 1


def test_it_opens_again_for_the_next_reader(synced: Sandbox, desk: live.Desk, feeds: list[Feed]) -> None:
    with desk.watching():
        until(lambda: live.quotes(desk.states()))
    until(desk.is_idle)

    with desk.watching():
        until(lambda: live.quotes(desk.states()))
    assert len(feeds) == 2


def test_nothing_is_opened_for_a_login_without_live_updates(
    synced: Sandbox, desk: live.Desk, feeds: list[Feed], monkeypatch: pytest.MonkeyPatch
) -> None:
    change_login(monkeypatch, live_updates=False)
    before = len(synced.calls)

    with desk.watching():
        time.sleep(0.5)
        assert desk.states() == []

    until(desk.is_idle)
    assert feeds == []
    assert len(synced.calls) == before
    assert synced.streams.opened + synced.streams.refused == 0


def test_nothing_is_opened_while_nobody_looks(synced: Sandbox, desk: live.Desk, feeds: list[Feed]) -> None:
    time.sleep(0.3)

    assert desk.is_idle()
    assert feeds == []


def test_switching_it_off_ends_it_while_a_page_is_open(
    synced: Sandbox, desk: live.Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    with desk.watching():
        until(lambda: live.quotes(desk.states()))

        change_login(monkeypatch, live_updates=False)

        until(lambda: desk.states() == [])
        until(lambda: not synced.streams.connections)


def test_a_broken_configuration_ends_it_without_a_fuss(
    synced: Sandbox, desk: live.Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    broken = tmp_path / "config.json"
    broken.write_text("{")
    with desk.watching():
        until(lambda: live.quotes(desk.states()))
        monkeypatch.setenv("STONKS_OVERWATCH_CONFIG", str(broken))

        until(lambda: desk.states() == [])


def test_the_regular_sync_works_while_it_streams(synced: Sandbox, desk: live.Desk) -> None:
    with desk.watching():
        until(lambda: live.quotes(desk.states()))

        runs = sync.run_all("ibkr")

        assert [run.status for run in runs] == ["ok"]
        assert states(desk) == {"": "live"}
    assert len([call for call in synced.calls if call.path == "oauth/live_session_token"]) == 1


def test_the_regular_sync_works_while_another_login_competes(synced: Sandbox, desk: live.Desk) -> None:
    synced.faults.add(preset("competing"))
    with desk.watching():
        until(lambda: states(desk) == {"": "competing"})

        assert [run.status for run in sync.run_all("ibkr")] == ["ok"]


def test_a_position_that_a_sync_brings_is_followed(synced: Sandbox, desk: live.Desk) -> None:
    account = next(iter(synced.world.holders))
    with desk.watching():
        until(lambda: len(live.quotes(desk.states())) == 6)
        sold = synced.world.held(account, 272093)
        synced.world.sell(account, 272093, sold)

        sync.run_all("ibkr")

        until(lambda: ("ibkr", "272093") not in live.quotes(desk.states()))
        until(lambda: "umd+272093+{}" in [frame.text for frame in synced.streams.frames])


def test_the_newest_of_several_logins_quotes_counts(synced: Sandbox, desk: live.Desk) -> None:
    with desk.watching():
        until(lambda: live.quotes(desk.states()))
        (state,) = desk.states()
    (key, quote), *_ = live.quotes([state]).items()
    older = LiveState("other", "live", "", quotes={key[1]: quote})

    assert live.quotes([state, older])[key] == quote
    assert live.quotes([older, state])[key] == quote


def test_the_live_value_of_every_asset_class_agrees_with_the_broker(
    sandbox: StartSandbox, desk: live.Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All prices of the demo move by 1 %, then all rates by 2 % and money comes in: our value at what is
    streamed is the sandbox's own, to the cent.
    """
    running = sandbox("demo")
    running.streams.moves = False
    running.streams.seconds_between_rounds = 0.05
    monkeypatch.setenv("IBIND_OAUTH1A_REST_URL", running.rest_url)
    monkeypatch.setenv("STONKS_OVERWATCH_CONFIG", str(running.config_file))
    monkeypatch.setattr(pace, "wait", lambda _: None)
    assert [run.status for run in sync.run_all("ibkr")] == ["ok"]
    valued = valuation(Scope("EUR"))
    followed = {row.broker_ref for row in valued.document.holdings if row.asset_class != "cash"}
    for conid in followed:
        price = running.world.market.price(int(conid))
        running.world.set_price(int(conid), price + max(round(price / 100, 2), Decimal("0.01")))

    with desk.watching():
        until(lambda: len(live.quotes(desk.states())) == len(followed))
        now = at(valued, live.quotes(desk.states()))
        agree(now, running, followed)

        for currency in running.world.market.currencies:
            if currency != "EUR":
                running.world.market.set_rate(currency, running.world.market.rate(currency) * Decimal("1.02"))
        with running.world.lock:
            for account, holder in running.world.holders.items():
                running.world.move_cash(
                    account, "deposit", holder.currency, Decimal(5000), running.world.today, "Wire"
                )
        before = time.monotonic()

        def streamed() -> bool:
            now = at(valued, live.quotes(desk.states()), live.ledgers(desk.states()))
            wanted = running.expected("EUR").total_nav
            return (
                abs((now.totals.nav_base or 0) - wanted) < Decimal("0.05") or time.monotonic() > before + 10
            )

        until(streamed)
        now = at(valued, live.quotes(desk.states()), live.ledgers(desk.states()))
        assert not now.unsynced
        assert now.cash
        agree(now, running, followed)


def agree(now: Now, running: Sandbox, followed: set[str]) -> None:
    expected = running.expected("EUR")
    assert len(now.quotes) == len(followed)
    assert now.totals.nav_base is not None
    assert abs(now.totals.nav_base - expected.total_nav) < Decimal("0.05")
    for name, account in expected.accounts.items():
        nav, _ = now.navs["ibkr", name]
        assert nav is not None
        assert abs(nav - account.nav) < Decimal("0.05")
