"""The engine's rates of every day are those that the exact reports find one by one."""

from array import array
from datetime import date, timedelta
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from stonks_overwatch.engine.rates import Block, carry, into, window
from stonks_overwatch.ledger import ecb
from stonks_overwatch.reports.daily import references
from stonks_overwatch.reports.rates import Rates

FIRST = date(2026, 1, 5)
LENGTH = 24
CODES = ("EUR", "USD", "GBP", "XXA", "XXB")  # the ECB quotes the first three
NAN = float("nan")


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


rows = st.lists(
    st.tuples(
        st.sampled_from(CODES), st.sampled_from(CODES), st.integers(0, LENGTH - 1), st.integers(50, 200)
    ).filter(lambda row: row[0] != row[1]),
    max_size=14,
    unique_by=lambda row: row[:3],
)


@given(rows)
@settings(deadline=None)
def test_every_rate_is_the_one_that_the_exact_reports_find(told: list[tuple[str, str, int, int]]) -> None:
    exact = Rates([(base, quote, day(on), Decimal(rate) / 100) for base, quote, on, rate in told])
    series: dict[tuple[str, str], list[float]] = {}
    for base, quote, on, rate in told:
        series.setdefault((base, quote), [NAN] * LENGTH)[on] = rate / 100
    pairs = {pair: Block.of(FIRST.toordinal(), packed(numbers)) for pair, numbers in series.items()}
    table = into("EUR", CODES, pairs, references, FIRST.toordinal(), day(LENGTH - 1).toordinal())
    for row, code in enumerate(CODES):
        for number in range(LENGTH):
            wanted, found = exact.rate(code, "EUR", day(number)), float(table[row, number])
            if wanted is None:
                assert found != found  # NaN
            else:
                assert abs(found - float(wanted)) < 1e-12 * float(wanted)


def packed(numbers: list[float]) -> bytes:
    return array("d", numbers).tobytes()


def test_a_number_is_carried_for_seven_days() -> None:
    filled, ages = carry(window(Block.of(10, packed([1.5])), 9, 19))
    assert [None if n != n else n for n in filled.tolist()] == [None, *[1.5] * 8, None, None]
    assert ages.tolist()[1:9] == list(range(8))


def test_the_ecbs_block_has_the_rates_of_its_days() -> None:
    # A Friday, the weekend, a Monday.
    blocks = ecb.units_per_euro(["USD", "XXX"], date(2024, 3, 1), date(2024, 3, 4))
    assert set(blocks) == {"USD"}
    friday, saturday, _, monday = memoryview(blocks["USD"]).cast("d")
    assert (friday, monday) == (1.0813, 1.0846)
    assert saturday != saturday
