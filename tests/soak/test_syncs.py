"""Syncs while one or two faults hold, drawn at random: what is stored stays true, and the pages say so.

`make soak seed=17` makes the run again that a failure names, `make soak runs=2000` makes more of them.
"""

import os
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.test import Client

from stonks_overwatch import config, sync
from stonks_overwatch.ledger.models import Activity, CashBalance, Position, SyncRun
from stonks_overwatch.redaction import Secret
from stonks_overwatch.services.brokers.ibkr import flex
from stonks_overwatch.services.brokers.ibkr.credentials import IbkrFlex, IbkrLogin
from stonks_overwatch.services.brokers.ibkr.sandbox import PRESETS, Fault, Sandbox, preset
from stonks_overwatch.web.templatetags.figures import commands
from tests.ledger.dump import dump
from tests.soak.conftest import Clock, Database

pytestmark = pytest.mark.django_db(transaction=True)

MAIN, MICROSOFT = "U7654321", 272093
TODAY, NOON = datetime.now(UTC).date(), time(12, tzinfo=UTC)
RECENT, ALL = TODAY - timedelta(days=300), date(2015, 1, 1)
MOMENTS = (
    "updated_at", "priced_at", "changed_at", "changed_after", "closed_at", "anchor_at", "recorded_at",
    "reported_as_of", "reported_margin_at", "positions_since", "positions_at", "cash_since", "cash_at",
    "seen_at", "precedence", "at", "told",
)  # fmt: skip
"""When something was asked or stored: what one run and its twin may differ in."""
ASKED_AT = re.compile(r"\d\d:\d\d(?= UTC)")
"""The same in words, where a change of a position that nothing explains is described."""

ANYWHERE = {
    "unavailable", "unavailable_html", "server_error", "html", "empty", "error_object", "reset", "stall",
    "slow", "truncated", "cut_off", "busy", "not_enabled", "gone", "redirect", "unauthorized",
    "nightly_reset",
}  # fmt: skip
"""Faults that any request may meet."""
AS_THEY_ARE = {
    "login_401", "login_unknown_consumer", "login_wrong_signature", "login_wrong_lst", "token_expired",
    "not_enabled_accounts", "incomplete_positions", "shifting_pages", "stale_positions", "nan_prices",
    "zero_prices", "null_prices", "missing_fields", "extra_fields", "conid_type", "ledger_incomplete",
    "transactions_500", "strict_nonce", "clock_skew",
}  # fmt: skip
OF_THE_STREAM = {
    "competing", "cookie_changes", "socket_refused", "socket_silent", "socket_drops", "socket_closed",
    "heartbeat_skew", "quotes_refused", "quotes_delayed", "quotes_frozen",
}  # fmt: skip
"""What no sync meets; test_live.py draws pairs of these."""
PLACES = (
    "*", "* portfolio*", "GET portfolio/accounts", "GET portfolio/*/meta", "GET portfolio/*/summary",
    "GET portfolio/*/positions/*", "GET portfolio2/*", "GET portfolio*/*/positions*",
    "GET portfolio/*/ledger", "POST pa/*", "GET trsrv/secdef", "POST oauth/*", "GET flex/*",
    "GET flex/SendRequest", "GET flex/GetStatement",
)  # fmt: skip
DOWN = {"unavailable", "maintenance"}
"""Which of them it is, IBKR's hour decides."""
CAUSES = {
    "unavailable": DOWN,
    "unavailable_html": DOWN,
    "server_error": DOWN,
    "nightly_reset": DOWN,
    "gone": {"unavailable"},
    "transactions_500": DOWN,
    "reset": {"unreachable"},
    "cut_off": {"unreachable"},
    "stall": {"timeout"},
    "slow": {"timeout"},
    "html": {"unexpected_answer", "maintenance"},
    "empty": {"unexpected_answer"},
    "error_object": {"unexpected_answer"},
    "truncated": {"unexpected_answer"},
    "redirect": {"unexpected_answer"},
    "missing_fields": {"unexpected_answer", "account_not_visible"},
    "busy": {"rate_limited"},
    "not_enabled": {"web_api_not_enabled"},
    "not_enabled_accounts": {"web_api_not_enabled"},
    # IBKR answers so for an account that the login may not see, too.
    "unauthorized": {"credentials_refused", "account_not_visible", "unexpected_answer"},
    "login_401": {"credentials_refused"},
    "login_unknown_consumer": {"credentials_refused"},
    "login_wrong_signature": {"credentials_refused"},
    "login_wrong_lst": {"credentials_refused"},
    "token_expired": {"credentials_refused"},
    "clock_skew": {"clock_off"},
}
"""The codes that a run may have with each fault; with one that is not named it must come through."""
FLEX_CAUSES = (
    dict.fromkeys((1001, 1004, 1009, 1017, 1019, 1021), "unavailable")
    | {1003: "no_statement", 1018: "rate_limited"}
    | dict.fromkeys((1012, 1015), "credentials_refused")
)
MOST_OF_ONE, MOST_CALLS, MOST_OF_FLEX = 12, 60, 40
FIELDS = (
    "conid", "position", "currency", "assetClass", "secType", "accountId", "cashbalance", "exchangerate",
    "netliquidation", "grosspositionvalue", "marketValue", "mktValue", "avgCost", "transactions", "nav",
    "secdef", "live_session_token_signature",
)  # fmt: skip
FLEX_CODES = (1001, 1003, 1004, 1009, 1011, 1012, 1013, 1014, 1015, 1017, 1018, 1019, 1020, 1021, 1999)
SINGLE = sorted(ANYWHERE | AS_THEY_ARE)

RUNS = int(os.environ.get("SOAK_RUNS", "200"))
AT_ONCE = 25
SEEDS = [int(os.environ["SOAK_SEED"])] if os.environ.get("SOAK_SEED") else list(range(RUNS))
SLOWEST = 0.3
"""Seconds until a login with a fault that hangs gives up; others wait as long as by default."""


@dataclass(frozen=True)
class Story:
    """What there is to be told, apart from any fault."""

    is_first: bool  # nothing is stored yet
    sells: bool  # something was sold since the last sync
    wants_statements: bool  # those of the earlier years are asked for

    @property
    def start_date(self) -> date:
        return ALL if self.wants_statements else RECENT


@dataclass(frozen=True)
class Script:
    """One run: the same from the same seed."""

    seed: int
    story: Story
    syncs: int  # while the faults hold
    faults: tuple[Fault, ...]
    flex_codes: tuple[int, ...]

    @property
    def is_alone(self) -> bool:
        return self.seed < len(SINGLE)

    @property
    def hangs(self) -> bool:
        return any(fault.effect in ("stall", "slow") for fault in self.faults)

    def __str__(self) -> str:
        faults = ", ".join(
            f"{fault.name} at {fault.where!r} after {fault.after} times {fault.times}"
            + (f" of {fault.fields}" if fault.fields else "")
            + (f" by {fault.seconds} s" if fault.effect == "clock_skew" else "")
            for fault in self.faults
        )
        return f"seed {self.seed}: {faults}; Flex {self.flex_codes}; {self.syncs} syncs; {self.story}"


def script(seed: int) -> Script:
    chance = random.Random(seed)
    is_first = chance.random() < 0.07
    names = [SINGLE[seed]] if seed < len(SINGLE) else chance.sample(SINGLE, 2)
    faults = tuple(drawn(name, chance, is_alone=len(names) == 1) for name in names)
    codes: tuple[int, ...] = ()
    if len(names) == 2 and chance.random() < 0.12:
        faults = faults[:1]
        codes = (chance.choice(FLEX_CODES),) * chance.choice((1, 1, 2, 5))
    wants = is_first or bool(codes) or any("flex" in fault.where for fault in faults)
    return Script(
        seed,
        Story(is_first, chance.random() < 0.5, wants),
        chance.choice((1, 1, 1, 1, 1, 2)),
        faults,
        codes,
    )


def drawn(name: str, chance: random.Random, *, is_alone: bool) -> Fault:
    fault = preset(name)
    if name == "clock_skew":
        return replace(fault, seconds=chance.choice((-90000.0, -600.0, -100.0, 100.0, 600.0, 90000.0)))
    if name == "nightly_reset":
        fault = replace(fault, where="*")
    if name == "slow":
        fault = replace(fault, seconds=2 * SLOWEST)
    if is_alone:
        return fault
    if name in ANYWHERE:
        fault = replace(fault, where=chance.choice(PLACES))
    if name == "missing_fields" and chance.random() < 0.7:
        fault = replace(fault, fields=tuple(chance.sample(FIELDS, chance.choice((1, 2)))), where="* *")
    if name in ANYWHERE or name == "token_expired":
        few = fault.effect in ("stall", "slow")
        times = chance.choice((1, 2) if few else (1, 2, 3, 5, None))
        return replace(fault, after=chance.choice((0, 0, 1, 2, 4, 7)), times=times)
    return fault


@dataclass(frozen=True)
class State:
    """What the user has, as the ledger tells it."""

    quantities: dict[str, Decimal]
    cash: dict[str, Decimal]
    activities: Counter[tuple[Any, ...]]

    @classmethod
    def now(cls) -> "State":
        activities = Activity.objects.filter(superseded_by=None, is_derived=False)
        told = activities.values_list("instrument__broker_ref", "kind", "trade_date", "quantity", "currency")
        return cls(
            {
                ref: quantity
                for ref, quantity in Position.objects.values_list("instrument__broker_ref", "quantity")
                if quantity
            },
            {
                code: amount
                for code, amount in CashBalance.objects.values_list("currency", "amount")
                if amount
            },
            Counter(told),
        )


Ledger = dict[str, list[tuple[Any, ...]]]


@dataclass(frozen=True)
class End:
    """What there is after some syncs."""

    state: State
    ledger: Ledger

    @classmethod
    def now(cls, story: Story) -> "End":
        # The first syncs ask about one instrument each, a failed one in vain: that evens out later.
        asked = ("covered_since", "covered_until") if story.is_first else ()
        ledger = dump({*MOMENTS, *asked})
        ledger["Activity"] = [
            tuple(ASKED_AT.sub("", value) if isinstance(value, str) else value for value in row)
            for row in ledger["Activity"]
        ]
        if story.is_first:
            del ledger["Coverage"], ledger["ActivitySource"]
        return cls(State.now(), ledger)


class Drill:
    """One user at one broker."""

    def __init__(self, sandbox: Sandbox, clock: Clock, story: Story) -> None:
        self.sandbox, self._clock = sandbox, clock
        clock.follow(sandbox)
        self.login: IbkrLogin = (
            config.load(sandbox.config_file)
            .ibkr[0]
            .model_copy(
                update={
                    "flex": IbkrFlex(token=Secret(sandbox.flex.token), query_id=sandbox.flex.query),
                    "start_date": story.start_date,
                }
            )
        )
        if story.sells:
            sandbox.world.sell(MAIN, MICROSOFT, Decimal(6), Decimal(481))

    def sync(self) -> SyncRun:
        return sync.run("ibkr", self.login)

    def sync_impatiently(self) -> SyncRun:
        """Against a server that hangs, in real time."""
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(flex, "TIMEOUT", (SLOWEST, SLOWEST))
            return sync.run("ibkr", self.login.model_copy(update={"timeout_seconds": SLOWEST}))

    def wait(self) -> None:
        """Until the next run by itself, or until the user asks for one; past all pauses after a failure."""
        self._clock.pass_time(timedelta(hours=7))


@pytest.fixture(scope="session")
def kept() -> dict[Any, Any]:
    """What the runs of one process share: the state they begin with, and the ends without any fault."""
    return {}


class Stage:
    """Begins each run: a sandbox, and the database as it is then."""

    def __init__(
        self,
        folder: Path,
        database: Database,
        clock: Clock,
        environ: pytest.MonkeyPatch,
        kept: dict[Any, Any],
    ) -> None:
        self._folder, self._database, self._clock = folder, database, clock
        self._environ, self._kept = environ, kept

    @contextmanager
    def begin(self, story: Story) -> Iterator[Drill]:
        with (
            self._database.use(self._database.empty if story.is_first else self._settled()),
            self._sandbox() as sandbox,
        ):
            yield Drill(sandbox, self._clock, story)

    def _sandbox(self) -> Sandbox:
        sandbox = Sandbox.start(self._folder, scenario="small", today=TODAY)
        self._environ.setenv("STONKS_OVERWATCH_CONFIG", str(sandbox.config_file))
        self._environ.setenv("IBIND_OAUTH1A_REST_URL", sandbox.rest_url)
        self._environ.setenv("STONKS_OVERWATCH_IBKR_FLEX_URL", sandbox.flex_url)
        return sandbox

    def _settled(self) -> Path:
        """A database in which nothing is left to be told but earlier years."""
        if "settled" not in self._kept:
            with self._database.use(self._database.empty), self._sandbox() as sandbox:
                drill = Drill(sandbox, self._clock, Story(is_first=True, sells=False, wants_statements=False))
                for _ in range(7):  # one for the transactions of each instrument
                    assert drill.sync().status == "ok"
                    drill.wait()
                self._kept["settled"] = self._database.save("settled")
                self._kept["yesterday"] = State.now()
        path: Path = self._kept["settled"]
        return path

    def yesterday(self, story: Story) -> State | None:
        """What statements say is held, where they are the first to say anything."""
        if not story.is_first:
            return None
        if "yesterday" not in self._kept:
            self._settled()
        yesterday: State = self._kept["yesterday"]
        return yesterday

    def beginning(self, story: Story) -> End:
        """What there is before the first sync. For use once a run has begun."""
        if story.is_first not in self._kept:
            self._kept[story.is_first] = End.now(story)
        beginning: End = self._kept[story.is_first]
        return beginning

    def twin(self, story: Story) -> End:
        """How it ends where nothing goes wrong."""
        if story not in self._kept:
            with self.begin(story) as drill:
                assert drill.sync().status == "ok"
                self._kept[story] = End.now(story)
        end: End = self._kept[story]
        return end


@pytest.fixture
def stage(
    sandbox_directory: Path,
    database: Database,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    kept: dict[Any, Any],
) -> Iterator[Stage]:
    # A run and its twin are of one day: between them it does not become midnight.
    with time_machine.travel(datetime.combine(TODAY, NOON)):
        yield Stage(sandbox_directory, database, clock, monkeypatch, kept)


def test_every_fault_is_drawn_here_or_at_the_stream() -> None:
    assert ANYWHERE | AS_THEY_ARE | OF_THE_STREAM | {"no_pace"} == PRESETS.keys()


@pytest.mark.parametrize(
    "seeds",
    [SEEDS[n : n + AT_ONCE] for n in range(0, len(SEEDS), AT_ONCE)],
    ids=lambda seeds: f"from {seeds[0]} to {seeds[-1]}",
)
def test_faults_harm_nothing_are_told_and_pass(seeds: list[int], stage: Stage) -> None:
    for seed in seeds:
        one = script(seed)
        try:
            rehearse(stage, one)
        except BaseException as err:
            err.add_note(f"{one}\nAgain: make soak seed={seed}")
            raise


def rehearse(stage: Stage, one: Script) -> None:
    """One run: syncs with the faults, a sync without, and what must be so after each."""
    end, yesterday = stage.twin(one.story), stage.yesterday(one.story)
    with stage.begin(one.story) as drill:
        for fault in one.faults:
            drill.sandbox.faults.add(fault)
        drill.sandbox.flex.fail("SendRequest", *one.flex_codes[::2])
        drill.sandbox.flex.fail("GetStatement", *one.flex_codes[1::2])
        before = stage.beginning(one.story)
        for left in reversed(range(one.syncs)):
            calls = len(drill.sandbox.calls), len(drill.sandbox.flex.calls)
            row = drill.sync_impatiently() if one.hangs else drill.sync()
            assert row.status in ("ok", "partial", "failed")
            is_new = stored(row, one.story, before, end, yesterday)
            cause(row, one)
            if row.status != "ok" or not is_new:
                shown(row, is_new)
            bounded(drill, *calls)
            if row.status == "failed":
                assert not sync.is_due("ibkr", drill.login, datetime.now(UTC)), "it is tried again at once"
            drill.wait()
            if left and row.status != "failed":
                before = End.now(one.story)
        drill.sandbox.faults.clear()
        for codes in drill.sandbox.flex.codes.values():
            codes.clear()

        row = drill.sync()

        assert (row.status, row.error_code, row.error_what) == ("ok", "", "")
        assert differences(End.now(one.story).ledger, end.ledger) == []
        assert not [call.path for call in drill.sandbox.calls if call.too_early or call.is_mutating]
        assert not [call for call in drill.sandbox.flex.calls if call.too_early]


def stored(row: SyncRun, story: Story, before: End, end: End, yesterday: State | None) -> bool:
    """Whether all that the user has is as new as it can be; it is as old as it was, or new, in each part.

    Where nothing was known, statements can tell what was so yesterday.
    """
    if row.status == "failed":
        assert differences(End.now(story).ledger, before.ledger) == [], "a failed sync has stored something"
    now = State.now()
    for name in ("quantities", "cash"):
        old, held, new = (getattr(state, name) for state in (before.state, now, end.state))
        for key in {*old, *held, *new}:
            known = [old.get(key), new.get(key)]
            if yesterday is not None and row.status == "partial":
                known.append(getattr(yesterday, name).get(key))
            assert held.get(key) in known, f"{name} of {key}"
    assert not before.state.activities - now.activities, "lost"
    assert not now.activities - end.state.activities, "doubled"
    explained()
    is_new = (now.quantities, now.cash) == (end.state.quantities, end.state.cash)
    # Rows that could not be understood are counted in the inbox.
    assert is_new or row.status != "ok" or row.inbox, "a sync that told nothing new is called a success"
    return is_new


def explained() -> None:
    """Every position is the sum of its activities, once there was a complete list to begin with."""
    moved: defaultdict[str, Decimal] = defaultdict(Decimal)
    activities = Activity.objects.filter(superseded_by=None).exclude(kind="fx").exclude(instrument=None)
    for ref, quantity in activities.values_list("instrument__broker_ref", "quantity"):
        moved[ref or ""] += quantity or 0
    positions = Position.objects.exclude(account__positions_since=None)
    for ref, quantity in positions.values_list("instrument__broker_ref", "quantity"):
        assert moved[ref] == quantity, f"the activities of {ref} do not sum to its position"


def cause(row: SyncRun, one: Script) -> None:
    """The run names one of the faults as its cause, and a fault that hits everything is named."""
    if row.status == "ok":
        assert not row.error_code
        assert not (one.is_alone and one.faults[0].name in ANYWHERE and one.syncs == 1), "no cause"
        return
    possible = set().union(*(CAUSES.get(fault.name, set()) for fault in one.faults))
    possible |= {FLEX_CAUSES.get(code, "statement_refused") for code in one.flex_codes}
    if any(fault.where.startswith("GET flex") for fault in one.faults):
        possible |= {"unexpected_answer", "statement_unreadable"}  # whatever it is, no word of the service's
    if one.hangs:
        possible |= {"timeout", "unavailable"}  # a statement that came too late is not handed out again
    assert row.error_code in possible, row.error_what
    assert row.error_what
    assert row.error_next_step


def shown(row: SyncRun, is_new: bool) -> None:
    """The pages name the cause, and no age younger than what they show."""
    reader = Client(headers={"host": "127.0.0.1"})
    for path in ("/", "/sync"):
        page = reader.get(path).content.decode()
        assert str(commands(row.error_what)) in page, f"{path} does not name the cause"
        assert str(commands(row.error_next_step)) in page
        as_of = re.search(r'As of <time datetime="([^"]+)"', page)
        if as_of is not None and not is_new:
            age = row.started_at - datetime.fromisoformat(as_of[1])
            assert age > timedelta(hours=1), f"{path} shows old figures as new"


def bounded(drill: Drill, calls: int, flex_calls: int) -> None:
    """No storm: each thing is asked for a few times, and after a 429 nothing."""
    made = drill.sandbox.calls[calls:]
    assert max(Counter(f"{call.method} {call.path}" for call in made).values(), default=0) <= MOST_OF_ONE
    assert len(made) <= MOST_CALLS
    assert len(drill.sandbox.flex.calls) - flex_calls <= MOST_OF_FLEX
    busy = [n for n, call in enumerate(made) if call.status == 429]
    assert busy in ([], [len(made) - 1])


def differences(found: Ledger, wanted: Ledger) -> list[tuple[str, str, Any]]:
    """Rows that are in one of them alone; what could not be read stays in the inbox for the user to see."""
    return [
        (table, side, row)
        for table in wanted.keys() - {"InboxItem"}
        for side, rows, others in (("+", found, wanted), ("-", wanted, found))
        for row in Counter(rows[table]) - Counter(others[table])
    ]
