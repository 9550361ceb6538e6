"""What files brought, into the ledger: accounts that no broker reports, and prices and rates for all.

names.py finds the instruments that files name, activities.py and quotes.py store what they tell,
beside.py what exports tell beside it, closing.py works out the positions and cash that nobody reports of
these accounts, undoing.py takes things back. All of it runs inside the transaction of one import.
"""

from collections.abc import Callable
from dataclasses import dataclass

# The broker, the login and the source of what files brought.
BROKER = "csv"

Refuse = Callable[[int, str], None]
"""Called with the line and the reason of a row that cannot be stored."""


@dataclass(frozen=True, slots=True)
class Counts:
    new: int
    known: int
