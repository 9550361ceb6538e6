"""The figures of an open page at the quotes of this moment, for its stream of events.

A figure that can move has a name on the page (`data-live`). The stream says which figures have changed, as
the page writes them; without a quote a figure is what the page was made with.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.template.loader import render_to_string

from stonks_overwatch import config, live
from stonks_overwatch.errors import ConfigError, UnknownAccountError
from stonks_overwatch.ledger.types import Quote, QuoteKind
from stonks_overwatch.reports.combined import combined
from stonks_overwatch.reports.dashboard import AccountDay, DayChange, dashboard
from stonks_overwatch.reports.documents import share, total
from stonks_overwatch.reports.explain import Arguments, Explanation
from stonks_overwatch.reports.holdings import (
    Cash,
    Holding,
    Totals,
    Valuation,
    ValuedPosition,
    unrealized_return,
    valuation,
)
from stonks_overwatch.reports.live import Ledgers, Now, Quotes, at
from stonks_overwatch.reports.scope import Scope
from stonks_overwatch.services.brokers.base import LiveState, LiveStatus
from stonks_overwatch.web.holdings_table import SEPARATE
from stonks_overwatch.web.templatetags import figures

PAGES = ("dashboard", "holdings")
_BEST_FIRST: tuple[LiveStatus, ...] = (
    "live",
    "delayed",
    "closed",
    "connecting",
    "idle",
    "competing",
    "no_rights",
    "unavailable",
)
_LABELS: dict[LiveStatus, str] = {
    "live": "Live",
    "delayed": "Delayed",
    "closed": "At the close",
    "connecting": "Connecting",
    "idle": "Nothing to follow",
    "competing": "In use elsewhere",
    "no_rights": "No live quotes",
    "unavailable": "Live not available",
}
_WORDS = {
    QuoteKind.LIVE: "Live quote of",
    QuoteKind.DELAYED: "Quote, 15 to 20 minutes late, seen at",
    QuoteKind.CLOSE: "Price of the last close, seen at",
}
_MOVING = (
    ".price", ".market_value", ".market_value_base", ".exposure", ".exposure_base", ".unrealized_pnl",
    ".unrealized_pnl_base", ".weight", ".nav", ".nav_base", ".cash_base", ".accrued_base", ".amount",
    ".amount_base", ".day_change.value_base", ".day_change.fraction", ".holdings", ".cash", ".accounts",
)  # fmt: skip
"""How the names of figures that move end, and those of rows that hold some."""
_STORED = (
    "This explains the figure as the last sync stored it; an open page shows it at the quotes of the moment."
)
_BALANCES = "The broker's balances and exchange rates of"
_WORST_FIRST = (QuoteKind.CLOSE, QuoteKind.DELAYED, QuoteKind.LIVE)


@dataclass(frozen=True, slots=True)
class _Page:
    """What a page was made with: the state that a sync left."""

    valued: Valuation
    day_change: DayChange | None  # of the dashboard alone
    days: tuple[AccountDay, ...]


Figures = dict[str, tuple[str, str]]
"""By name: the figure as HTML, and what is to be said of the quotes behind it."""


class Follower:
    """One open page. `news` says what has changed on it since it was asked last."""

    def __init__(self, page: str, account: str) -> None:
        self._page = page
        self._is_separate = account == SEPARATE
        self._account = None if account in ("", SEPARATE) else account
        self._made: _Page | None = None
        self._made_at = ""
        self._sent: Figures = {}
        self._told = ("", "")  # what the page was made with
        self._unsynced: frozenset[str] = frozenset()  # accounts in which a trade was seen since the sync

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> "Follower | None":
        """The page that a stream of events is for; None for one without figures that move."""
        page = parameters.get("page", "")
        return cls(page, parameters.get("account", "")) if page in PAGES else None

    @contextmanager
    def looking(self) -> Iterator[None]:
        """For as long as the page is open."""
        with live.desk.watching():
            yield

    def news(self, latest_end: str) -> dict[str, Any] | None:
        """Label, explanation and figures, those that changed; None when nothing did.

        `latest_end` is when the newest run ended: from then on the stored state is another one.
        """
        states = live.desk.states()
        quotes, ledgers = live.quotes(states), live.ledgers(states)
        news: dict[str, Any] = {}
        changed = self._changed(quotes, ledgers, latest_end)
        if changed:
            news["figures"] = changed
        told = _told(states, quotes, self._currencies(), self._unsynced)
        if told != self._told:
            self._told = told
            news["label"], news["why"] = told
        return news or None

    def _changed(
        self, quotes: Quotes, ledgers: Ledgers, latest_end: str
    ) -> Mapping[str, tuple[str, str] | None]:
        """The figures that differ from what was sent last; None for one that is the stored one again."""
        self._unsynced = frozenset()
        if not quotes and not ledgers and not self._sent:
            return {}
        if self._made is None or latest_end != self._made_at:
            self._made, self._made_at = self._make(), latest_end
            self._sent = {}  # the page is made anew with the stored figures
        if self._made is None:
            return {}
        now: Figures = {}
        if quotes or ledgers:
            moved = at(self._made.valued, quotes, ledgers)
            now = self._written(self._made, moved, ledgers)
            self._unsynced = frozenset(account for _, account in moved.unsynced)
        changed: dict[str, tuple[str, str] | None] = {
            name: figure for name, figure in now.items() if self._sent.get(name) != figure
        }
        changed |= dict.fromkeys(self._sent.keys() - now.keys())
        self._sent = now
        return changed

    def _currencies(self) -> dict[str, str]:
        """The currency that each account of the page is kept in."""
        made = self._made
        return {} if made is None else {row.account: row.currency for row in made.valued.accounts}

    def _make(self) -> _Page | None:
        try:
            scope = Scope(config.load().base_currency, account=self._account)
            valued = valuation(scope)
            if self._page != "dashboard":
                return _Page(valued, None, ())
            document = dashboard(scope, every_day=False)
        except (ConfigError, UnknownAccountError):
            return None  # the page says so itself
        return _Page(valued, document.day_change, document.accounts)

    def _written(self, made: _Page, now: Now, ledgers: Ledgers) -> Figures:
        base = made.valued.base_currency
        streamed = max(
            (balance.at for ledger in ledgers.values() for balance in ledger.balances.values()), default=None
        )
        by_key = {(row.broker, row.broker_ref, row.account): row for row in now.holdings}
        moved = {(row.broker, row.broker_ref) for row in now.holdings}
        rows = [
            by_key.get((one.account.broker, one.held.broker_ref, one.account.account)) or one.holding()
            for one in made.valued.positions
            if (one.account.broker, one.held.broker_ref) in moved
        ]
        written: Figures = {}
        for row in rows if self._is_separate else combined(rows):
            quote = now.quotes.get((row.broker, row.broker_ref))
            written |= _of_holding(row, base, _said([quote] if quote else [], streamed))
        if not written and not now.cash:
            return {}
        said = _said(list(now.quotes.values()), streamed)
        written |= _of_totals(now.totals, base, said)
        written |= _of_cash(made, now, base, streamed, each=self._page == "holdings")
        if self._page == "holdings":
            return written | _of_groups(made.valued.positions, now, base, said)
        return written | _of_dashboard(made, now, base, said)


def as_stored(asked: Arguments, explanation: Explanation) -> Explanation:
    """The explanation, which says what it explains where the pages show something else just now."""
    figure = explanation.figure
    if asked.as_of or figure.partition(".")[0] not in PAGES or not figure.endswith(_MOVING):
        return explanation
    states = live.desk.states()
    if not live.quotes(states) and not live.ledgers(states):
        return explanation
    return explanation.model_copy(update={"note": f"{explanation.note} {_STORED}".strip()})


def _of_holding(row: Holding, base: str, said: str) -> Figures:
    key = f"{row.broker} {row.broker_ref} {row.account}"
    return _known(
        said,
        (f"price {key}", row.price, lambda v: figures.price(v, row.quoted_in)),
        (f"value {key}", row.market_value_base, lambda v: figures.money(v, base)),
        (f"own {key}", row.market_value, lambda v: figures.money(v, row.currency)),
        (f"exposure {key}", row.exposure_base, lambda v: figures.money(v, base)),
        (f"own-exposure {key}", row.exposure, lambda v: figures.money(v, row.currency)),
        (f"profit {key}", row.unrealized_pnl_base, lambda v: figures.signed(v, base)),
        (f"own-profit {key}", row.unrealized_pnl, lambda v: figures.signed(v, row.currency)),
        (f"return {key}", unrealized_return(row), figures.signed_percent),
        (f"weight {key}", row.weight, figures.percent),
    )


def _of_cash(made: _Page, now: Now, base: str, streamed: datetime | None, *, each: bool) -> Figures:
    """The sum of all cash, and the balances: `each` one, or those of a currency together and what is accrued.

    They move with a stream of balances alone.
    """
    if streamed is None:
        return {}
    said = f"{_BALANCES} {streamed.astimezone():%H:%M:%S}"
    written = _known(said, ("cash", now.totals.cash_base, lambda v: figures.money(v, base)))
    stored = made.valued
    rows = {(row.broker, row.account, row.currency): row for row in (*stored.cash, *now.cash)}
    of: dict[tuple[str, str], list[Cash]] = defaultdict(list)
    moved = {row.currency for row in now.cash}
    for row in now.cash if each else (row for row in rows.values() if row.currency in moved):
        of[f"{row.broker} {row.account} {row.currency}" if each else row.currency, row.currency].append(row)
    for (key, currency), balances in of.items():
        amount, in_base = total(row.amount for row in balances), total(row.amount_base for row in balances)
        written |= _known(
            said,
            (f"amount {key}", amount.value, lambda v, cur=currency: figures.money(v, cur)),
            (f"amount-base {key}", in_base.value, lambda v: figures.money(v, base)),
        )
    if not each and stored.totals.accrued_base:
        written |= _known(said, ("accrued", now.totals.accrued_base, lambda v: figures.money(v, base)))
    return written


def _of_totals(totals: Totals, base: str, said: str) -> Figures:
    return _known(
        said,
        ("nav", totals.nav_base, lambda v: figures.money(v, base)),
        ("investments", totals.market_value_base, lambda v: figures.money(v, base)),
        ("unrealized", totals.unrealized_pnl_base, lambda v: figures.signed(v, base)),
    )


def _of_groups(positions: Sequence[ValuedPosition], now: Now, base: str, said: str) -> Figures:
    """The sums over all rows of an asset class; a page that shows only some of them has no names there."""
    written: Figures = {}
    for asset_class, change in now.change.items():
        group = [one for one in positions if one.held.asset_class == asset_class]
        value = _plus(total(one.market_value_base for one in group).value, change)
        profit = _plus(
            total(one.unrealized_pnl_base for one in group).value, now.profit_change.get(asset_class)
        )
        written |= _known(
            said,
            (f"group-value {asset_class}", value, lambda v: figures.money(v, base)),
            (f"group-profit {asset_class}", profit, lambda v: figures.signed(v, base)),
            (f"group-weight {asset_class}", share(value, now.totals.nav_base), figures.percent),
        )
    return written


def _of_dashboard(made: _Page, now: Now, base: str, said: str) -> Figures:
    written: Figures = {}
    if made.day_change is not None:
        change = _change(made.day_change, made.valued.totals.nav_base, now.whole_change)
        written |= _known(
            said,
            ("change", change.value_base, lambda v: figures.signed(v, base)),
            ("change-fraction", change.fraction, figures.signed_percent),
        )
    for day in made.days:
        nav, nav_base = now.navs.get((day.broker, day.account), (None, None))
        added = Decimal(0) if nav_base is None or day.nav_base is None else nav_base - day.nav_base
        change = _change(day.day_change, day.nav_base, added)
        if nav_base is not None:
            key, currency = f"{day.broker} {day.account}", day.currency
            written |= _known(
                said,
                (f"account {key}", nav_base, lambda v: figures.money(v, base)),
                (f"own-account {key}", nav, lambda v, cur=currency: figures.money(v, cur)),
                (f"account-change {key}", change.value_base, lambda v: figures.signed(v, base)),
            )
    return written


def _change(stored: DayChange, nav: Decimal | None, added: Decimal) -> DayChange:
    """The day's change with what came after the stored NAV."""
    if stored.value_base is None or nav is None:
        return stored
    value = stored.value_base + added
    return DayChange(value_base=value, fraction=share(value, nav - stored.value_base), since=stored.since)


def _known(said: str, *rows: tuple[str, Decimal | None, Any]) -> Figures:
    """The figures that are known; an unknown one stays on the page with its reason."""
    return {name: (str(write(value)), said) for name, value, write in rows if value is not None}


def _said(quotes: list[Quote], streamed: datetime | None) -> str:
    """What a reader is told of the quotes behind a figure: of the weakest kind, the newest time.

    Without a quote it has moved with the balances and exchange rates that were `streamed`.
    """
    if not quotes:
        return "" if streamed is None else f"{_BALANCES} {streamed.astimezone():%H:%M:%S}"
    kind = next(kind for kind in _WORST_FIRST if any(quote.kind is kind for quote in quotes))
    newest = max(quote.at for quote in quotes if quote.kind is kind)
    return f"{_WORDS[kind]} {newest.astimezone():%H:%M:%S}"


def _plus(stored: Decimal | None, change: Decimal | None) -> Decimal | None:
    return None if stored is None else stored + (change or Decimal(0))


def _told(
    states: list[LiveState], quotes: Quotes, currencies: Mapping[str, str], unsynced: frozenset[str]
) -> tuple[str, str]:
    """The label and the explanation, as HTML; both empty where no login wants live values."""
    if not states:
        return "", ""
    best = min((state.status for state in states), key=_BEST_FIRST.index)
    context = {
        "logins": [
            (
                state,
                [
                    (row, currencies[row.account])
                    for row in state.accounts.values()
                    if row.account in currencies
                ],
            )
            for state in states
        ],
        "status": best,
        "label": _LABELS[best],
        "newest": max((quote.at for quote in quotes.values()), default=None),
        "followed": len(quotes),
        "balances": any(row.balances for state in states for row in state.accounts.values()),
        "unsynced": sorted(unsynced),
    }
    label = render_to_string("parts/live_label.html", context)
    return label, render_to_string("parts/live_why.html", context)
