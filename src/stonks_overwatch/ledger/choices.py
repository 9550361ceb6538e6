"""What the user decides about lots: the method of an account, and which lots a sale closes."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal

from stonks_overwatch.errors import LotsRefusedError
from stonks_overwatch.ledger import packed
from stonks_overwatch.ledger.lots import Method
from stonks_overwatch.ledger.models import Account, Activity, LotChoice

_HOW_TO_FIND = "See the activities' ids with: stonks-overwatch activities --json"


def set_method(accounts: Iterable[Account], method: Method) -> None:
    """Match the accounts' sales by this method from now on, those of the past too."""
    Account.objects.filter(pk__in=[account.pk for account in accounts]).update(lot_method=method)


def choose(account: Account, closing: str, opening: str, quantity: Decimal) -> LotChoice | None:
    """Let an activity close `quantity` of the lot that another one opened; 0 takes the choice back.

    `closing` and `opening` are activities' keys or whole ids; the quantity is positive. What a sale
    closes beyond its choices goes first in, first out. Counts while the account's method is "specific".

    Returns: the choice, None when it was taken back.
    Raises: LotsRefusedError when the two are not a closing and an opening of one instrument, or the
        closing is smaller than all that is chosen for it.
    """
    prefix = f"{account.broker}:{account.account}:"
    closing, opening = closing.removeprefix(prefix), opening.removeprefix(prefix)
    rows = LotChoice.objects.filter(broker=account.broker, account=account.account, closing=closing)
    closes = Activity.objects.filter(account=account, key=closing, instrument__isnull=False)
    keys = closes.values_list("account_id", "instrument_id")
    packed.lots_changed(dict.fromkeys(keys, date.min), Method.SPECIFIC)
    if quantity == 0:
        rows.filter(opening=opening).delete()
        return None
    size = _closing_size(account, closing, opening)
    chosen = sum((row.quantity for row in rows.exclude(opening=opening)), quantity)
    if quantity < 0 or chosen > size:
        raise LotsRefusedError(
            f"The activity {closing} closes {size:f}, and lots of {chosen:f} would be chosen for it.",
            next_step=f"Choose lots of a positive quantity, together at most {size:f}.",
        )
    row, _ = LotChoice.objects.update_or_create(
        broker=account.broker,
        account=account.account,
        closing=closing,
        opening=opening,
        defaults={"quantity": quantity},
    )
    return row


def _closing_size(account: Account, closing: str, opening: str) -> Decimal:
    """How much the activity closes, in an instrument that the other one opened."""
    of_account = Activity.objects.current().filter(account=account)
    sale = of_account.filter(key=closing).first()
    if sale is None or not sale.quantity:
        raise LotsRefusedError(
            f"Account {account.account} has no activity {closing} that moves a quantity.",
            next_step=_HOW_TO_FIND,
        )
    # A lot that came by a transfer or a merger was opened elsewhere.
    opened = Activity.objects.current().filter(account__broker=account.broker, key=opening).first()
    if opened is None or not opened.quantity or (opened.quantity > 0) == (sale.quantity > 0):
        raise LotsRefusedError(
            f"The activity {opening} opened no lot that {closing} could close.",
            next_step="See stonks-overwatch lots --json for the lots; opened_by is what to name.",
        )
    size: Decimal = sale.quantity
    return abs(size)
