"""Figures that move with the market while a page is open, in headless Chromium."""

import json
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, Page, expect

from stonks_overwatch.services.brokers.ibkr.sandbox import Sandbox, preset
from tests import running
from tests.web import test_browser
from tests.web.test_browser import DESKTOP, PHONE, Visit, violations

pytestmark = pytest.mark.browser
browser = test_browser.browser

APPLE = 265598


def until(holds: Callable[[], Any], seconds: float = 30) -> None:
    """Wait for something to become true. Fails when it does not."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.05)


@pytest.fixture
def synced(sandbox_directory: Path, tmp_path: Path, browser: Browser) -> Iterator[tuple[Sandbox, str]]:
    """A sandbox with one small account, and the address of an app that has synced it."""
    with Sandbox.start(sandbox_directory, scenario="small", pace=False) as sandbox:
        sandbox.streams.seconds_between_rounds = 0.1
        more = {
            "IBIND_OAUTH1A_REST_URL": sandbox.rest_url,
            "STONKS_OVERWATCH_CONFIG": str(sandbox.config_file),
        }
        with running.app(tmp_path, **more) as app:
            until(lambda: last_status(app.address) not in ("", "running"))
            assert last_status(app.address) == "ok"
            yield sandbox, app.address


def last_status(address: str) -> str:
    with urlopen(f"{address}/api/v1/sync") as answer:
        runs = json.load(answer)["runs"]
    return str(runs[0]["status"]) if runs else ""


def places(page: Page) -> Any:
    """Where everything stands that a moving figure could push: cards, rows and their cells."""
    return page.evaluate(
        """[...document.querySelectorAll('.card, tr, td, th, .figures dd, .live-state, .as-of')].map(one => {
             const box = one.getBoundingClientRect();
             return [box.x, box.y, box.width, box.height].map(Math.round);
           })"""
    )


def nav_text(sandbox: Sandbox) -> str:
    """The account's value by the sandbox's own books, as a page writes it."""
    (account,) = sandbox.world.holders
    return f"{sandbox.world.nav(account):,.2f}"


def test_the_dashboard_moves_in_place_and_says_that_it_is_live(
    synced: tuple[Sandbox, str], browser: Browser
) -> None:
    sandbox, address = synced
    visit = Visit(browser, address, DESKTOP, "light")
    page = visit.open("/")
    nav = page.locator("[data-live=nav]")
    expect(nav).to_contain_text("21,204.11")
    page.evaluate("window.stillThere = true")
    before = places(page)

    expect(page.locator("[data-live-label]")).to_contain_text("Live", timeout=20_000)
    expect(nav).to_have_class("is-live")
    sandbox.world.set_price(APPLE, Decimal("236.5"))
    expect(nav).to_contain_text(nav_text(sandbox))  # 2.125 x 6 USD x 0.86 = 10.965 EUR more

    assert nav_text(sandbox) == "21,215.07"
    (account,) = sandbox.world.holders
    sandbox.world.move_cash(account, "deposit", "EUR", Decimal(100), sandbox.world.today, "Wire")
    expect(nav).to_contain_text("21,315.07")
    assert "balances" in (page.locator("[data-live=cash]").get_attribute("title") or "")
    assert places(page) == before
    assert "Live quote of" in (nav.get_attribute("title") or "")
    assert page.evaluate("window.stillThere") is True
    page.locator("[data-live-label]").click()
    expect(page.get_by_text("IBKR's quotes in real time.")).to_be_visible()
    assert violations(page) == []
    assert visit.complaints == []
    visit.context.close()


def test_holdings_move_also_after_a_search_and_the_session_ends_after_the_page(
    synced: tuple[Sandbox, str], browser: Browser
) -> None:
    sandbox, address = synced
    visit = Visit(browser, address, DESKTOP, "dark")
    page = visit.open("/holdings")
    apple = page.get_by_role("row").filter(has_text="AAPL")
    expect(apple.locator("[data-live=price]:visible")).to_have_class("is-live", timeout=20_000)

    page.get_by_label("Search holdings").fill("aapl")
    expect(page.get_by_role("row").filter(has_text="MSFT")).to_have_count(0)
    expect(apple.locator("[data-live=price]:visible")).to_have_class("is-live")
    sandbox.world.set_price(APPLE, Decimal("241.25"))

    expect(apple.locator("[data-live=price]:visible")).to_contain_text("241.25")
    expect(apple.locator("[data-live=own]:visible")).to_contain_text("512.66")  # 2.125 x 241.25
    expect(apple.locator("[data-live=value]:visible")).to_contain_text("440.88")  # x 0.86
    assert visit.complaints == []

    visit.context.close()
    until(lambda: not sandbox.streams.connections, seconds=60)
    assert sandbox.streams.ends == [1000]
    assert not [call for call in sandbox.calls if call.path == "logout" or call.is_mutating]


def test_when_another_login_takes_over_the_stored_figures_come_back(
    synced: tuple[Sandbox, str], browser: Browser
) -> None:
    sandbox, address = synced
    visit = Visit(browser, address, PHONE, "light")
    page = visit.open("/")
    nav = page.locator("[data-live=nav]")
    expect(nav).to_have_class("is-live", timeout=20_000)
    sandbox.world.set_price(APPLE, Decimal("236.5"))
    expect(nav).to_contain_text("21,215.07")

    sandbox.faults.add(preset("competing"))

    expect(page.locator("[data-live-label]")).to_contain_text("In use elsewhere", timeout=20_000)
    expect(nav).to_contain_text("21,204.11")
    expect(nav).not_to_have_class("is-live")
    page.locator("[data-live-label]").click()
    expect(page.get_by_text("left alone")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    assert violations(page) == []
    visit.context.close()


def test_with_live_updates_off_it_says_so_and_opens_nothing(
    synced: tuple[Sandbox, str], browser: Browser, tmp_path: Path
) -> None:
    sandbox, _ = synced
    configuration = json.loads(sandbox.config_file.read_text())
    configuration["ibkr"]["live_updates"] = False
    changed = sandbox.config_file.with_name("off.json")
    changed.write_text(json.dumps(configuration))
    changed.chmod(0o600)
    more = {"IBIND_OAUTH1A_REST_URL": sandbox.rest_url, "STONKS_OVERWATCH_CONFIG": str(changed)}
    with running.app(tmp_path, **more) as app:
        visit = Visit(browser, app.address, DESKTOP, "light")
        page = visit.open("/")
        page.get_by_text("Live values off").click()

        expect(page.get_by_text("ibkr.live_updates")).to_be_visible()
        page.wait_for_timeout(3_000)
        assert page.locator(".is-live").count() == 0
        assert not [call for call in sandbox.calls if call.path.startswith("iserver")]
        assert sandbox.streams.opened + sandbox.streams.refused == 0
        assert visit.complaints == []
        visit.context.close()
