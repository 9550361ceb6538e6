"""The pages of the demo in headless Chromium: clean, accessible, usable by keyboard, whole on a phone."""

import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from tests import running

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PATHS = (
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
# Nothing of the browser's own goes out, so that what does is the page's.
SWITCHES = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PAGES = (
    "/",
    "/holdings",
    "/holdings?account=each",
    "/activities",
    "/activities?q=nothing+at+all",
    "/explain/holdings.totals.nav_base",
    "/explain/income.totals.net_base?page=2",
    "/performance?benchmark=SPY",
    "/performance?period=all&part=holdings",
    "/realized",
    "/realized?year=2025&method=average",
    "/instrument/1?period=all&sell=1",
    "/income?period=all",
    "/fees",
    "/contributions",
    "/cash",
    "/diversification",
    "/diversification?by=country",
    "/exposures",
    "/targets?money=5000",
    "/accounts",
    "/reconcile",
    "/import",
    "/connect/ibkr",
    "/sync",
    "/settings",
    "/welcome",
    "/nowhere",
)
DESKTOP, PHONE = (1440, 900), (390, 844)
expect.set_options(timeout=30_000)  # other tests keep the machine busy


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the demo, as a user starts it, after its first sync."""
    with running.app(tmp_path_factory.mktemp("demo"), "--demo") as app:
        for _ in range(600):  # ten years of statements, at the pace of the Flex Web Service
            with urlopen(f"{app.address}/api/v1/sync") as answer:
                runs = json.load(answer)["runs"]
            if runs and runs[0]["status"] != "running":
                break
            time.sleep(0.5)
        assert runs, "the demo's first sync did not begin"
        assert runs[0]["status"] == "ok", runs[0]
        yield app.address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = [found for name in NAMES if (found := shutil.which(name))]
    found += [path for path in PATHS if Path(path).exists()]
    if not found:
        pytest.fail("no Chromium was found; `make test` installs one")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found[0], args=SWITCHES)
        yield started
        started.close()


class Visit:
    """One browser window that writes down what goes wrong in it."""

    def __init__(
        self, browser: Browser, address: str, size: tuple[int, int], theme: Any, **more: Any
    ) -> None:
        self.address = address
        self.complaints: list[str] = []
        self.context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme=theme,
            reduced_motion="reduce",
            has_touch=size == PHONE,
            **more,
        )
        self.context.route("**/*", self._watch)
        self.page: Page = self.context.new_page()
        self.page.on("console", lambda message: self._note(message.type, message.text))
        self.page.on("pageerror", lambda error: self._note("error", str(error)))

    def _watch(self, route: Route) -> None:
        if not route.request.url.startswith((self.address, "data:")):
            self.complaints.append(f"asked {route.request.url}")
            route.abort()
        else:
            route.continue_()

    def _note(self, kind: str, message: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(message)

    def open(self, path: str) -> Page:
        self.page.goto(self.address + path)
        return self.page


@pytest.fixture
def visit(demo: str, browser: Browser) -> Iterator[Visit]:
    """A window of a desktop with the light theme."""
    visit = Visit(browser, demo, DESKTOP, "light")
    yield visit
    visit.context.close()


def violations(page: Page) -> list[str]:
    """What axe finds of the two graver kinds, one line each."""
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_every_page_is_clean_whole_and_accessible(
    size: tuple[int, int], theme: str, demo: str, browser: Browser
) -> None:
    visit = Visit(browser, demo, size, theme)
    account = json.loads(visit.context.request.get(f"{demo}/api/v1/accounts").text())["accounts"][0][
        "account"
    ]
    found = {}
    for path in (*PAGES, f"/?account={account}"):
        page = visit.open(path)
        page.wait_for_load_state("load")
        if path.startswith("/?"):
            expect(page.locator("[data-chart] canvas")).to_be_visible()
        for fold in page.locator("details").all():
            fold.evaluate("fold => fold.open = true")
        assert page.evaluate("document.documentElement.dataset.bsTheme") == theme
        wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        found[path] = [*violations(page), *([f"{wide} pixels too wide"] if wide > 0 else [])]
    visit.context.close()
    complaints = [one for one in visit.complaints if "404" not in one]  # the page that is not there

    assert {path: problems for path, problems in found.items() if problems} == {}
    assert complaints == []


def test_a_figure_opens_its_explanation_beside_the_page(visit: Visit) -> None:
    page = visit.open("/holdings")
    figure = page.locator("tr.item td [data-x=cost_basis]").first  # no quote moves a cost
    shown = figure.inner_text()

    figure.click()

    panel = page.locator("dialog.panel")
    expect(panel.locator(".headline")).to_have_text(shown)
    panel.locator("tbody a").first.click()
    expect(panel.locator("[data-back]")).to_be_visible()
    assert violations(page) == []
    page.keyboard.press("Escape")
    expect(panel).not_to_be_visible()


def test_keys_lead_to_the_figures_of_a_row_and_back(visit: Visit) -> None:
    page = visit.open("/holdings")
    row = page.locator("tr.item .why").first
    row.focus()

    page.keyboard.press("Enter")
    expect(page.locator("dialog.panel tbody a").first).to_be_visible()
    page.keyboard.press("Escape")

    expect(row).to_be_focused()


def test_what_opens_on_a_phone_in_the_dark_is_accessible(demo: str, browser: Browser) -> None:
    visit = Visit(browser, demo, PHONE, "dark")
    page = visit.open("/cash")
    page.get_by_role("button", name="More").click()
    expect(page.get_by_role("link", name="Reconciliation")).to_be_visible()
    assert violations(page) == []
    page.keyboard.press("Escape")

    page.locator("tr.item .why").first.click()
    expect(page.locator("dialog.panel tbody a").first).to_be_visible()
    assert violations(page) == []
    visit.context.close()


def test_the_head_of_a_long_table_stays_in_sight(visit: Visit) -> None:
    page = visit.open("/holdings")
    head = page.get_by_role("columnheader", name="Instrument")
    page.get_by_role("row").last.scroll_into_view_if_needed()

    expect(head).to_be_in_viewport()
    assert page.evaluate("window.scrollY") > 1000


def test_the_pages_work_without_scripts(demo: str, browser: Browser) -> None:
    visit = Visit(browser, demo, DESKTOP, "light", java_script_enabled=False)
    page = visit.open("/holdings")
    page.get_by_label("Search holdings").fill("nvda")
    page.get_by_label("Search holdings").press("Enter")

    expect(page.get_by_role("row").filter(has_text="NVDA")).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="MSFT")).to_have_count(0)
    page.get_by_role("link", name="Dashboard").click()
    expect(page.get_by_text("Total value")).to_be_visible()
    visit.context.close()


def test_the_keyboard_alone_reaches_content_search_and_order(visit: Visit) -> None:
    page = visit.open("/holdings")

    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("apple")
    expect(page.get_by_role("row").filter(has_text="MICROSOFT")).to_have_count(0)
    expect(page.get_by_role("searchbox")).to_be_focused()
    expect(page).to_have_url(re.compile(r"[?&]q=apple&"))

    name = page.get_by_role("columnheader", name="Instrument")
    name.get_by_role("link").focus()
    page.keyboard.press("Enter")
    expect(name).to_have_attribute("aria-sort", "ascending")
    assert "q=apple" in page.url
    expect(page.get_by_label("Order")).to_have_value("name")
    page.go_back()
    expect(name).not_to_have_attribute("aria-sort", "ascending")
    assert visit.complaints == []


def test_a_filter_is_in_the_address_and_comes_back_with_it(visit: Visit) -> None:
    page = visit.open("/holdings")
    page.get_by_label("Asset class").select_option("option")
    expect(page.get_by_role("rowheader", name="Stocks")).to_have_count(0)

    page.reload()

    expect(page.get_by_role("rowheader", name="Options")).to_be_visible()
    expect(page.get_by_role("rowheader", name="Stocks")).to_have_count(0)


def test_the_theme_is_chosen_by_a_button_and_stays(visit: Visit) -> None:
    page = visit.open("/")
    root = page.locator("html")
    button = page.get_by_role("button", name="Theme: auto")

    button.click()  # light
    page.get_by_role("button", name="Theme: light").click()
    expect(root).to_have_attribute("data-bs-theme", "dark")
    page.goto(f"{visit.address}/accounts")
    expect(root).to_have_attribute("data-bs-theme", "dark")


def test_the_range_of_the_chart_is_chosen_and_in_the_address(visit: Visit) -> None:
    answer = visit.context.request.get(f"{visit.address}/api/v1/accounts")
    for account in json.loads(answer.text())["accounts"]:
        page = visit.open(f"/?account={account['account']}")
        if page.locator("[data-chart]").count():
            break
    page.get_by_role("button", name="3M").click()
    expect(page.get_by_role("button", name="3M")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("[data-change]")).to_contain_text("since")
    assert "range=3m" in page.url
    page.get_by_text("Values as a table").click()
    expect(page.get_by_role("columnheader", name="Last day of the month")).to_be_visible()
    assert visit.complaints == []


def test_sync_now_shows_progress_and_then_the_new_state_without_a_reload(visit: Visit) -> None:
    page = visit.open("/sync")
    before = page.locator("#runs-title ~ *, [aria-labelledby=runs-title] tbody tr.item").count()
    page.evaluate("window.stillThere = true")

    page.get_by_role("button", name="Sync now").click()

    runs = page.locator("[aria-labelledby=runs-title] tbody tr.item")
    expect(runs).not_to_have_count(before, timeout=20_000)
    expect(page.locator("#announce")).to_contain_text("A sync has ended")
    assert page.evaluate("window.stillThere") is True
    assert visit.complaints == []


def test_the_connection_test_shows_its_findings_in_place(visit: Visit) -> None:
    page = visit.open("/settings")

    page.get_by_role("button", name="Test connection").click()

    expect(page.locator("#connection .findings li.ok").first).to_be_visible(timeout=20_000)
    expect(page.locator("#connection .findings li.error")).to_have_count(0)
    assert visit.complaints == []


def test_a_stream_that_tells_nothing_of_live_values_leaves_the_label_readable(visit: Visit) -> None:
    nothing = "retry: 60000\n\nevent: live\ndata: " + json.dumps({"label": "", "why": ""}) + "\n\n"
    visit.page.route(
        "**/events?*", lambda route: route.fulfill(content_type="text/event-stream", body=nothing)
    )
    with visit.page.expect_response("**/events?*"):
        page = visit.open("/")

    page.wait_for_load_state("load")
    page.wait_for_timeout(300)  # what the stream told has reached the page
    assert violations(page) == []
    expect(page.locator("[data-live-label]")).to_contain_text("Not followed yet")
