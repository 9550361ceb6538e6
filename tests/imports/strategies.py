"""Ledgers as canonical CSV for properties: rows that go together, of all kinds."""

from datetime import date, timedelta
from decimal import Decimal

from hypothesis import strategies as st

from tests.imports.files import Row

FIRST = date(2024, 1, 1)
INSTRUMENTS: list[Row] = [
    {"symbol": "AAPL", "isin": "US0378331005", "name": "Apple", "asset_class": "stock", "currency": "USD"},
    {"symbol": "VOD", "isin": "GB00BH4HKS39", "currency": "GBX"},
    {"symbol": "NAMELESS", "name": "=Fund, \"A\"", "asset_class": "fund", "currency": "EUR"},
    {"symbol": "BTC", "asset_class": "crypto", "currency": "EUR"},
]  # fmt: skip

days = st.integers(0, 300).map(lambda n: (FIRST + timedelta(days=n)).isoformat())
quantities = st.decimals("0.0001", "5000", places=4).map(str)
prices = st.decimals("0.01", "900", places=3).map(str)
amounts = st.decimals("0.01", "90000", places=2).map(str)
fees = st.sampled_from(["", "0", "1.25", "-0.5", "+0.35"])
notes = st.sampled_from(["", "note", "two\nlines", "=cmd|' /C calc'!A0", "'quoted'", 'ünïcödé, "x"'])


@st.composite
def rows(draw: st.DrawFn) -> Row:
    kind = draw(
        st.sampled_from(
            ["buy", "sell", "dividend", "deposit", "withdrawal", "fee", "interest", "tax", "transfer_in",
             "transfer_out", "split", "fx", "opening"]
        )
    )  # fmt: skip
    row: Row = {"kind": kind, "date": draw(days), "account": draw(st.sampled_from(["Main", "Second"]))}
    row["note"] = draw(notes)
    instrument = draw(st.sampled_from(INSTRUMENTS))
    if kind in ("buy", "sell"):
        row |= {**instrument, "quantity": draw(quantities), "price": draw(prices), "fee": draw(fees)}
        if draw(st.booleans()):
            amount = Decimal(draw(amounts))
            row["amount"] = str(-amount if kind == "buy" else amount)
    elif kind in ("transfer_in", "transfer_out", "opening"):
        row |= {**instrument, "quantity": draw(quantities), "price": draw(st.one_of(st.just(""), prices))}
    elif kind == "split":
        row |= {
            **instrument,
            "quantity": draw(st.sampled_from(["2", "4", "1.5", "0.1", "0.3333333333333333"])),
        }
    elif kind == "fx":
        sign = draw(st.sampled_from([1, -1]))
        row |= {"symbol": draw(st.sampled_from(["USD", "CHF"])), "currency": "EUR"}
        row |= {"quantity": draw(quantities), "amount": str(sign * Decimal(draw(amounts))), "fee": draw(fees)}
    elif kind == "dividend":
        row |= {**instrument, "amount": draw(amounts), "tax": draw(fees)}
    else:
        sign = -1 if kind == "withdrawal" else 1 if kind == "deposit" else draw(st.sampled_from([1, -1]))
        row |= {
            "currency": draw(st.sampled_from(["EUR", "USD"])),
            "amount": str(sign * Decimal(draw(amounts))),
        }
    return row


ledgers = st.lists(rows(), min_size=1, max_size=25)
closes = st.lists(
    st.tuples(days, st.sampled_from(["AAPL", "BTC"]), prices).map(
        lambda row: (row[0], row[1], "USD" if row[1] == "AAPL" else "EUR", row[2])
    ),
    max_size=12,
    unique_by=lambda row: row[:2],
)
rates = st.lists(
    st.tuples(days, st.just("EUR"), st.sampled_from(["USD", "CHF"]), prices),
    max_size=6,
    unique_by=lambda r: r[:3],
)
