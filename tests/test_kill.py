"""A sync that is killed at any moment leaves the state before it or the new one, never a mixture."""

import random
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path

from stonks_overwatch.services.brokers.ibkr.sandbox import Sandbox
from tests.running import COMMAND, command, environment

ACCOUNT = "U7654321"
APPLE = 265598
KILLS = 20

State = tuple[dict[str, Decimal], dict[str, Decimal]]  # quantities by conid, cash by currency


def stored(folder: Path) -> State:
    """What the ledger holds, read past the product; and that its activities add up to its positions."""
    with closing(sqlite3.connect(folder / "data" / "db.sqlite3", timeout=20)) as database:
        positions = {
            ref: Decimal(quantity)
            for ref, quantity in database.execute(
                "SELECT i.broker_ref, p.quantity FROM stonks_overwatch_position p"
                " JOIN stonks_overwatch_instrument i ON i.id = p.instrument_id"
            )
        }
        moved = dict.fromkeys(positions, Decimal(0))
        for ref, quantity in database.execute(
            "SELECT i.broker_ref, a.quantity FROM stonks_overwatch_activity a"
            " JOIN stonks_overwatch_instrument i ON i.id = a.instrument_id"
            " WHERE a.superseded_by_id IS NULL AND a.quantity IS NOT NULL"
        ):
            moved[ref] += Decimal(quantity)
        cash = dict(database.execute("SELECT currency, amount FROM stonks_overwatch_cashbalance"))
    assert moved == positions
    return without_zeros(positions), without_zeros(
        {currency: Decimal(text) for currency, text in cash.items()}
    )


def expected(sandbox: Sandbox) -> State:
    account = sandbox.expected("EUR").accounts[ACCOUNT]
    quantities = {str(conid): quantity for conid, quantity in account.quantities.items()}
    return without_zeros(quantities), without_zeros(account.cash)


def without_zeros(amounts: dict[str, Decimal]) -> dict[str, Decimal]:
    return {name: round(amount, 6) for name, amount in amounts.items() if amount}


def trade(sandbox: Sandbox, folder: Path) -> None:
    """Change the account, and let IBKR's pause between two syncs have passed."""
    sandbox.world.buy(ACCOUNT, APPLE, Decimal(1), Decimal("230.5"))
    with closing(sqlite3.connect(folder / "data" / "db.sqlite3", timeout=20)) as database, database:
        database.execute("DELETE FROM stonks_overwatch_ibkrcall")


def test_a_sync_killed_at_any_moment_leaves_the_old_state_or_the_new(
    sandbox: Callable[..., Sandbox], tmp_path: Path
) -> None:
    moments = random.Random(20)
    broker = sandbox("small")
    variables = {
        "IBIND_OAUTH1A_REST_URL": broker.rest_url,
        "STONKS_OVERWATCH_CONFIG": str(broker.config_file),
    }
    before = len(broker.calls)
    assert command(tmp_path, "sync", **variables).returncode == 0
    calls_of_a_sync = len(broker.calls) - before - 1  # the contracts are asked for only once
    assert stored(tmp_path) == expected(broker)

    for number in range(KILLS):
        old = stored(tmp_path)
        trade(broker, tmp_path)
        before = len(broker.calls)
        # Every second kill hits the end, where the answers are kept and stored; the others come anywhere.
        calls = calls_of_a_sync if number % 2 else moments.randrange(calls_of_a_sync)
        pause = moments.uniform(0, 0.15 if number % 2 else 0.3)
        with subprocess.Popen(
            [*COMMAND, "sync"], env=environment(tmp_path, **variables), stderr=subprocess.DEVNULL
        ) as process:
            while len(broker.calls) - before < calls and process.poll() is None:
                time.sleep(0.001)
            time.sleep(pause)
            process.send_signal(signal.SIGKILL)
        assert stored(tmp_path) in (old, expected(broker)), (
            f"kill {number}, {calls} calls and {pause} s into the sync"
        )
        if number % 5 == 4:
            trade(broker, tmp_path)
            ended = command(tmp_path, "sync", **variables)
            assert ended.returncode == 0, ended.stderr
            assert stored(tmp_path) == expected(broker)
