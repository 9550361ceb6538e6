"""What an explanation is made of: the figure, what it is computed from, and the ledger rows behind it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from stonks_overwatch.reports.documents import Computed, Document, Exact, KeptIn

How = Literal[
    "reported",
    "sum",
    "difference",
    "product",
    "quotient",
    "change",
    "linked",
    "root",
    "formula",
    "equation",
    "listed",
]
"""How the inputs give the figure: in their order, those that are not known left out of a sum.

`reported`: the figure is what a source said; the inputs stand beside it. `difference`: the first less the
others. `quotient`: the first over the second. `change`: the same, less 1. `linked`: the inputs are returns,
(1 + a) × (1 + b) × … − 1. `root`: the yearly rate at which the inputs, each ÷ (1 + rate) ^ (days since the
first one's `as_of` ÷ 365), sum to nothing. `formula`: the formula is arithmetic over the names of the inputs,
in which `Σ name` is the sum of all inputs of that name, √ is the root of what follows, ⌊x⌋ the whole number
at or below x, `exp` and `ln` are of base e, and `N` and `n` are the standard normal distribution and its
density; inputs that it does not name stand beside them; what stands after "where" is named there.
`equation`: the formula holds with the figure in it, by its title. `listed`: no figure, the figures of a row.
"""


class Input(Document):
    """One number that went into a figure, with every digit.

    `unit` is a currency (null: one that is not known), "fraction" (0.05 is 5 %) or empty for a plain number.
    `explanation` is the address of its own explanation, where it is itself a figure. `as_of` is the time it
    is true for.
    """

    name: str
    value: Exact | None
    unit: KeptIn
    as_of: datetime | date | None = None
    source: str = ""
    explanation: str | None = None


class RateUsed(Document):
    """`rate` units of `quote` for one unit of `base`, of the day `on`.

    `for_day` is the day that it was wanted for; `source` says who told it, or what it was worked out from.
    """

    base: str
    quote: str
    rate: Exact
    for_day: date
    on: date
    source: str


class LedgerRow(Document):
    """One stored row. `amount` is money in `currency`: an effect on cash, a value, a price or a rate.

    `id` is the one under which the report of activities lists it, where `kind` is "activity".
    """

    kind: Literal["activity", "position", "cash balance", "value", "price", "statement"]
    id: str | None
    on: datetime | date
    account: str
    what: str
    quantity: Exact | None
    amount: Exact | None
    currency: KeptIn
    source: str


class Explanation(Document):
    """One figure, explained. `figure` is its name, `address` the path of this explanation.

    `value` is the figure as the report's JSON has it; where it is an estimate (`is_estimate`), `note` says
    why. Inputs and rows come in pages of at most 50; the counts are of all of them, `pages` is what the
    longer list needs.
    """

    figure: str
    address: str
    title: str
    subject: str
    value: Computed | None
    is_estimate: bool
    unit: KeptIn
    as_of: datetime | date | None
    meaning: str
    formula: str
    how: How
    note: str
    inputs: tuple[Input, ...]
    inputs_count: int
    rates: tuple[RateUsed, ...]
    rows: tuple[LedgerRow, ...]
    rows_count: int
    page: int
    pages: int


@dataclass(frozen=True, slots=True)
class Ledger:
    """Stored rows that are read only as far as a page shows them: from one place to before another."""

    count: Callable[[], int]
    page: Callable[[int, int], list[LedgerRow]]


@dataclass(frozen=True, slots=True)
class Made:
    """How one figure came about."""

    how: How
    formula: str
    inputs: Sequence[Input] = ()
    rates: Sequence[RateUsed] = ()
    ledger: Sequence[Ledger] = ()
    note: str = ""
    is_estimate: bool = False
