"""What stands around every page: the configuration in force, and how far and how old the data is."""

from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version

from stonks_overwatch import config, demo, sync
from stonks_overwatch.config import Config
from stonks_overwatch.errors import ConfigError
from stonks_overwatch.reports import syncs
from stonks_overwatch.reports.syncs import LoginState, Run

VERSION = version("stonks-overwatch")


@dataclass(frozen=True, slots=True)
class Frame:
    """`config` is the default one where the file cannot be used; `config_error` says why it cannot.

    `troubles` are the logins whose last run failed or stored only a part. `as_of` is how old the
    positions and the cash of the logins in use are. `latest_end` tells two pages apart between which a run
    ended.
    """

    config: Config
    config_error: ConfigError | None
    has_config: bool
    has_logins: bool
    is_demo: bool
    version: str
    running: tuple[Run, ...]
    troubles: tuple[LoginState, ...]
    as_of: datetime | None
    latest_end: str

    @property
    def wants_live(self) -> bool:
        """Whether some login of the configuration has live values."""
        return any(login.enabled and login.live_updates for login in self.config.ibkr)


def frame() -> Frame:
    error: ConfigError | None = None
    loaded, logins = Config(), []
    try:
        loaded, logins = config.load(), sync.logins()
    except ConfigError as err:
        error = err
    states = syncs.logins()
    newest = latest_end(tuple(state.last_run for state in states))
    if logins:
        # A login that is not configured any more has no say in how old the data is.
        in_use = {(broker, login.name) for broker, login in logins}
        states = tuple(state for state in states if (state.broker, state.login) in in_use)
    return Frame(
        config=loaded,
        config_error=error,
        has_config=config.exists(),
        has_logins=bool(logins),
        is_demo=demo.is_on(),
        version=VERSION,
        running=tuple(state.last_run for state in states if state.is_running),
        troubles=tuple(state for state in states if state.broker and state.last_run.error is not None),
        as_of=min((state.updated_at for state in states if state.updated_at is not None), default=None),
        latest_end=newest,
    )


def latest_end(runs: tuple[Run, ...]) -> str:
    """When the newest ended run ended; empty as long as none has."""
    return max((run.finished_at.isoformat() for run in runs if run.finished_at is not None), default="")
