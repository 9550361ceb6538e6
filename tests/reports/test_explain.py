"""An explanation's inputs give the figure, for every figure of every report; and every figure has one."""

import importlib
import pkgutil
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from stonks_overwatch import reports
from stonks_overwatch.errors import UnknownFigureError
from stonks_overwatch.ledger.lots import RETURN_OF_CAPITAL
from stonks_overwatch.ledger.models import Account, Activity, Instrument
from stonks_overwatch.ledger.targets import Wanted
from stonks_overwatch.ledger.targets import replace as replace_targets
from stonks_overwatch.reports.diversification import diversification
from stonks_overwatch.reports.documents import Document, Rows, computed_text
from stonks_overwatch.reports.explain import FIGURES, REPORTS, Arguments, Explanation, explain
from stonks_overwatch.reports.explain.asked import asked_in
from stonks_overwatch.reports.explain.finding import Reports, figures_of
from stonks_overwatch.reports.explain.keys import key_of
from stonks_overwatch.reports.lots import lots
from stonks_overwatch.reports.scope import Scope
from tests.reports import builders, portfolio
from tests.reports.packing import pack
from tests.reports.recombining import recombined

EUR = Arguments(base="EUR")
# The engine computes in floating point.
FLOATING = {"series", "performance", "periods", "risk", "comparison", "attribution"}
# What stands in reports of its own: what explains a difference, rows of the activities.
ELSEWHERE = {"Suspect", "ListedActivity"}


def figures(
    path: str, document: Document, rows: tuple[str, ...], some: int = 2
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Name and rows of the figures in a document, of each list the first rows."""
    for name in figures_of(document):
        value = getattr(document, name, None)
        if isinstance(value, tuple):
            dates = document.dates[-2:]  # type: ignore[attr-defined]
            yield from ((f"{path}.{name}", (*rows, on.isoformat())) for on in dates)
        else:
            yield f"{path}.{name}", rows
    for name in type(document).model_fields:
        inner = getattr(document, name)
        if isinstance(inner, Document):
            yield from figures(f"{path}.{name}", inner, rows, some)
        elif isinstance(inner, (tuple, Rows)) and inner and isinstance(inner[0], Document):
            for one in inner[:some]:
                yield from figures(f"{path}.{name}", one, (*rows, key_of(one)), some)


def known_in_full() -> None:
    """Forty days of which everything is known: two shares, cash in two currencies, income, costs, flows."""
    account = builders.account(updated_at=builders.NOW)
    home, away = builders.instrument("HOME"), builders.instrument("AWAY", "USD")
    days = [builders.TODAY - timedelta(days=ago) for ago in range(40, -1, -1)]
    builders.activity(account, "deposit", days[0], gross="3000")
    builders.activity(account, "deposit", days[0], gross="1000", currency="USD")
    builders.activity(account, "buy", days[1], home, quantity="20", gross="-2000", fee="-3")
    builders.activity(account, "buy", days[1], away, quantity="15", gross="-750", fee="-1", tax="-2")
    builders.activity(account, "dividend", days[10], away, gross="30", tax="-4.5")
    builders.activity(account, "interest", days[12], gross="2.5")
    builders.activity(account, "withdrawal", days[20], gross="-500")
    builders.activity(account, "fee", days[25], gross="-4")
    for number, on in enumerate(days):
        builders.price(home, str(100 + number * 7 % 5), on)
        builders.price(away, str(50 + number * 3 % 4), on)
        builders.rate("USD", "EUR", f"0.8{number % 3}", on)
    pack()


@pytest.mark.django_db
@pytest.mark.parametrize("report", sorted(REPORTS.keys() - {"broker_returns"}))
def test_the_inputs_give_the_figure(report: str) -> None:
    if report in FLOATING:
        known_in_full()
        recombine(report, EUR.but(benchmark="HOME"))
        return
    portfolio.fill()
    asked = EUR.but(instrument=Instrument.objects.get(symbol="AAPL").pk)
    if report == "what_if":
        asked = asked.but(instrument=Instrument.objects.get(symbol="ASML").pk, sell=Decimal(3))
    if report == "activities":
        sold = Activity.objects.get(kind="sell")
        asked = asked.but(row=(f"ibkr:U1:{sold.key}",))
    recombine(report, asked)


def recombine(
    report: str, asked: Arguments, some: int = 2, fields: frozenset[str] = frozenset()
) -> dict[str, list[Explanation]]:
    """Gets each figure of a report, or these, back out of its explanation alone; returns these by name."""
    document = REPORTS[report](asked, Reports(asked))
    found: dict[str, list[Explanation]] = {}
    for name, rows in figures(report, document, (), some):
        if fields and name.rpartition(".")[2] not in fields:
            continue
        told = explain(name, asked.but(row=rows), size=10_000)
        found.setdefault(name, []).append(told)
        if told.value is None or told.how == "reported":
            continue
        inputs = [(one.name, one.value, one.as_of) for one in told.inputs]
        given = recombined(told.how, told.formula, inputs, told.title, told.value)
        assert given is not None, name
        if report in FLOATING:
            # The parts of the bridge are whole cents.
            near = Decimal("0.005001") if ".bridge." in name else Decimal("1e-6")
            assert given == pytest.approx(told.value, abs=near), name
        else:
            assert computed_text(given) == computed_text(told.value), name
    assert any(
        told.value is not None and told.how != "reported" for every in found.values() for told in every
    )
    return found


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("money", "two_sided", "formulas"),
    [
        # 50,000 are enough for everything that 58,332.50 times the targets lack.
        ("50000", False, {"lacking × value of the position ÷ Σ value in the group"}),
        (
            "1000",
            False,
            {"lacking × to spend ÷ lacking in all × value of the position ÷ Σ value in the group"},
        ),
        (
            "0",
            True,
            {
                # Of 3,133.50 too much in ABOVE, two lots of 100 are sold, so that not all can be bought.
                "lacking × to spend ÷ lacking in all × value of the position ÷ Σ value in the group",
                "(value − target × (total value + new money)) × value of the position ÷ Σ value in the group",
            },
        ),
    ],
)
def test_the_inputs_give_every_order_of_a_plan(money: str, two_sided: bool, formulas: set[str]) -> None:
    """2,000 of cash are above their band, one share is above its target, two of them lack something."""
    holder = builders.account()
    for symbol, quantity, price in (("ABOVE", "400", "12"), ("ONE", "7", "100"), ("OTHER", "25", "33.3")):
        held = builders.instrument(
            symbol, isin=f"XS{symbol}", exchange="TSEJ" if symbol == "ABOVE" else "NYSE"
        )
        builders.position(holder, held, quantity, price)
    builders.cash(holder, "EUR", "2000")
    wanted = {"XSABOVE": "0.2", "XSONE": "0.35", "XSOTHER": "0.25", "cash": "0.05", "XSNEW": "0.1"}
    replace_targets("instrument", [Wanted(key, Decimal(one), Decimal("0.02")) for key, one in wanted.items()])
    asked = EUR.but(by="instrument", money=Decimal(money), two_sided=two_sided)
    told = recombine("targets", asked, some=10)

    assert {one.formula for one in told["targets.orders.wanted_base"]} == formulas
    assert all(one.how == "formula" for one in told["targets.orders.quantity"])
    assert all(one.how == "formula" for one in told["targets.unplaced.amount_base"])


@pytest.mark.django_db
def test_what_happened_to_lots_without_a_trade_can_be_worked_out_again() -> None:
    """Splits, spin-offs, mergers, capital given back, transfers: nothing is left over without a reason."""
    eventful()
    for report in ("lots", "realized"):
        told = recombine(
            report, EUR, some=30, fields=frozenset({"quantity", "cost", "cost_base", "proceeds"})
        )
        for name, found in told.items():
            for one in found:
                assert one.value is not None, (name, one.subject)
                # A rest is named by the day of what it comes from.
                assert not any(" of 2026-" in told_input.name for told_input in one.inputs), (name, one)


@pytest.mark.django_db
def test_what_one_event_does_in_two_rows_of_a_day_can_be_worked_out_again() -> None:
    """60 given back in two rows are 3 on each of 20 units; 95 come in two rows for the 20 of a merger."""
    account, day = builders.account(), date(2026, 3, 2)
    given, gone, spun = (
        builders.instrument(symbol, isin=f"XS{symbol}") for symbol in ("GIVEN", "GONE", "SPUN")
    )
    for paper in (given, gone, spun):
        for on, gross in ((date(2026, 1, 5), "-200"), (date(2026, 1, 6), "-100")):
            builders.activity(account, "buy", on, paper, quantity="10", gross=gross)
    for paper, gross in ((given, "40"), (given, "20"), (spun, "40")):
        builders.activity(account, "dividend", day, paper, gross=gross, subtype=RETURN_OF_CAPITAL)
    merged: dict[str, Any] = {"group": "m", "subtype": "merger"}
    builders.activity(account, "corporate_action", day, gone, quantity="-20", gross="90", **merged)
    builders.activity(account, "corporate_action", day, gone, gross="5", **merged)
    child = builders.instrument("CHILD", isin="XSCHILD")
    builders.activity(
        account, "corporate_action", day, child, quantity="2", group="s", subtype="spin-off",
        description="SPUN(XSSPUN) SPINOFF 1 FOR 10", cost=Decimal(60),
    )  # fmt: skip
    for paper, quantity in ((given, "20"), (spun, "20"), (child, "2")):
        builders.position(account, paper, quantity)
    costs = recombine("lots", EUR, some=9, fields=frozenset({"cost"}))["lots.lots.cost"]
    proceeds = recombine("realized", EUR, some=9, fields=frozenset({"proceeds"}))["realized.lots.proceeds"]

    of_given = [one for one in costs if one.subject == "GIVEN"]
    assert [one.value for one in of_given] == [170, 70]
    assert {one.name for told in of_given for one in told.inputs} == {
        "cost the evening before", "given back", "units of the lot", "units that it was paid on",
    }  # fmt: skip
    assert [one.value for one in proceeds] == [Decimal("47.5")] * 2
    assert {one.name for told in proceeds for one in told.inputs} >= {"amount", "amount of leg 2"}
    # What two events of one day do together is said to be of both.
    (rest,) = {told.inputs[-1].name for told in costs if told.subject == "SPUN"}
    assert rest == "return of capital of 2026-03-02, corporate action of 2026-03-02"


@pytest.mark.django_db
@pytest.mark.parametrize("fx_rate", [None, "0.7"])
def test_the_money_of_a_future_is_at_the_rate_of_the_day_it_was_closed(fx_rate: str | None) -> None:
    account = builders.account()
    future = builders.instrument("FUT", "USD", asset_class="future", multiplier=Decimal(5))
    for on, units in ((date(2026, 1, 5), "0.90"), (date(2026, 2, 5), "0.80")):
        builders.rate("USD", "EUR", units, on)
    builders.activity(account, "buy", date(2026, 1, 5), future, quantity="1", price="100", gross="0")
    builders.activity(
        account, "sell", date(2026, 2, 5), future, quantity="-1", price="103", gross="0", fx_rate=fx_rate
    )
    rate = Decimal(fx_rate or "0.80")
    told = recombine("realized", EUR, fields=frozenset({"cost_base", "proceeds_base"}))
    for name, money in (("cost_base", 500), ("proceeds_base", 515)):
        (of_lot,) = told[f"realized.lots.{name}"]
        assert [one.value for one in of_lot.inputs] == [money, rate]
        assert [one.rate for one in of_lot.rates] == [rate]


@pytest.mark.django_db
@pytest.mark.parametrize("side", [1, -1])
def test_every_lot_of_a_sale_that_might_be_can_be_worked_out_again(side: int) -> None:
    """Of three lots of ten, 25 are sold (or, where they are short, bought back): the last one in part."""
    account, share = builders.account(), builders.instrument("ABC", "USD")
    builders.position(account, share, str(30 * side))
    for day, gross in enumerate((-100, -150, -120)):
        on, quantity = date(2026, 1, 5 + day), str(10 * side)
        builders.rate("USD", "EUR", f"0.8{day}", on)
        last = builders.activity(account, "buy", on, share, quantity=quantity, gross=str(gross * side))
    builders.rate("USD", "EUR", "0.9")
    asked = EUR.but(instrument=share.pk, sell=Decimal(25), at=Decimal(14), lot=(last.key,))
    told = recombine("what_if", asked, some=10)

    for name in ("quantity", "cost", "proceeds", "gain", "gain_base"):
        found = told[f"what_if.outcomes.sold.{name}"]
        assert len(found) == 15  # three lots by each of five methods
        assert not any(one.how == "reported" for one in found)


@pytest.mark.django_db
def test_a_lot_that_an_event_changed_leads_to_what_it_was_the_evening_before() -> None:
    """Fifteen units were held of it, ten of them in the first lot, when each became four."""
    eventful()
    row = next(one for one in lots(Scope("EUR")).lots if one.symbol == "SPLIT")
    asked = EUR.but(row=(key_of(row),))

    told = explain("lots.lots.quantity", asked)
    assert told.formula == (
        "open the evening before × units of the position after it ÷ units of the position before it"
    )
    assert builders.figures(*(one.value for one in told.inputs)) == (10, 60, 15)
    before = Arguments.model_validate(asked_in(told.inputs[0].explanation or "")[1])
    evening = explain("lots.lots.quantity", before)
    assert evening.value == Decimal(10)
    assert [one.name for one in evening.inputs] == ["opened"]


@pytest.mark.django_db
@pytest.mark.parametrize("as_of", [None, date(2026, 3, 2)])
def test_the_lots_of_one_instrument_are_the_same_when_no_others_are_read(as_of: date | None) -> None:
    papers = eventful()
    scope = Scope("EUR", as_of=as_of)
    every = lots(scope).lots
    assert len(every) > 5
    for paper in papers:
        alone = lots(scope, instrument=paper.pk).lots
        assert alone == tuple(row for row in every if row.instrument == paper.pk)


def eventful() -> list[Instrument]:
    """Two accounts, and a share for each of the events that change lots without a trade."""
    one, two = builders.account("U1"), builders.account("U2")
    on = iter(date(2026, 1, 1) + timedelta(days=days) for days in range(1, 60))
    papers: list[Instrument] = []

    def share(symbol: str, held: str | None = None, account: Account = one, **more: Any) -> Instrument:
        papers.append(builders.instrument(symbol, "USD", isin=f"US{symbol:0>10}", **more))
        if held is not None:
            builders.position(account, papers[-1], held)
        return papers[-1]

    def buys(paper: Instrument, *lots: tuple[str, str], account: Account = one) -> None:
        for quantity, gross in lots:
            builders.activity(account, "buy", next(on), paper, quantity=quantity, gross=gross, fee="-1")

    def action(
        paper: Instrument, quantity: str | None, group: str, subtype: str = "merger", **more: Any
    ) -> None:
        told = {"account": one, "day": date(2026, 3, 2), **more}
        account, day = told.pop("account"), told.pop("day")
        kind = told.pop("kind", "corporate_action")
        builders.activity(account, kind, day, paper, quantity=quantity, group=group, subtype=subtype, **told)

    for number in range(70):
        builders.rate("USD", "EUR", f"0.8{number % 7}", date(2026, 1, 1) + timedelta(days=number))
    split = share("SPLIT", "60")
    buys(split, ("10", "-1000"), ("5", "-600"))
    action(split, "45", "a", "split", kind="split")
    parent, child = share("PARENT", "80"), share("CHILD", "10")
    buys(parent, ("60", "-600"), ("40", "-800"))
    action(
        child, "10", "b", "spin-off", description=f"PARENT({parent.isin}) SPINOFF 1 FOR 10", cost=Decimal(280)
    )
    builders.activity(one, "sell", date(2026, 3, 3), parent, quantity="-20", gross="500", fee="-1")
    old, new = share("OLD"), share("NEW", "30")
    buys(old, ("10", "-100"), ("5", "-80"))
    action(old, "-15", "c")
    action(new, "30", "c")
    gone, cashed = share("GONE"), share("CASHED", "8")
    buys(gone, ("6", "-60"), ("10", "-120"))
    action(gone, "-16", "d", gross="90")
    action(cashed, "8", "d", cost=Decimal(100))
    given = share("GIVEN", "20")
    buys(given, ("10", "-200"), ("10", "-20"))
    builders.activity(one, "dividend", date(2026, 3, 2), given, gross="80", subtype=RETURN_OF_CAPITAL)
    moved = share("MOVED", "4")
    buys(moved, ("3", "-33"), ("5", "-50"))
    builders.position(two, moved, "4")
    action(moved, "-4", "e", "", kind="transfer_out")
    action(moved, "4", "e", "", kind="transfer_in", account=two)
    turned = share("TURNED", "4")
    builders.activity(one, "sell", next(on), turned, quantity="-6", gross="90")
    buys(turned, ("10", "-120"))
    future = share("FUTURE", asset_class="future", multiplier=Decimal(50))
    builders.activity(one, "buy", next(on), future, quantity="2", price="100", gross="0", fee="-2")
    builders.activity(one, "sell", next(on), future, quantity="-2", price="103", gross="0", fee="-2")
    return papers


def documents() -> Iterator[type[Document]]:
    for module in pkgutil.iter_modules(reports.__path__):
        if module.name in ("explain", "live", "syncs", "imports", "statements"):
            continue
        loaded = importlib.import_module(f"{reports.__name__}.{module.name}")
        for found in vars(loaded).values():
            if (
                isinstance(found, type)
                and issubclass(found, Document)
                and found.__module__ == loaded.__name__
            ):
                yield found


def test_every_number_of_every_document_is_told_of() -> None:
    lacking = [
        f"{model.__name__}.{name}"
        for model in documents()
        if model.__name__ not in ELSEWHERE and not model.__name__.startswith("_") and model.__name__ != "Sums"
        for name, field in model.model_fields.items()
        if "Decimal" in str(field.annotation) and not any((base, name) in FIGURES for base in model.__mro__)
    ]

    assert lacking == []


@pytest.mark.django_db
def test_a_converted_value_names_the_rate_its_day_and_its_source() -> None:
    # 10 shares × 200 USD = 2,000 USD; one euro is 1.25 dollars: 1,600 EUR.
    portfolio.fill()
    apple = Instrument.objects.get(symbol="AAPL")

    told = explain("holdings.holdings.market_value_base", EUR.but(row=(f"ibkr {apple.broker_ref} U1",)))

    assert told.value == Decimal(1600)
    assert told.how == "product"
    assert [one.value for one in told.inputs] == [Decimal(2000), Decimal("0.8")]
    (rate,) = told.rates
    assert (rate.base, rate.quote, rate.rate, rate.on) == ("USD", "EUR", Decimal("0.8"), portfolio.TODAY)
    assert "0.8 EUR for one USD" in rate.source


@pytest.mark.django_db
def test_a_value_of_units_and_price_leads_to_the_position_that_was_reported() -> None:
    portfolio.fill()
    apple = Instrument.objects.get(symbol="AAPL")

    told = explain("holdings.holdings.market_value", EUR.but(row=(f"ibkr {apple.broker_ref} U1",)))

    assert told.formula == "quantity × price"
    assert [row.kind for row in told.rows] == ["position"]
    assert told.inputs[0].explanation is not None
    assert told.inputs[0].explanation.startswith("/explain/holdings.holdings.quantity?")


@pytest.mark.django_db
def test_a_value_that_the_broker_rounded_is_reported_and_the_difference_is_said() -> None:
    holder = builders.account()
    share = builders.instrument("ABC")
    builders.position(holder, share, "3", "1.1", "3", market_value=Decimal("3.31"))

    told = explain("holdings.holdings.market_value", EUR.but(row=(f"ibkr {share.broker_ref} U1",)))

    assert told.how == "reported"
    assert told.value == Decimal("3.31")
    assert "0.01 more" in told.note


@pytest.mark.django_db
def test_an_unknown_figure_says_what_is_unknown() -> None:
    holder = builders.account()
    share = builders.instrument("ABC", "XAU")
    builders.position(holder, share, "3", "1.1", "3")

    told = explain("holdings.holdings.market_value_base", EUR.but(row=(f"ibkr {share.broker_ref} U1",)))

    assert told.value is None
    assert told.note == "Unknown, because of what is unknown: EUR for one XAU."


@pytest.mark.django_db
def test_two_positions_that_end_on_one_day_are_explained_each_by_itself() -> None:
    """One of another share, and one that only its strike tells from the one that is there."""
    portfolio.fill()
    for symbol, strike, quantity in (("SPY", 400, "7"), ("TSLA", 300, "2")):
        option = builders.instrument(
            symbol, "USD", name="TSLA 17JAN28 250 C", asset_class="option", multiplier=100, strike=strike,
            right="call", expires_on="2028-01-17", underlying_symbol=symbol,
        )  # fmt: skip
        builders.position(Account.objects.get(account="U2"), option, quantity, "2")
    document = REPORTS["exposures"](EUR, Reports(EUR))
    for name in ("expiries", "options"):
        rows = getattr(document, name)
        of_options = {key_of(row): row.quantity for row in rows if row.asset_class == "option"}
        assert sorted(of_options.values()) == [-3, 2, 7]
        for key, quantity in of_options.items():
            told = explain(f"exposures.{name}.quantity", EUR.but(row=(key,)))
            assert told.value == quantity
            assert told.rows[0].quantity == quantity
    recombine("exposures", EUR, some=20, fields=frozenset({"exposure_base", "long_base", "short_base"}))


@pytest.mark.django_db
def test_what_several_accounts_of_a_broker_hold_is_one_member_of_its_group() -> None:
    portfolio.fill()
    asked = EUR.but(by="broker")
    (group,) = diversification(asked.scope, "broker").groups
    keys = [key_of(row) for row in group.members]
    assert len(set(keys)) == len(keys)
    apple = next(row for row in group.members if row.symbol == "AAPL")
    told = explain("diversification.groups.members.value_base", asked.but(row=("ibkr", key_of(apple))))

    # 10 and 5 shares at 200 dollars, at 0.8.
    assert [one.value for one in told.inputs] == [1600, 800]
    assert told.value == apple.value_base == 2400


@pytest.mark.django_db
def test_of_a_group_of_which_nothing_was_ever_held_no_day_is_told() -> None:
    holder = builders.account(updated_at=builders.NOW)
    builders.activity(holder, "deposit", builders.TODAY - timedelta(days=3), gross="10")
    pack()
    row = (builders.TODAY.isoformat(),)
    assert explain("series.nav", EUR.but(row=row)).value == 10
    for name in ("series", "days"):
        with pytest.raises(UnknownFigureError) as caught:
            explain(f"{name}.nav", EUR.but(only="asset_class=future", row=row))
        assert "no days at all" in caught.value.next_step


@pytest.mark.django_db
def test_a_rate_that_was_booked_is_named_with_the_one_that_goes_on_with_it() -> None:
    # 100 francs at 1.10 dollars, the account's currency, and these at 0.90 euros: 99 euros.
    account = builders.account("U1", "USD")
    paid = builders.activity(account, "deposit", currency="CHF", gross="100", fx_rate="1.10")
    builders.rate("USD", "EUR", "0.90")
    told = explain("contributions.flows.amount_base", EUR.but(row=(f"ibkr:U1:{paid.key}",)))

    assert told.value == 99
    named = [(one.base, one.quote, one.rate) for one in told.rates]
    assert named == [("CHF", "USD", Decimal("1.10")), ("USD", "EUR", Decimal("0.90"))]
    assert told.rates[0].source == "told with the activity"


@pytest.mark.django_db
def test_what_has_no_order_has_no_total_so_far_and_what_was_before_all_has_no_address() -> None:
    account = builders.account()
    builders.activity(account, "deposit", gross="100")
    builders.activity(account, "interest", gross="5")
    for_account = explain("contributions.by_account.total_base", EUR.but(row=("U1",)))
    growth = explain("income.by_year.growth", EUR.but(row=(str(builders.TODAY.year),)))

    assert for_account.value is None
    assert for_account.inputs == ()
    assert [(str(one.value), bool(one.explanation)) for one in growth.inputs] == [("5", True), ("0", False)]


@pytest.mark.django_db
def test_a_row_as_a_whole_lists_its_figures_each_with_its_address() -> None:
    portfolio.fill()
    apple = Instrument.objects.get(symbol="AAPL")

    told = explain("holdings.holdings", EUR.but(row=(f"ibkr {apple.broker_ref} U1",)))

    assert told.subject == "AAPL"
    assert {one.name for one in told.inputs} >= {"Quantity", "Price", "Value", "Cost", "Weight", "Return"}
    assert all(one.explanation for one in told.inputs)


@pytest.mark.django_db
def test_long_lists_come_in_pages() -> None:
    holder = builders.account()
    for number in range(120):
        builders.position(holder, builders.instrument(f"S{number}"), "1", "2", "1")

    first, last = (explain("holdings.totals.market_value_base", EUR, page) for page in (1, 9))

    assert (first.inputs_count, len(first.inputs), first.pages) == (120, 50, 3)
    assert (last.page, len(last.inputs)) == (3, 20)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "name", ["nothing", "holdings.nothing", "holdings.holdings.weight", "allocation.slices"]
)
def test_a_figure_that_is_not_there_is_refused_with_what_there_is(name: str) -> None:
    with pytest.raises(UnknownFigureError) as caught:
        explain(name, EUR)

    assert caught.value.next_step
