"""The engine's rates of every day are those that the exact reports find one by one."""

from array import array
from collections.abc import Sequence
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


def test_of_several_rates_the_newer_counts_and_of_one_day_the_pairs_own() -> None:
    def euros(**pairs: Block) -> list[float]:
        told = {(name[:3], name[3:]): block for name, block in pairs.items()}
        return [float(rate) for rate in into("EUR", ["USD"], told, lambda *_: {}, 10, 11)[0]]

    own, inverse = Block.of(10, packed([0.9])), Block.of(10, packed([1.25, 1.6]))
    # On day 10 both are told: the own one; day 11 has only the inverse, 1 / 1.6.
    assert euros(USDEUR=own, EURUSD=inverse) == euros(EURUSD=inverse, USDEUR=own) == [0.9, 0.625]
    # Through pounds 0.5 x 1.2 = 0.6, through francs 0.9 x 1.0 = 0.9: by name the francs, while both are as
    # old; on day 11 the pounds, of which both rates are told anew: 0.5 x 1.3.
    pounds = {"USDGBP": Block.of(10, packed([0.5, 0.5])), "GBPEUR": Block.of(10, packed([1.2, 1.3]))}
    francs = {"USDCHF": Block.of(10, packed([0.9])), "CHFEUR": Block.of(10, packed([1.0, 1.1]))}
    assert euros(**pounds, **francs) == euros(**francs, **pounds) == [0.9, 0.65]


def test_reference_rates_fill_the_days_that_nothing_else_tells() -> None:
    asked = []

    def reference(currencies: Sequence[str], first: int, last: int) -> dict[str, Block]:
        asked.append((tuple(currencies), first, last))
        return {"USD": Block.of(20, packed([1.6, NAN, 2.0])), "GBP": Block.of(20, packed([0.8, NAN, 0.5]))}

    # Pounds are quoted on day 12, which carries to day 19. Then a euro is 1.6 dollars or 0.8 pounds: a pound
    # is 2 dollars, also the day after; then 2.0 / 0.5 = 4.
    pairs = {("GBP", "USD"): Block.of(12, packed([1.5]))}
    table = into("USD", ["USD", "GBP"], pairs, reference, 19, 22)
    assert table.tolist() == [[1.0] * 4, [1.5, 2.0, 2.0, 4.0]]
    assert asked == [(("GBP", "USD"), 20 - 7, 22)]
