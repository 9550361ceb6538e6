"""The merge law with states: statements as files and answers of the Web API in any order are one ledger."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from django.db.models import F, Q
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stonks_overwatch.imports import import_file, undo
from stonks_overwatch.ledger import models, store
from stonks_overwatch.ledger.types import (
    Account,
    Activity,
    ActivityKind,
    AssetClass,
    Batch,
    CashBalance,
    Coverage,
    Instrument,
    Position,
)

pytestmark = pytest.mark.django_db

FIRST = date(2025, 3, 3)  # a Monday
NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)
ACCOUNTS, REFS = ("U1", "U2"), ("1001", "1002")
PRICE = 100


@dataclass(frozen=True)
class Fill:
    number: int
    account: str
    ref: str
    quantity: int
    day: int

    @property
    def on(self) -> date:
        return FIRST + timedelta(days=self.day)


@dataclass(frozen=True)
class Statement:
    """A file: whose, of which days, with which sections."""

    accounts: tuple[str, ...]
    since: int
    until: int
    sections: frozenset[str]


@dataclass(frozen=True)
class Answer:
    """What the Web API said one noon: what was held then, and the fills of some days up to it."""

    account: str
    day: int
    days: int


def held(life: Sequence[Fill], account: str, ref: str, until: int) -> int:
    """Two of the first instrument were there before all fills."""
    own = [f.quantity for f in life if (f.account, f.ref) == (account, ref) and f.day <= until]
    return sum(own) + (2 if ref == REFS[0] else 0)


def cash(life: Sequence[Fill], account: str, until: int) -> int:
    return 5000 - sum((PRICE * f.quantity) for f in life if f.account == account and f.day <= until)


def xml(statement: Statement, life: Sequence[Fill]) -> str:
    since, until = (FIRST + timedelta(days=day) for day in (statement.since, statement.until))
    parts = []
    for account in statement.accounts:
        rows: dict[str, list[str]] = {"Trades": [], "OpenPositions": [], "CashReport": []}
        for f in life:
            if f.account == account and statement.since <= f.day <= statement.until:
                side = "BUY" if f.quantity > 0 else "SELL"
                rows["Trades"].append(
                    f'<Trade accountId="{account}" currency="USD" assetCategory="STK" symbol="S{f.ref}" '
                    f'conid="{f.ref}" tradeID="{f.number}" tradeDate="{f.on:%Y%m%d}" quantity="{f.quantity}" '
                    f'reportDate="{f.on:%Y%m%d}" tradePrice="{PRICE}" proceeds="{-PRICE * f.quantity}" '
                    f'buySell="{side}" />'
                )
        for ref in REFS:
            if quantity := held(life, account, ref, statement.until):
                rows["OpenPositions"].append(
                    f'<OpenPosition accountId="{account}" currency="USD" assetCategory="STK" conid="{ref}" '
                    f'symbol="S{ref}" position="{quantity}" markPrice="{PRICE}" reportDate="{until:%Y%m%d}" '
                    f'costBasisMoney="{90 * quantity}" />'
                )
        rows["CashReport"].append(
            f'<CashReportCurrency accountId="{account}" currency="USD" fromDate="{since:%Y%m%d}" '
            f'toDate="{until:%Y%m%d}" endingCash="{cash(life, account, statement.until)}" />'
        )
        sections = "".join(
            f"<{name}>{''.join(rows[name])}</{name}>" for name in sorted(statement.sections & rows.keys())
        )
        generated = f'whenGenerated="{until:%Y%m%d};220000"' if "generated" in statement.sections else ""
        parts.append(
            f'<FlexStatement accountId="{account}" fromDate="{since:%Y%m%d}" toDate="{until:%Y%m%d}" '
            f'{generated}><AccountInformation accountId="{account}" currency="USD" />{sections}'
            "</FlexStatement>"
        )
    return f"<FlexQueryResponse><FlexStatements>{''.join(parts)}</FlexStatements></FlexQueryResponse>"


def batch(answer: Answer, life: Sequence[Fill]) -> Batch:
    """What was traded that day came before noon."""
    account, on = answer.account, FIRST + timedelta(days=answer.day)
    at = datetime.combine(on, time(16), UTC)
    none = None
    positions = tuple(
        Position(
            account,
            ref,
            Decimal(quantity),
            Decimal(PRICE),
            none,
            none,
            none,
            Decimal(91 * quantity),
            none,
            at,
        )
        for ref in REFS
        if (quantity := held(life, account, ref, answer.day))
    )
    seen: list[str] = []
    activities = []
    for f in life:
        if f.account == account and answer.day - answer.days <= f.day <= answer.day:
            content = f"{f.on}:{f.ref}:{f.quantity}"
            seen.append(content)
            activities.append(
                Activity(
                    account, f"web:{content}:{seen.count(content)}", "web-api",
                    ActivityKind.BUY if f.quantity > 0 else ActivityKind.SELL, f.on, "USD", f.ref,
                    quantity=Decimal(f.quantity), price=Decimal(PRICE), gross=Decimal(-PRICE * f.quantity),
                )
            )  # fmt: skip
    return Batch(
        broker="ibkr",
        login="main",
        fetched_at=at,
        accounts=(Account(account, "USD"),),
        instruments=tuple(Instrument(ref, f"S{ref}", f"S{ref}", AssetClass.STOCK, "USD") for ref in REFS),
        positions={account: positions},
        cash={account: (CashBalance(account, "USD", Decimal(cash(life, account, answer.day))),)},
        activities=tuple(activities),
        coverage=tuple(Coverage(account, ref, on - timedelta(days=answer.days), on) for ref in REFS),
    )


fills = st.lists(
    st.tuples(
        st.sampled_from(ACCOUNTS), st.sampled_from(REFS), st.sampled_from([1, 2, -1]), st.integers(0, 11)
    ),
    max_size=8,
).map(lambda rows: [Fill(n, *row) for n, row in enumerate(rows, start=1)])
spans = st.tuples(st.integers(0, 11), st.integers(0, 11)).map(sorted)
statements = st.builds(
    lambda accounts, span, sections: Statement(accounts, span[0], span[1], frozenset(sections)),
    st.sampled_from([("U1",), ("U2",), ACCOUNTS]),
    spans,
    st.sets(st.sampled_from(["Trades", "OpenPositions", "CashReport", "generated"])),
)
answers = st.builds(Answer, st.sampled_from(ACCOUNTS), st.integers(0, 11), st.integers(0, 5))


def ledger() -> dict[str, list[tuple[Any, ...]]]:
    """All that is held, was told and is worked out, without the times of recording."""
    stands = models.Activity.objects.filter(Q(superseded_by=None) | Q(superseded_by=F("pk")))
    columns: dict[str, tuple[Any, list[str]]] = {
        "Account": (
            models.Account.objects,
            ["account", "currency", "positions_since", "positions_at", "cash_since", "cash_at"],
        ),
        "Position": (
            models.Position.objects,
            [
                "account__account", "instrument__broker_ref", "quantity", "is_open", "price", "cost_basis",
                "changed_at", "changed_after", "closed_at", "anchor_quantity", "anchor_cost", "anchor_at",
                "covered_since", "covered_until",
            ],
        ),
        "Cash": (
            models.CashBalance.objects,
            ["account__account", "currency", "amount", "anchor_amount", "anchor_at"],
        ),
        "Activity": (
            stands,
            [
                "account__account", "key", "instrument__broker_ref", "kind", "trade_date", "quantity",
                "price", "gross", "cost", "conflicts", "is_derived", "superseded_by__key", "description",
            ],
        ),
        "Source": (models.ActivitySource.objects, ["activity__key", "source", "key"]),
        "Price": (models.Price.objects, ["instrument__broker_ref", "on", "close"]),
        "Change": (
            models.QuantityChange.objects,
            ["account__account", "instrument__broker_ref", "at", "quantity"],
        ),
    }  # fmt: skip
    return {name: sorted(rows.all().values_list(*names), key=repr) for name, (rows, names) in columns.items()}


@pytest.mark.django_db
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    fills,
    st.lists(statements, max_size=4),
    st.lists(answers, max_size=3),
    st.randoms(use_true_random=False),
)
def test_statements_and_answers_with_states_in_any_order_are_one_ledger(
    tmp_path: Path, life: list[Fill], files: list[Statement], told: list[Answer], chance: Random
) -> None:
    def bring(part: Statement | Answer) -> Callable[[], object]:
        if isinstance(part, Answer):
            return lambda: store.record(batch(part, life))
        file = tmp_path / f"{files.index(part)}.xml"
        file.write_text(xml(part, life))
        return lambda: import_file(file, now=NOW)

    def recorded(parts: Sequence[Statement | Answer]) -> dict[str, list[tuple[Any, ...]]]:
        store.clear("ibkr")
        models.Instrument.objects.all().delete()
        models.Import.objects.all().delete()
        for part in parts:
            bring(part)()
        return ledger()

    parts: list[Statement | Answer] = [*files, *told]
    in_time = sorted(parts, key=lambda p: p.until if isinstance(p, Statement) else p.day)
    whole = recorded(in_time)

    assert recorded(in_time[::-1]) == whole
    assert recorded(chance.sample([*parts, *parts], 2 * len(parts))) == whole


def test_undoing_one_of_two_statements_leaves_what_the_other_said(tmp_path: Path) -> None:
    everything = frozenset({"Trades", "OpenPositions", "CashReport", "generated"})
    life = [Fill(1, "U1", "1001", 2, 2), Fill(2, "U2", "1002", 1, 4), Fill(3, "U1", "1001", -1, 7)]
    early, late = Statement(("U1",), 0, 5, everything), Statement(ACCOUNTS, 3, 9, everything)

    def bring(one: Statement) -> int:
        file = tmp_path / f"{one.until}.xml"
        file.write_text(xml(one, life))
        number = import_file(file, now=NOW).number
        assert number is not None
        return number

    for kept, undone in ((early, late), (late, early)):
        store.clear("ibkr")
        models.Instrument.objects.all().delete()
        models.Import.objects.all().delete()
        bring(kept)
        alone = ledger()
        undo(bring(undone), NOW)

        # Prices are true for their day, whoever told them; so is what an instrument is called.
        assert {k: v for k, v in ledger().items() if k != "Price"} == {
            k: v for k, v in alone.items() if k != "Price"
        }


def _funds(section: str) -> str:
    """The same movements of cash, as one section or the other tells them."""
    rows = {
        "StmtFunds": (
            '<StatementOfFundsLine accountId="U1" currency="USD" date="20250304" reportDate="20250304" '
            'activityCode="DEP" activityDescription="Cash Transfer" amount="500" transactionID="81" />'
            '<StatementOfFundsLine accountId="U1" currency="USD" date="20250305" reportDate="20250305" '
            'activityCode="OFEE" activityDescription="Fee" amount="-3" transactionID="82" />'
        ),
        "CashTransactions": (
            '<CashTransaction accountId="U1" currency="USD" dateTime="20250304" reportDate="20250304" '
            'type="Deposits/Withdrawals" description="CASH TRANSFER" amount="500" transactionID="81" />'
            '<CashTransaction accountId="U1" currency="USD" dateTime="20250305" reportDate="20250305" '
            'type="Other Fees" description="FEE" amount="-3" transactionID="82" />'
        ),
    }[section]
    return (
        '<FlexQueryResponse><FlexStatements><FlexStatement accountId="U1" fromDate="20250301" '
        f'toDate="20250331"><{section}>{rows}</{section}></FlexStatement></FlexStatements></FlexQueryResponse>'
    )


@pytest.mark.parametrize("order", [("StmtFunds", "CashTransactions"), ("CashTransactions", "StmtFunds")])
def test_cash_that_the_statement_of_funds_told_counts_once_when_cash_transactions_tell_it_too(
    tmp_path: Path, order: tuple[str, str]
) -> None:
    for section in order:
        file = tmp_path / f"{section}.xml"
        file.write_text(_funds(section))
        import_file(file, now=NOW)

    told = models.Activity.objects.current().order_by("trade_date")
    assert list(told.values_list("kind", "gross", "description")) == [
        ("deposit", Decimal(500), "CASH TRANSFER"),
        ("fee", Decimal(-3), "FEE"),
    ]
    sources = models.ActivitySource.objects.filter(activity__in=told)
    assert sorted(sources.values_list("source", flat=True)) == ["flex", "flex", "flex-funds", "flex-funds"]


def _settled(since: date, until: date, amount: int, *days: tuple[date, int]) -> str:
    """A statement of futures' settlement: the sum of its days, and of single days where they are told."""
    lines = "".join(
        f'<StatementOfFundsLine accountId="U1" currency="USD" reportDate="{on:%Y%m%d}" activityCode="ADJ" '
        f'activityDescription="MES 21MAR25 Position MTM" amount="{of_day}" levelOfDetail="Currency" />'
        for on, of_day in days
    )
    return (
        f'<FlexQueryResponse><FlexStatements><FlexStatement accountId="U1" fromDate="{since:%Y%m%d}" '
        f'toDate="{until:%Y%m%d}"><CashReport><CashReportCurrency accountId="U1" currency="USD" '
        f'cashSettlingMtm="{amount}" endingCash="1000" /></CashReport><CashTransactions></CashTransactions>'
        f"<StmtFunds>{lines}</StmtFunds></FlexStatement></FlexStatements></FlexQueryResponse>"
    )


def test_settlement_that_overlaps_in_part_is_told_until_its_days_are(tmp_path: Path) -> None:
    first, second, third = date(2025, 3, 3), date(2025, 3, 4), date(2025, 3, 5)

    def bring(name: str, content: str) -> None:
        (tmp_path / name).write_text(content)
        import_file(tmp_path / name, now=NOW)

    def counted() -> list[tuple[date, Decimal | None]]:
        sums = models.Activity.objects.current().filter(subtype="daily settlement").order_by("trade_date")
        return list(sums.values_list("trade_date", "gross"))

    bring("a.xml", _settled(first, second, 30))
    bring("b.xml", _settled(second, third, 7))

    (item,) = models.InboxItem.objects.filter(section="CashReport")
    what, next_step = item.reason.split(". ")
    assert what == (
        "The 7 USD that futures and CFDs settled from 2025-03-04 to 2025-03-05 do not count, because only "
        "their sum is told, and its days overlap those of other sums in part"
    )
    assert next_step == (
        "Import a statement of these days that has the section Statement of Funds, which tells it day by day."
    )
    assert len(counted()) == 1

    # 10 + 20 = 30 and 20 - 13 = 7: now every sum is one of days.
    bring("c.xml", _settled(first, third, 17, (first, 10), (second, 20), (third, -13)))

    assert counted() == [(first, Decimal(10)), (second, Decimal(20)), (third, Decimal(-13))]
    assert not models.InboxItem.objects.filter(section="CashReport").exists()
