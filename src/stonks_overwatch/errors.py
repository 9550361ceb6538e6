"""Every error a user can meet, as one small tree.

Each says what happened and what to do next, one sentence each; `code` is what programs read
(`error.code` in `sync --json`).
"""

from datetime import datetime


class StonksError(Exception):
    """What happened, and what the user can do about it."""

    code = "failed"

    def __init__(self, what: str, *, next_step: str) -> None:
        super().__init__(what)
        self.what = what
        self.next_step = next_step


class ConfigError(StonksError):
    """The configuration cannot be used as it is; nothing was sent anywhere."""

    code = "config_invalid"


class KeyFileMissingError(ConfigError):
    """A key file named in the configuration is not there."""

    code = "key_file_missing"


class CredentialsRefusedError(StonksError):
    """The broker did not accept the login. Never retried by itself."""

    code = "credentials_refused"


class ClockRefusedError(CredentialsRefusedError):
    """The broker did not accept the login because this computer's clock is wrong; later it may."""

    code = "clock_off"


class NotActiveError(CredentialsRefusedError):
    """The broker does not know the credentials: they are wrong, or so new that it has not activated them."""


class AccessNotEnabledError(StonksError):
    """The login is right, but the broker has not opened this way of access for it."""

    code = "web_api_not_enabled"


class AccountNotVisibleError(StonksError):
    """The login works, but an account it was asked for is not among those it may read."""

    code = "account_not_visible"


class BrokerUnreachableError(StonksError):
    """No connection to the broker could be made."""

    code = "unreachable"


class BrokerTimeoutError(BrokerUnreachableError):
    """The broker was reached but did not answer in time."""

    code = "timeout"


class BrokerUnavailableError(BrokerUnreachableError):
    """The broker answered that it is down at the moment (5xx, maintenance)."""

    code = "unavailable"


class BrokerMaintenanceError(BrokerUnavailableError):
    """The broker is down in the hours of one of its regular interruptions."""

    code = "maintenance"


class BrokerBusyError(StonksError):
    """The broker asked for fewer calls; nothing is sent before `retry_at`."""

    code = "rate_limited"

    def __init__(self, what: str, *, next_step: str, retry_at: datetime) -> None:
        super().__init__(what, next_step=next_step)
        self.retry_at = retry_at


class UnexpectedAnswerError(StonksError):
    """The broker answered something that is not understood; the raw answer is kept."""

    code = "unexpected_answer"

    def __init__(self, broker: str, field: str, value: object) -> None:
        super().__init__(
            f"{broker} sent something unexpected in {field}: {str(value)[:200]!r}.",
            next_step="Run the sync again; if it stays, report it with the text from the sync page's inbox.",
        )
        self.field = field
        self.value = value


class UnreadRowsError(StonksError):
    """The broker told something of an account, and not one row of it is understood; all are kept."""

    code = UnexpectedAnswerError.code

    def __init__(self, account: str, meant: str) -> None:
        super().__init__(
            f"None of the {meant} that were told of {account} could be read; the rows are in the inbox.",
            next_step="Look at the reasons in the inbox of the sync page, and report them: it is all kept, "
            "and once it can be read, `stonks-overwatch rebuild` does so.",
        )


class StatementError(StonksError):
    """A statement file cannot be read as a whole; nothing of it was stored."""

    code = "statement_unreadable"


class ImportRefusedError(StonksError):
    """A file cannot be imported as it is; nothing of it was stored."""

    code = "import_refused"


class StatementRefusedError(StonksError):
    """The broker does not make the statement that was asked for, until the user changes something."""

    code = "statement_refused"


class StatementNotAvailableError(StonksError):
    """The broker has no statement for the days asked for."""

    code = "no_statement"


class RefusedCallError(StonksError):
    """A call that is not on the read-only list was stopped before anything was sent."""

    code = "refused_call"


class CompetingLoginError(StonksError):
    """Another login of the same user name holds the broker's live session; it is left alone."""

    code = "competing_login"


class NoQuotesError(StonksError):
    """The login has no right to see market data."""

    code = "no_quotes"


class ClockError(StonksError):
    """This computer's clock is too far off for the broker's live stream."""

    code = "clock_off"


class SyncRunningError(StonksError):
    """Another run of the same login is at work."""

    code = "already_running"


class UnknownAccountError(StonksError):
    """A report was asked about an account or broker that is not stored."""

    code = "unknown_account"


class UnknownInstrumentError(StonksError):
    """A report was asked about an instrument that is not stored, or that has no prices."""

    code = "unknown_instrument"


class UnknownFigureError(StonksError):
    """An explanation was asked for of a figure that no report has."""

    code = "unknown_figure"


class LotsRefusedError(StonksError):
    """What was asked about lots does not fit the lots that there are."""

    code = "lots_refused"


class UnusableInputError(StonksError):
    """Something typed into a form or an address of the pages cannot be used; the page does without it."""

    code = "unusable_input"


class SyncInterruptedError(StonksError):
    """The process that was at work on a run ended before the run did."""

    code = "interrupted"

    def __init__(self) -> None:
        super().__init__(
            "The sync was ended before it was done; the data is as the sync before it left it.",
            next_step="Run the sync again; while the app is open it does so by itself.",
        )


class InternalError(StonksError):
    """A mistake in the program itself."""

    code = "internal"


class DatabaseUnusableError(StonksError):
    """The database cannot be read or written: disk full, no rights, a damaged file."""

    code = "database_unusable"


class ExportError(StonksError):
    """The files of an export cannot be written."""

    code = "export_failed"


class BackupError(StonksError):
    """A copy of the database cannot be made or put back; the database is as it was."""

    code = "backup_failed"


class PortBusyError(StonksError):
    """Another program listens where the app wanted to."""

    code = "port_busy"


class DemoError(StonksError):
    """The sandbox that the demo needs did not start."""

    code = "demo_failed"


class TargetsError(StonksError):
    """Wanted weights that cannot be wanted together; the ones that were there stay."""

    code = "targets_invalid"
