"""What the pages say, in every state that a user can meet."""

from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from django.utils.html import strip_tags

from stonks_overwatch import tasks
from stonks_overwatch.ledger.models import Account, InboxItem
from tests.reports import builders
from tests.web.conftest import LOGIN, Configure

pytestmark = pytest.mark.django_db

PAGES = ("/", "/holdings", "/accounts", "/sync", "/settings", "/welcome")
FIGURES = ("/", "/holdings", "/accounts")


def text(answer: HttpResponse | Any) -> str:
    """What a reader sees: one line, single blanks."""
    body = answer.content.decode()
    main = body[body.index("<main") : body.index("</main>")]
    return " ".join(unescape(strip_tags(main.replace("<", " <"))).replace("\N{NO-BREAK SPACE}", " ").split())


def updated(name: str = "U1", currency: str = "EUR", **more: Any) -> Account:
    """An account as of now."""
    return builders.account(name, currency, updated_at=datetime.now(UTC), **more)


@pytest.fixture
def portfolio(configure: Configure) -> Account:
    """One account in euro with a share, a short option in dollars and cash; one euro is 1.25 dollars."""
    configure()
    holder = updated()
    builders.rate("USD", "EUR", "0.8", datetime.now(UTC).date())
    share = builders.instrument("ASML", name="ASML Holding NV", isin="NL0010273215")
    builders.position(holder, share, "2.125", "800", "1500", average_cost="705.88")
    option = builders.instrument(
        "TSLA",
        "USD",
        name="TSLA 17JAN28 250 C",
        asset_class="option",
        multiplier=100,
        strike=250,
        right="call",
        expires_on="2028-01-17",
    )
    builders.position(holder, option, "-3", "12.5", "-3000")
    builders.cash(holder, "EUR", "1000")
    builders.run("ok", datetime.now(UTC), accounts=1, positions=2)
    return holder


@pytest.mark.usefixtures("portfolio")
@pytest.mark.parametrize("page", PAGES)
def test_every_page_is_shown_and_no_cache_keeps_it(page: str, reader: Client) -> None:
    answer = reader.get(page)

    assert answer.status_code == 200
    assert answer["Cache-Control"] == "no-store"
    assert answer["Cross-Origin-Resource-Policy"] == "same-origin"
    assert answer["X-Frame-Options"] == "DENY"
    policy = answer["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.usefixtures("portfolio")
@pytest.mark.parametrize("page", PAGES)
def test_nothing_on_a_page_is_inline_and_nothing_comes_from_elsewhere(page: str, reader: Client) -> None:
    body = reader.get(page).content.decode()

    assert " style=" not in body
    assert "<style" not in body
    assert " onclick=" not in body
    assert "//" not in body.replace("http://www.w3.org/2000/svg", "").replace(
        "https://api.ibkr.com", ""
    ).replace("wss://api.ibkr.com", "").replace("https://ndcdyn.interactivebrokers.com", "").replace(
        "<!doctype", ""
    )


@pytest.mark.usefixtures("portfolio")
def test_the_dashboard_adds_everything_up_in_the_base_currency(reader: Client) -> None:
    # 2.125 × 800 = 1,700 EUR; -3 × 100 × 12.5 = -3,750 USD = -3,000 EUR; with 1,000 EUR cash: -300 EUR.
    # Profit: 1,700 - 1,500 = 200 EUR; -3,750 + 3,000 = -750 USD = -600 EUR; together -400 EUR.
    page = text(reader.get("/"))

    assert "Total value −300.00 EUR" in page
    assert "Investments −1,300.00 EUR" in page
    assert "Cash 1,000.00 EUR" in page
    assert "Unrealized P&L −400.00 EUR" in page


def test_a_chart_that_still_lacks_an_account_says_whose_values_are_to_come(
    portfolio: Account, reader: Client
) -> None:
    today = datetime.now(UTC).date()
    for days in (1, 2):
        builders.nav(portfolio, "5", today - timedelta(days=days))
    assert 'data-chart="value-data"' in reader.get("/").content.decode()

    updated("U2")

    assert "the values of past days of U2 are still to be read" in text(reader.get("/"))
    assert 'data-chart="value-data"' in reader.get("/", {"account": "U1"}).content.decode()


@pytest.mark.usefixtures("portfolio")
def test_a_holding_shows_its_own_currency_and_the_base_currency(reader: Client) -> None:
    page = text(reader.get("/holdings"))

    assert "ASML" in page
    assert "2.125" in page
    assert "800.00 EUR" in page
    assert "−3,000.00 EUR −3,750.00 USD" in page
    assert "+200.00 EUR" in page
    assert "+13.33%" in page  # 200 / 1,500
    assert "−600.00 EUR −750.00 USD" in page


@pytest.mark.usefixtures("portfolio")
def test_an_option_tells_its_contract(reader: Client) -> None:
    page = text(reader.get("/holdings"))

    assert "short" in page
    assert "Call 250.00 USD · expires 17 Jan 2028 · × 100" in page


@pytest.mark.usefixtures("portfolio")
def test_asset_classes_have_subtotals(reader: Client) -> None:
    page = text(reader.get("/holdings"))

    assert "Stocks 1 1,700.00 EUR 1,500.00 EUR +200.00 EUR" in page
    assert "Options 1 −3,000.00 EUR −2,400.00 EUR −600.00 EUR" in page


@pytest.mark.usefixtures("portfolio")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("asml", True),
        ("NL0010273215", True),
        ("holding eur", True),
        ("holding usd", False),
        ("nothing like it", False),
    ],
)
def test_the_search_finds_names_symbols_and_numbers(query: str, found: bool, reader: Client) -> None:
    page = text(reader.get("/holdings", {"q": query}))

    assert ("2.125" in page) is found
    assert ("Nothing matches" in page) is not found


def test_two_accounts_are_one_holding_unless_asked_by_themselves(portfolio: Account, reader: Client) -> None:
    other = updated("U2", alias="Long term")
    share = portfolio.position_set.get(instrument__symbol="ASML").instrument
    builders.position(other, share, "1", "800", "700", average_cost="700")

    # 2.125 + 1 = 3.125; average cost (2.125 × 705.88 + 1 × 700) / 3.125 = 703.9984
    combined = text(reader.get("/holdings"))
    assert "ASML in 2 accounts" in combined
    assert "3.125" in combined
    assert "avg 704.00 EUR" in combined
    apart = text(reader.get("/holdings", {"account": "each"}))
    assert "ASML U1" in apart
    assert "ASML U2" in apart
    alone = text(reader.get("/holdings", {"account": "U2"}))
    assert "800.00 EUR" in alone
    assert "2.125" not in alone


@pytest.mark.usefixtures("portfolio")
@pytest.mark.parametrize("page", ["/", "/holdings"])
def test_an_account_that_is_not_there_is_said_with_those_that_are(page: str, reader: Client) -> None:
    answer = reader.get(page, {"account": "U99"})

    assert answer.status_code == 404
    assert "U99" in text(answer)
    assert "U1 (ibkr)" in text(answer)


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("-value", ["MID", "BIG", "LOW", "NONE"]),
        ("value", ["LOW", "BIG", "MID", "NONE"]),
        ("name", ["BIG", "LOW", "MID", "NONE"]),
        ("-return", ["LOW", "MID", "BIG", "NONE"]),
        ("no such order", ["MID", "BIG", "LOW", "NONE"]),
    ],
)
def test_rows_are_sorted_and_unknown_figures_come_last_either_way(
    sort: str, order: list[str], configure: Configure, reader: Client
) -> None:
    configure()
    holder = updated()
    for symbol, price, cost in (
        ("LOW", "1", "5"),
        ("BIG", "2", "40"),
        ("MID", "3", "30"),
        ("NONE", None, "1"),
    ):
        builders.position(holder, builders.instrument(symbol), "10", price, cost)
    # Values 10, 20, 30; returns +100%, -50%, 0%.
    page = text(reader.get("/holdings", {"sort": sort}))
    table = page[page.index("Stocks 4") :]

    assert sorted(order, key=table.index) == order


def test_eighty_rows_are_one_page(configure: Configure, reader: Client) -> None:
    configure()
    holder = updated()
    for number in range(81):
        builders.position(holder, builders.instrument(f"S{number:03}"), "1", f"{1000 - number}")

    first, second = text(reader.get("/holdings")), text(reader.get("/holdings", {"page": 2}))

    assert "1–80 of 81" in first
    assert "S079" in first
    assert "S080" not in first
    assert "81–81 of 81" in second
    assert "Stocks 81, continued" in second
    assert "S080" in second


@pytest.mark.parametrize("page", ["0", "-1", "x", "99", "9" * 30, "²"])
def test_a_page_number_that_is_none_does_no_harm(page: str, portfolio: Account, reader: Client) -> None:
    assert reader.get("/holdings", {"page": page}).status_code == 200
    assert reader.get("/sync", {"page": page}).status_code == 200


def test_what_is_not_known_says_so_and_why(configure: Configure, reader: Client) -> None:
    configure()
    holder = updated()
    builders.position(holder, builders.instrument("GONE"), "10", None, "100")
    builders.position(holder, builders.instrument("FAR", "KWD"), "10", "5", "10")

    page = text(reader.get("/holdings"))
    assert "unknown : The broker sent no price." in page
    assert "unknown : The broker sent no value." in page
    assert "unknown : There is no exchange rate of KWD of the last seven days." in page
    assert "50.000 KWD" in page
    assert "figures are not known and left out of the sums" in text(reader.get("/"))


@pytest.mark.parametrize("page", PAGES)
def test_a_hostile_name_is_text(page: str, configure: Configure, reader: Client) -> None:
    configure()
    evil = "<script>alert(1)</script>\"'&"
    holder = updated(f"U1{evil}", alias=evil, kind=evil)
    held = builders.instrument(evil, name=evil, asset_class="option", right="call", underlying_symbol=evil)
    builders.position(holder, held, "1", "1")
    builders.run("failed", datetime.now(UTC), error_code="failed", error_what=evil, error_next_step=evil)
    InboxItem.objects.create(
        broker="ibkr", key="1", section=evil, reason=evil, text=evil, seen_at=datetime.now(UTC)
    )

    body = reader.get(page).content.decode()

    assert "<script>alert" not in body
    assert "</script>\"'" not in body


@pytest.mark.parametrize("page", FIGURES)
def test_without_a_configuration_and_data_the_way_in_is_shown(
    page: str, configure: Configure, reader: Client
) -> None:
    answer = reader.get(page, follow=True)

    assert answer.redirect_chain == [("/welcome", 302)]
    assert "make run demo=true" in text(answer)
    assert "Connect Interactive Brokers" in text(answer)


@pytest.mark.parametrize("page", FIGURES)
def test_before_the_first_sync_the_page_says_what_it_waits_for(
    page: str, configure: Configure, reader: Client
) -> None:
    configure()
    assert "Waiting for the first sync" in text(reader.get(page))

    builders.run("running", datetime.now(UTC), step="reading positions", steps_done=3, steps_total=12)
    answer = reader.get(page)
    assert "The first sync is at work" in text(answer)
    assert '<progress max="12" value="3"' in answer.content.decode()


@pytest.mark.parametrize("page", FIGURES)
def test_a_first_sync_that_failed_says_why_and_what_to_do(
    page: str, configure: Configure, reader: Client
) -> None:
    configure()
    builders.run(
        "failed",
        datetime.now(UTC),
        error_code="unreachable",
        error_what="IBKR cannot be reached.",
        error_next_step="Type `ping api.ibkr.com`.",
    )
    answer = reader.get(page)

    assert "IBKR cannot be reached. Type ping api.ibkr.com ." in text(answer)
    assert "<code>ping api.ibkr.com</code>" in answer.content.decode()
    assert "The first sync did not work" in text(answer)


@pytest.mark.usefixtures("portfolio")
@pytest.mark.parametrize("page", PAGES)
def test_a_failed_sync_leaves_the_figures_with_their_age_and_the_next_step(page: str, reader: Client) -> None:
    builders.run(
        "failed",
        datetime.now(UTC) + timedelta(seconds=1),
        error_code="rate_limited",
        error_what="IBKR asked for fewer calls.",
        error_next_step="Nothing to do.",
        retry_at=datetime(2100, 1, 1, 12, tzinfo=UTC),
    )
    shown = text(reader.get(page))

    assert "IBKR asked for fewer calls. Nothing to do." in shown
    assert "Nothing is sent before 1 Jan 2100" in shown
    assert "You see the data of" in shown
    if page == "/":
        assert "Total value −300.00 EUR" in shown


def test_no_open_positions_is_no_error(configure: Configure, reader: Client) -> None:
    configure()
    builders.cash(updated(), "EUR", "12.5")

    for page in ("/", "/holdings"):
        assert "Connected, no open positions as of" in text(reader.get(page))
    assert "Total value 12.50 EUR" in text(reader.get("/"))


@pytest.mark.usefixtures("portfolio")
@pytest.mark.parametrize("page", PAGES)
def test_a_broken_configuration_is_said_and_stored_data_stays(
    page: str, configure: Configure, reader: Client
) -> None:
    configure('{"base_curency": "USD"}')
    shown = text(reader.get(page))

    assert "base_curency" in shown
    assert "base_currency" in shown
    assert "stored figures are shown in EUR" in shown
    if page == "/":
        assert "Total value −300.00 EUR" in shown


def test_a_broken_configuration_without_data_is_no_onboarding(configure: Configure, reader: Client) -> None:
    configure("{")

    assert "The configuration needs a correction" in text(reader.get("/"))


@pytest.mark.usefixtures("portfolio")
def test_the_base_currency_and_the_theme_are_those_of_the_configuration(
    configure: Configure, reader: Client
) -> None:
    configure(base_currency="USD", appearance="dark")
    answer = reader.get("/")

    assert "Total value −375.00 USD" in text(answer)  # -300 / 0.8
    assert 'data-appearance="dark"' in answer.content.decode()


def test_the_settings_show_what_is_in_force_and_no_secret(configure: Configure, reader: Client) -> None:
    file = configure()
    answer = reader.get("/settings")
    shown = text(answer)

    assert str(file) in shown
    assert "ibkr.update_frequency_minutes 15" in shown
    assert "ibkr.credentials.access_token ***" in shown
    for secret in ("an-access-token", "TESTCONSKEY", "a1a1a1"):
        assert secret not in answer.content.decode()


def test_a_file_that_others_may_read_is_noticed_on_the_settings(configure: Configure, reader: Client) -> None:
    configure().chmod(0o644)

    assert "chmod 600" in text(reader.get("/settings"))


def test_the_connection_test_says_what_it_found(configure: Configure, reader: Client) -> None:
    configure()  # its key files do not exist, so nothing is sent
    shown = text(reader.post("/settings/test"))

    assert "encryption.pem" in shown
    assert "Not tested since this page was opened" not in shown


@pytest.mark.usefixtures("portfolio")
def test_the_sync_page_lists_runs_with_counts_and_errors(reader: Client) -> None:
    now = datetime.now(UTC)
    builders.run(
        "partial",
        now + timedelta(seconds=1),
        accounts=1,
        positions=62,
        activities_new=7,
        activities_known=41,
        inbox=2,
        error_code="timeout",
        error_what="IBKR did not answer in time.",
        error_next_step="The app tries again.",
        retry_at=datetime(2100, 1, 1, 12, tzinfo=UTC),
    )
    InboxItem.objects.create(
        broker="ibkr",
        key="1",
        account="U1",
        section="transactions",
        reason="Unknown type.",
        text='{"type": "Odd"}',
        seen_at=now,
    )
    shown = text(reader.get("/sync"))

    assert "in part" in shown
    assert "1 62 7 41 2" in shown
    assert "IBKR did not answer in time. The app tries again." in shown
    assert "Unknown type." in shown
    assert '{"type": "Odd"}' in shown
    assert "1 Jan 2100" in shown


def test_what_is_still_being_read_is_told_on_the_sync_page(portfolio: Account, reader: Client) -> None:
    portfolio.position_set.filter(instrument__symbol="ASML").update(covered_since="2026-01-01")

    assert "U1 IBKR 1 of 2 unknown : Not all instruments are read yet." in text(reader.get("/sync"))


def test_accounts_compare_with_the_brokers_own_figures(portfolio: Account, reader: Client) -> None:
    Account.objects.update(reported_nav="-300", reported_as_of=datetime.now(UTC))
    shown = text(reader.get("/accounts"))

    assert "−300.00 EUR" in shown
    assert "Reported by the broker −300.00 EUR" in shown
    assert "differ" in shown  # the positions of this test have no opening, so their quantities differ
    assert "Quantity ASML" in shown


def test_sync_now_puts_every_enabled_login_into_the_queue(configure: Configure, reader: Client) -> None:
    configure(ibkr=[{**LOGIN, "name": "main"}, {**LOGIN, "name": "off", "enabled": False}])
    tasks.huey.flush()

    answer = reader.post("/sync/now")

    assert answer.status_code == 302
    assert [task.args for task in tasks.huey.pending()] == [("ibkr", "main")]
    tasks.huey.flush()


def test_sync_now_with_a_broken_configuration_says_what_is_wrong(
    configure: Configure, reader: Client
) -> None:
    configure("{")
    answer = reader.post("/sync/now")

    assert answer.status_code == 409
    assert "config.json, line 1" in text(answer)


@pytest.mark.parametrize("address", ["/sync/now", "/settings/test"])
def test_an_action_needs_the_token_of_a_page_of_this_app(address: str, configure: Configure) -> None:
    configure()
    careful = Client(enforce_csrf_checks=True, headers={"host": "127.0.0.1"})

    answer = careful.post(address)

    assert answer.status_code == 403
    assert "It did not come from a page of this app" in text(answer)
    assert careful.get(address).status_code == 405


def test_an_address_without_a_page_is_said(reader: Client) -> None:
    answer = reader.get("/no/such/page")

    assert answer.status_code == 404
    assert "There is nothing at this address." in text(answer)


def test_another_name_of_this_machine_is_refused() -> None:
    answer = Client(headers={"host": "evil.example"}).get("/")

    assert answer.status_code == 400
    assert "−" not in text(answer)


@pytest.mark.usefixtures("portfolio")
@pytest.mark.parametrize("page", FIGURES)
def test_every_page_of_figures_tells_its_age(page: str, reader: Client) -> None:
    assert "As of" in text(reader.get(page))
    assert "just now" in text(reader.get(page))
