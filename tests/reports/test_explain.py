"""An explanation's inputs give the figure, for every figure of every report; and every figure has one."""

import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

import pytest

from stonks_overwatch import reports
from stonks_overwatch.errors import UnknownFigureError
from stonks_overwatch.ledger.models import Activity, Instrument
from stonks_overwatch.ledger.targets import Wanted
from stonks_overwatch.ledger.targets import replace as replace_targets
from stonks_overwatch.reports.documents import Document, Rows, computed_text
from stonks_overwatch.reports.explain import FIGURES, REPORTS, Arguments, Explanation, explain
from stonks_overwatch.reports.explain.finding import Reports, figures_of
from stonks_overwatch.reports.explain.keys import key_of
from stonks_overwatch.reports.scope import Scope
from tests.reports import builders, portfolio
from tests.reports.recombining import recombined

EUR = Arguments(Scope("EUR"))
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


@pytest.mark.django_db
@pytest.mark.parametrize("report", sorted(REPORTS.keys() - {"comparison", "broker_returns"}))
def test_the_inputs_give_the_figure(report: str) -> None:
    portfolio.fill()
    asked = replace(EUR, instrument=Instrument.objects.get(symbol="AAPL").pk)
    if report == "what_if":
        asked = replace(asked, instrument=Instrument.objects.get(symbol="ASML").pk, sell=Decimal(3))
    if report == "activities":
        sold = Activity.objects.get(kind="sell")
        asked = replace(asked, rows=(f"ibkr:U1:{sold.key}",))
    recombine(report, asked)


def recombine(report: str, asked: Arguments, some: int = 2) -> dict[str, list[Explanation]]:
    """Gets each figure of a report back out of its explanation alone; returns these by name."""
    document = REPORTS[report](asked, Reports(asked))
    found: dict[str, list[Explanation]] = {}
    for name, rows in figures(report, document, (), some):
        told = explain(name, replace(asked, rows=rows), size=10_000)
        found.setdefault(name, []).append(told)
        if told.value is None or told.how == "reported":
            continue
        inputs = [(one.name, one.value, one.as_of) for one in told.inputs]
        given = recombined(told.how, told.formula, inputs, told.title, told.value)
        assert given is not None, name
        if report in FLOATING:
            assert given == pytest.approx(told.value, abs=Decimal("1e-6")), name
        else:
            assert computed_text(given) == computed_text(told.value), name
    assert found
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
    asked = replace(EUR, by="instrument", money=Decimal(money), two_sided=two_sided)
    told = recombine("targets", asked, some=10)

    assert {one.formula for one in told["targets.orders.wanted_base"]} == formulas
    assert all(one.how == "formula" for one in told["targets.orders.quantity"])
    assert all(one.how == "formula" for one in told["targets.unplaced.amount_base"])


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

    told = explain("holdings.holdings.market_value_base", replace(EUR, rows=(f"ibkr {apple.broker_ref} U1",)))

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

    told = explain("holdings.holdings.market_value", replace(EUR, rows=(f"ibkr {apple.broker_ref} U1",)))

    assert told.formula == "quantity × price"
    assert [row.kind for row in told.rows] == ["position"]
    assert told.inputs[0].explanation is not None
    assert told.inputs[0].explanation.startswith("/explain/holdings.holdings.quantity?")


@pytest.mark.django_db
def test_a_value_that_the_broker_rounded_is_reported_and_the_difference_is_said() -> None:
    holder = builders.account()
    share = builders.instrument("ABC")
    builders.position(holder, share, "3", "1.1", "3", market_value=Decimal("3.31"))

    told = explain("holdings.holdings.market_value", replace(EUR, rows=(f"ibkr {share.broker_ref} U1",)))

    assert told.how == "reported"
    assert told.value == Decimal("3.31")
    assert "0.01 more" in told.note


@pytest.mark.django_db
def test_an_unknown_figure_says_what_is_unknown() -> None:
    holder = builders.account()
    share = builders.instrument("ABC", "XAU")
    builders.position(holder, share, "3", "1.1", "3")

    told = explain("holdings.holdings.market_value_base", replace(EUR, rows=(f"ibkr {share.broker_ref} U1",)))

    assert told.value is None
    assert told.note == "Unknown, because of what is unknown: EUR for one XAU."


@pytest.mark.django_db
def test_a_row_as_a_whole_lists_its_figures_each_with_its_address() -> None:
    portfolio.fill()
    apple = Instrument.objects.get(symbol="AAPL")

    told = explain("holdings.holdings", replace(EUR, rows=(f"ibkr {apple.broker_ref} U1",)))

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
