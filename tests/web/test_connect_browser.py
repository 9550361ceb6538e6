"""The whole way of connecting a login in headless Chromium: our page in one tab, IBKR's in another."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from stonks_overwatch.services.brokers.ibkr import keys
from stonks_overwatch.services.brokers.ibkr.sandbox import Fault, Sandbox
from tests import running
from tests.conftest import StartSandbox
from tests.registering import have_parameters
from tests.web.test_browser import DESKTOP, PHONE, browser, violations

pytestmark = pytest.mark.browser

__all__ = ["browser"]  # the fixture


@pytest.fixture
def server(sandbox: StartSandbox) -> Sandbox:
    return sandbox()


@pytest.fixture
def address(server: Sandbox, tmp_path: Path) -> Iterator[str]:
    have_parameters(tmp_path / "ibkr_certs")  # to find them takes minutes
    with running.app(
        tmp_path,
        IBIND_OAUTH1A_REST_URL=server.rest_url,
        STONKS_OVERWATCH_IBKR_PORTAL_URL=server.portal_url,
    ) as app:
        yield app.address


def is_well(page: Page) -> None:
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_login_is_connected_in_the_browser_alone(
    size: tuple[int, int], server: Sandbox, address: str, browser: Browser, tmp_path: Path
) -> None:
    context = browser.new_context(viewport={"width": size[0], "height": size[1]})
    page = context.new_page()
    page.goto(address)
    page.get_by_role("link", name="Connect", exact=True).click()
    is_well(page)
    page.get_by_role("button", name="Make what is missing").click()
    expect(page.get_by_role("heading", name="2. Registration with IBKR")).to_be_visible(timeout=30_000)
    is_well(page)

    files = {}
    for name in keys.UPLOADS:
        with page.expect_download() as download:
            page.get_by_role("link", name=name).click()
        files[name] = tmp_path / "downloads" / name
        download.value.save_as(files[name])
    with page.expect_popup() as popup:
        page.get_by_role("link", name="IBKR’s OAuth page").click()
    portal = popup.value
    portal.get_by_label("Consumer key").fill("BROWSERAB")
    portal.get_by_label("Public signature key").set_input_files(files[keys.PUBLIC_SIGNATURE])
    portal.get_by_label("Public encryption key").set_input_files(files[keys.PUBLIC_ENCRYPTION])
    portal.get_by_label("Diffie-Hellman parameters").set_input_files(files[keys.PARAMETERS])
    portal.get_by_role("button", name="Generate token").click()
    token, secret = (portal.locator(f"#{name}").inner_text() for name in ("token", "secret"))

    page.get_by_label("Consumer key", exact=True).fill("browserab")
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_role("heading", name="3. Access token")).to_be_visible()
    is_well(page)
    server.faults.add(Fault("not_activated", "POST oauth/*", times=1))
    page.get_by_label("Access token", exact=True).fill(token)
    page.get_by_label("Access token secret").fill(secret)
    page.get_by_role("button", name="Check and save").click()
    expect(page.get_by_text("it is not active yet").last).to_be_visible(timeout=30_000)
    is_well(page)
    page.get_by_role("button", name="Try now").click()
    expect(page.get_by_role("heading", name="Connected")).to_be_visible(timeout=30_000)
    is_well(page)
    context.close()
