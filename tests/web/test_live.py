"""Which figures of a page move with quotes, and that the page has a place for each of them."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from django.template.loader import render_to_string
from django.test import Client

from stonks_overwatch import live
from stonks_overwatch.ledger import models
from stonks_overwatch.ledger.types import BalanceNow, Quote, QuoteKind
from stonks_overwatch.services.brokers.base import AccountNow, LiveState
from stonks_overwatch.web.live import Follower
from tests.reports import builders
from tests.web.conftest import Configure

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 12, 0, 7, tzinfo=UTC)
Say = Callable[..., None]


class Desk:
    """In the place of the feeds: what they say is set by the test."""

    def __init__(self) -> None:
        self.said: list[LiveState] = []

    def states(self) -> list[LiveState]:
        return self.said


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    made = Desk()
    monkeypatch.setattr(live, "desk", made)
    return made


@pytest.fixture
def share(configure: Configure) -> models.Instrument:
    """10 shares in one account and 5 in another, at 12 EUR, and an option that has no quote."""
    configure()
    share = builders.instrument("ABC")
    for name, quantity in (("U1", "10"), ("U2", "5")):
        account = builders.account(name)
        builders.position(account, share, quantity, "12", "50")
        builders.cash(account, "EUR", "100")
        builders.nav(account, "150", datetime(2026, 3, 3, tzinfo=UTC).date())
    builders.position(models.Account.objects.get(account="U1"), builders.instrument("XYZ"), "1", "20", "10")
    return share


def quoting(of: models.Instrument, price: str, kind: QuoteKind = QuoteKind.LIVE) -> list[LiveState]:
    quote = Quote(of.broker_ref, Decimal(price), NOW, kind)
    return [LiveState("", "live", "IBKR's quotes.", quotes={of.broker_ref: quote})]


def balanced(state: LiveState, nav: str, traded_at: datetime | None = None) -> list[LiveState]:
    """The same with 150 EUR in cash in U1 in place of 100."""
    balance = BalanceNow(Decimal(150), None, Decimal(1), NOW)
    own = AccountNow("U1", Decimal(nav), at=NOW, balances={"EUR": balance}, traded_at=traded_at)
    return [replace(state, accounts={"U1": own})]


def figures(follower: Follower) -> dict[str, str | None]:
    """The figures that changed, as text; None for one that is the stored one again."""
    news = follower.news("") or {}
    return {
        name: None if figure is None else re.sub(r"<[^>]*>|\N{NO-BREAK SPACE}", " ", figure[0]).strip()
        for name, figure in news.get("figures", {}).items()
    }


def words(text: str | None) -> str:
    return " ".join((text or "").split())


def test_the_dashboard_is_reckoned_at_the_quote(desk: Desk, share: models.Instrument) -> None:
    """From 12 to 14: 15 shares bring 30 more. NAV 180 + 20 + 200 = 400, yesterday 300: now 430 and +130."""
    desk.said = quoting(share, "14")
    moved = figures(Follower("dashboard", ""))

    assert words(moved["nav"]) == "430.00 EUR"
    assert words(moved["investments"]) == "230.00 EUR"
    assert words(moved["change"]) == "+130.00 EUR"
    assert words(moved["change-fraction"]) == "+43.33%"
    assert words(moved["account ibkr U1"]) == "260.00 EUR"  # 140 + 20 + 100
    assert words(moved["account-change ibkr U2"]) == "+20.00 EUR"  # 70 + 100 - 150
    assert words(moved[f"value ibkr {share.broker_ref} U1, U2"]) == "210.00 EUR"
    assert not [name for name in moved if "XYZ" in name]


def test_one_account_of_the_dashboard_moves_by_its_own_part(desk: Desk, share: models.Instrument) -> None:
    desk.said = quoting(share, "14")

    moved = figures(Follower("dashboard", "U2"))

    assert words(moved["nav"]) == "170.00 EUR"
    assert f"value ibkr {share.broker_ref} U2" in moved


def test_holdings_and_their_groups_move(desk: Desk, share: models.Instrument) -> None:
    """The shares cost 100: 210 - 100 = 110, that is 110 %. The group has XYZ in it: 210 + 20."""
    desk.said = quoting(share, "14")
    moved = figures(Follower("holdings", ""))
    key = f"ibkr {share.broker_ref} U1, U2"

    assert words(moved[f"price {key}"]) == "14.00 EUR"
    assert words(moved[f"profit {key}"]) == "+110.00 EUR"
    assert words(moved[f"return {key}"]) == "+110.00%"
    assert words(moved[f"weight {key}"]) == "48.8%"  # 210 of 430
    assert words(moved["group-value stock"]) == "230.00 EUR"
    assert words(moved["group-profit stock"]) == "+120.00 EUR"


def test_each_account_by_itself_has_its_own_rows(desk: Desk, share: models.Instrument) -> None:
    desk.said = quoting(share, "14")

    moved = figures(Follower("holdings", "each"))

    assert words(moved[f"value ibkr {share.broker_ref} U1"]) == "140.00 EUR"
    assert words(moved[f"value ibkr {share.broker_ref} U2"]) == "70.00 EUR"


@pytest.mark.parametrize(
    ("page", "account", "address"),
    [
        ("dashboard", "", "/"),
        ("dashboard", "U1", "/?account=U1"),
        ("holdings", "", "/holdings"),
        ("holdings", "each", "/holdings?account=each"),
    ],
)
def test_every_figure_that_moves_has_its_place_on_the_page(
    page: str, account: str, address: str, desk: Desk, share: models.Instrument, reader: Client
) -> None:
    """And the page has no place for a figure that never moves."""
    desk.said = balanced(quoting(share, "14")[0], nav="310")
    moved = set(figures(Follower(page, account)))
    text = reader.get(address).content.decode()
    places = set()
    for row in re.split(r"(?=<tr)", text):
        whose = re.search(r'data-of="([^"]*)"', row)
        for name in re.findall(r'data-live="([^"]*)"', row.partition("</tr>")[0]):
            places.add(f"{name} {whose[1]}" if whose else name)
        places |= set(re.findall(r'data-live="([^"]*)"', row.partition("</tr>")[2]))

    only_in_other_currencies = {name for name in moved if name.startswith(("own-", "own "))}
    exposures = {name for name in moved if name.startswith("exposure ")}
    elsewhere = {"nav"} if page == "holdings" else {"price", "return"}
    assert {
        name
        for name in moved - places - only_in_other_currencies - exposures
        if name.split()[0] not in elsewhere
    } == set()
    assert {name for name in places - moved if share.broker_ref in name} == set()


def test_cash_moves_with_the_balances_that_are_streamed(desk: Desk, share: models.Instrument) -> None:
    """50 EUR come in to U1: 210 in shares and 20, 250 in cash, 480 in all; the quote had made it 430."""
    desk.said = balanced(quoting(share, "14")[0], nav="310")
    follower = Follower("dashboard", "")
    news = follower.news("") or {}

    moved = {name: words(re.sub("<[^>]*>", " ", figure[0])) for name, figure in news["figures"].items()}
    assert moved["nav"].replace("\N{NO-BREAK SPACE}", " ") == "480.00 EUR"
    assert moved["cash"].replace("\N{NO-BREAK SPACE}", " ") == "250.00 EUR"
    assert moved["amount EUR"].replace("\N{NO-BREAK SPACE}", " ") == "250.00 EUR"
    assert moved["account ibkr U1"].replace("\N{NO-BREAK SPACE}", " ") == "310.00 EUR"
    assert "balances and exchange rates of" in news["figures"]["cash"][1]
    assert "at IBKR’s balances and exchange rates" in news["why"]


def test_a_trade_that_is_seen_is_told_and_a_sync_offered(desk: Desk, share: models.Instrument) -> None:
    since = models.Account.objects.get(account="U1").updated_at + timedelta(seconds=1)
    desk.said = balanced(quoting(share, "14")[0], nav="310", traded_at=since)
    news = Follower("dashboard", "").news("") or {}

    assert "Something was bought or sold in U1" in news["why"]
    assert 'href="/sync"' in news["why"]
    assert "trade seen" in news["label"]
    assert "430.00" in news["figures"]["nav"][0]  # its cash waits for the quantity


def test_only_what_changed_is_sent_and_what_is_gone_is_taken_back(
    desk: Desk, share: models.Instrument
) -> None:
    follower = Follower("holdings", "")
    desk.said = quoting(share, "14")
    sent = figures(follower)
    assert follower.news("") is None

    desk.said = [replace(quoting(share, "14")[0], status="competing", quotes={}, what="Left alone.")]
    assert figures(follower) == dict.fromkeys(sent)
    assert follower.news("") is None


def test_after_a_sync_everything_is_sent_again(desk: Desk, share: models.Instrument) -> None:
    follower = Follower("dashboard", "")
    desk.said = quoting(share, "14")
    first = follower.news("2026-03-04T12:00:00") or {}

    models.CashBalance.objects.update(amount=Decimal(200))
    second = follower.news("2026-03-04T12:15:00") or {}

    assert first["figures"].keys() == second["figures"].keys()
    assert "630.00" in second["figures"]["nav"][0]  # 430 with 200 more cash


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (QuoteKind.LIVE, "Live quote of"),
        (QuoteKind.DELAYED, "15 to 20 minutes late"),
        (QuoteKind.CLOSE, "last close"),
    ],
)
def test_a_figure_says_what_kind_of_quote_is_behind_it(
    kind: QuoteKind, said: str, desk: Desk, share: models.Instrument
) -> None:
    desk.said = quoting(share, "14", kind)

    news = Follower("dashboard", "").news("") or {}

    assert said in news["figures"]["nav"][1]
    assert f"{NOW.astimezone():%H:%M:%S}" in news["figures"]["nav"][1]


def test_the_explanation_has_ibkrs_own_figures_and_no_markup_of_others(
    desk: Desk, share: models.Instrument
) -> None:
    state = quoting(share, "14")[0]
    own = AccountNow("U1", Decimal("261.5"), Decimal("-3.2"), None, NOW)
    desk.said = [replace(state, login="<b>mine", accounts={"U1": own, "U1C": replace(own, account="U1C")})]

    news = Follower("dashboard", "").news("") or {}

    assert "261.50" in news["why"]
    assert "−3.20" in news["why"]
    assert "U1C" not in news["why"]  # a segment of the account that counts its positions again
    assert "&lt;b&gt;mine" in news["why"]
    assert "Live" in news["label"]


@pytest.mark.parametrize(
    ("status", "label"),
    [
        ("connecting", "Connecting"),
        ("idle", "Nothing to follow"),
        ("competing", "In use elsewhere"),
        ("no_rights", "No live quotes"),
        ("unavailable", "Live not available"),
    ],
)
def test_without_values_the_label_says_why_there_are_none(
    status: Any, label: str, desk: Desk, share: models.Instrument
) -> None:
    desk.said = [LiveState("", status, "Why it is so.", "What to do.", NOW)]

    news = Follower("holdings", "").news("") or {}

    assert label in news["label"]
    assert "Why it is so." in news["why"]
    assert "What to do." in news["why"]
    assert "Tried again at" in news["why"]
    assert "figures" not in news


def test_a_page_without_moving_figures_follows_nothing() -> None:
    assert Follower.of({"page": "sync"}) is None
    assert Follower.of({}) is None


def test_a_page_is_told_nothing_before_any_login_has_said_how_it_stands(desk: Desk) -> None:
    follower = Follower.of({"page": "dashboard"})
    assert follower is not None

    assert follower.news("") is None


def test_the_label_has_a_text_to_read_before_anything_is_told() -> None:
    body = render_to_string(
        "parts/live.html", {"frame": SimpleNamespace(wants_live=True), "page": "dashboard"}
    )

    assert re.search(r"<summary [^>]*data-live-label>.*Live values: .*Not followed yet.*</summary>", body)


def test_an_explanation_of_a_figure_that_moves_says_that_it_explains_the_stored_one(
    desk: Desk, share: models.Instrument, client: Client
) -> None:
    said = "as the last sync stored it; an open page shows it at the quotes of the moment"
    moving, fixed = "dashboard.totals.nav_base", "dashboard.totals.realized_pnl_base"

    def note(figure: str, *, as_of: str = "") -> str:
        page = client.get(f"/explain/{figure}").content.decode()
        document = client.get(f"/api/v1/explain/{figure}{as_of}").json()
        assert (said in page) == (said in document["note"]) or as_of
        return str(document["note"])

    assert said not in note(moving)
    desk.said = quoting(share, "14")
    assert said in note(moving)
    assert said in note("dashboard.day_change.value_base")
    assert said not in note(fixed)
    assert said not in note(moving, as_of="?as_of=2026-03-03")
    desk.said = balanced(LiveState("", "live", ""), "430")
    assert said in note("holdings.totals.cash_base")
