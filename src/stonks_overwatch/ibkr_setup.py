"""Connects a login to IBKR step by step: what `ibkr-setup` on the terminal and the page share.

Keys are made here; the user registers them with IBKR and brings back a consumer key, an access token and
its secret; config.json is written; then IBKR has to activate the registration. Where a login stands
follows from the files that are there, so that an interruption loses nothing.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, get_args

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, ValidationError

from stonks_overwatch import config, config_edit, paths
from stonks_overwatch.errors import (
    BrokerBusyError,
    BrokerUnreachableError,
    ConfigError,
    NotActiveError,
    StonksError,
)
from stonks_overwatch.redaction import Secret, remember
from stonks_overwatch.services import brokers
from stonks_overwatch.services.brokers.base import Finding
from stonks_overwatch.services.brokers.ibkr import credentials, keys
from stonks_overwatch.services.brokers.ibkr.credentials import IbkrCredentials, IbkrLogin

Stage = Literal["keys", "registration", "token", "activation", "connected"]
STAGES: tuple[Stage, ...] = get_args(Stage)
Outcome = Literal["", "waiting", "unreachable", "refused", "connected"]

WHAT_TO_UPLOAD = {
    keys.PUBLIC_SIGNATURE: "Public signing key",
    keys.PUBLIC_ENCRYPTION: "Public encryption key",
    keys.PARAMETERS: "Diffie-Hellman parameters",
}
"""The files that IBKR's page asks for, and what they are there."""

CONSUMER_KEY_LETTERS = 9
SOON, LATER = timedelta(minutes=10), timedelta(hours=1)
"""The pause between two logins of a registration that is not active: soon in its first hour, then later."""

_NOTES = "setup.json"
_LOCK = "setup.lock"


class Notes(BaseModel):
    """What the files do not say, kept owner-only beside the keys."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    is_new: bool = False  # a new registration is being made for a login that config.json has already
    subfolder: str = ""  # of its keys: those in use stay where they are until the new ones work
    consumer_key: str = ""
    waiting_since: datetime | None = None
    tried_at: datetime | None = None
    outcome: Outcome = ""
    what: str = ""
    next_step: str = ""


@dataclass(frozen=True, slots=True)
class Setup:
    """Where a login stands. `folder` holds its keys; `making` is how far they are, None if none are made."""

    login: str
    folder: Path
    stage: Stage
    notes: Notes
    missing: tuple[str, ...]
    making: keys.Progress | None
    failure: str  # why the making of keys ended early

    @property
    def next_try_at(self) -> datetime | None:
        """When the login is tried next by itself; None when it is not."""
        notes = self.notes
        if self.stage != "activation" or notes.outcome == "refused":
            return None
        if notes.tried_at is None or notes.waiting_since is None:
            return datetime.now(UTC)
        is_young = notes.tried_at - notes.waiting_since < LATER
        return notes.tried_at + (SOON if is_young else LATER)


def names() -> tuple[str, ...]:
    """The logins that the configuration has and those that are being set up. Raises: ConfigError."""
    configured = [login.name for login in config.load().ibkr]
    started = [file.parent.name for file in sorted(_home().glob(f"*/{_NOTES}"))]
    if not configured and (_home() / _NOTES).exists():
        configured = [""]
    return tuple(dict.fromkeys([*configured, *started]))


def choose(name: str | None) -> str:
    """The login to work on: the one named, or the only one there is.

    Raises: ConfigError when the name cannot be one, or when there are several and none was named.
    """
    configured = [login.name for login in config.load().ibkr]
    if name is None or (not name.strip() and configured):
        if len(configured) > 1:
            raise ConfigError(
                f"config.json has {len(configured)} logins: {', '.join(configured)}.",
                next_step="Name one of them, or a new one, with --login.",
            )
        return configured[0] if configured else ""
    name = name.strip()
    try:
        credentials.login_name(name)
    except ValueError:
        raise ConfigError(
            "A login's name has letters, digits, blanks and . _ - @, at most 50 of them.",
            next_step="Choose a short name such as family or paper.",
        ) from None
    return next((known for known in configured if known.casefold() == name.casefold()), name)


def look(login: str) -> Setup:
    """Where the login stands; nothing is sent and nothing changed. Raises: ConfigError."""
    notes = _read(_folder(login))
    folder = _folder(login) / notes.subfolder
    missing = keys.missing(folder)
    is_making = keys.is_making(folder)
    if _configured(login) is not None and not notes.is_new:
        stage: Stage = "connected" if notes.outcome == "connected" else "activation"
    elif missing:
        stage = "keys"
    else:
        stage = "token" if notes.consumer_key else "registration"
    at = keys.progress(folder)
    return Setup(
        login=login,
        folder=folder,
        stage=stage,
        notes=notes,
        missing=missing,
        # Once all is there its process may still be ending: a page that looks again would lose what is typed.
        making=at if is_making and missing else None,
        failure="" if is_making or not missing else at.error,
    )


def make_keys(login: str) -> None:
    """Start to make what is missing; it goes on in a process of its own. Raises: ConfigError."""
    folder = _folder(login)
    keys.start(folder / _read(folder).subfolder)


def begin_anew(login: str) -> None:
    """Begin a new registration, with new keys in a folder of their own.

    The keys in use and config.json stay as they are until the new token is there. Raises: ConfigError.
    """
    folder = _folder(login)
    with _writing(folder):
        keys.stop(folder / _read(folder).subfolder)
        subfolder = f"registration-{datetime.now(UTC):%Y%m%d-%H%M%S}"
        _write(folder, Notes(is_new=True, subfolder=subfolder))


def enter_consumer_key(login: str, text: str) -> None:
    """Note the consumer key that was registered. Raises: ConfigError when it cannot be one."""
    folder, key = _folder(login), text.strip().upper()
    if len(key) != CONSUMER_KEY_LETTERS or not (key.isascii() and key.isalpha()):
        raise ConfigError(
            f"A consumer key has {CONSUMER_KEY_LETTERS} letters from A to Z; this one does not.",
            next_step="Enter it as it stands on IBKR's OAuth page.",
        )
    with _writing(folder):
        _write(folder, _read(folder).model_copy(update={"consumer_key": key}))


def enter_token(login: str, token: str, secret: str) -> Path | None:
    """Check the access token and its secret against the keys, then write config.json.

    Of a login that is in config.json only these two change, unless a new registration is being made.

    Returns: the copy of the former config.json, None when there was none or nothing changed.
    Raises: ConfigError that says which piece is wrong; nothing is written then.
    """
    folder, token, secret = _folder(login), token.strip(), "".join(secret.split())
    remember(token)
    remember(secret)
    _check_token(token, secret)
    with _writing(folder):
        notes = _read(folder)
        values = {"access_token": token, "access_token_secret": secret}
        configured = _configured(login)
        if configured is not None and not notes.is_new:
            fresh = {name: Secret(value) for name, value in values.items()}
            held = configured.credentials.model_copy(update=fresh)
            credentials.prepare(configured.model_copy(update={"credentials": held}))
        else:
            made = folder / notes.subfolder
            values |= {
                "consumer_key": notes.consumer_key,
                "dh_prime": _written(made / keys.PARAMETERS),
                "encryption_key_fp": _written(made / keys.PRIVATE_ENCRYPTION),
                "signature_key_fp": _written(made / keys.PRIVATE_SIGNATURE),
            }
            credentials.prepare(_login(login, values))
        copy = config_edit.put_ibkr_login(paths.config_file(), login, values)
        _write(folder, Notes(consumer_key=notes.consumer_key, subfolder=notes.subfolder))
    return copy


def try_login(login: str) -> list[Finding]:
    """Log in once and note what IBKR said; `look` then tells it.

    Returns: the findings of the login test, when IBKR let us in; else nothing.
    Raises: ConfigError when config.json cannot be read or has no such login.
    """
    from stonks_overwatch.services.brokers.ibkr.client import client  # noqa: PLC0415  # iBind is slow to load

    configured = _configured(login)
    if configured is None:
        raise ConfigError("config.json has no such login yet.", next_step="Go through the steps before.")
    folder = _folder(login)
    found: list[Finding] = []
    with _writing(folder):
        outcome: Outcome = "connected"
        error: StonksError | None = None
        try:
            client(configured).tickle()
            found = brokers.load("ibkr").check(configured)
        except NotActiveError as err:
            outcome, error = "waiting", err
        except (BrokerUnreachableError, BrokerBusyError) as err:
            outcome, error = "unreachable", err
        except StonksError as err:
            outcome, error = "refused", err
        now = datetime.now(UTC)
        notes = _read(folder)
        _write(
            folder,
            notes.model_copy(
                update={
                    "waiting_since": notes.waiting_since or now,
                    "tried_at": now,
                    "outcome": outcome,
                    "what": error.what if error else "",
                    "next_step": error.next_step if error else "",
                }
            ),
        )
    return found


def waiting(now: datetime) -> list[str]:
    """The logins that wait for IBKR and whose next try is due. Raises: ConfigError."""
    due = []
    for login in config.load().ibkr:
        if login.enabled and (_folder(login.name) / _NOTES).exists():
            setup = look(login.name)
            if setup.notes.outcome in ("waiting", "unreachable") and (setup.next_try_at or now) <= now:
                due.append(login.name)
    return due


def _check_token(token: str, secret: str) -> None:
    if not token or not secret:
        raise ConfigError(
            "The access token or its secret is empty.",
            next_step="Copy both from IBKR's OAuth page; they are shown together, once.",
        )
    if len(token) > len(secret):
        raise ConfigError(
            "The access token and its secret are exchanged: the secret is the longer one.",
            next_step="Enter the short text as access token, the long one as its secret.",
        )
    if len(token.split()) > 1:
        raise ConfigError(
            "The access token has a blank inside.",
            next_step="Copy it again from IBKR's OAuth page, from its first to its last character.",
        )


def _login(name: str, values: dict[str, str]) -> IbkrLogin:
    try:
        return IbkrLogin(
            name=name,
            credentials=IbkrCredentials(
                access_token=Secret(values["access_token"]),
                access_token_secret=Secret(values["access_token_secret"]),
                consumer_key=Secret(values["consumer_key"]),
                dh_prime=Path(values["dh_prime"]),
                encryption_key_fp=values["encryption_key_fp"],
                signature_key_fp=values["signature_key_fp"],
            ),
        )
    except ValidationError:
        raise ConfigError(
            f"The path of {values['dh_prime']} cannot be written into config.json.",
            next_step="Keep the configuration in a folder whose path has plain characters.",
        ) from None


def _configured(name: str) -> IbkrLogin | None:
    """The login as config.json has it, once its credentials are filled in."""
    for login in config.load().ibkr:
        if login.name.casefold() == name.casefold():
            held = login.credentials.consumer_key
            is_filled = isinstance(held, config.ReferredSecret) or not held.reveal().startswith("YOUR_")
            return login if is_filled else None
    return None


def _home() -> Path:
    return paths.config_file().parent / "ibkr_certs"


def _folder(login: str) -> Path:
    return _home() / login if login else _home()


def _written(file: Path) -> str:
    """A path as config.json holds it: from the root where both are inside, so that they move together."""
    root = paths.root()
    is_default = "STONKS_OVERWATCH_CONFIG" not in os.environ
    return str(file.relative_to(root)) if is_default and file.is_relative_to(root) else str(file)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """One at a time changes a login's files: terminal, page and background work may meet."""
    keys.own_folder(folder)
    with FileLock(folder / _LOCK, mode=0o600):
        yield


def _read(folder: Path) -> Notes:
    try:
        return Notes.model_validate_json((folder / _NOTES).read_bytes())
    except (OSError, ValidationError):
        return Notes()


def _write(folder: Path, notes: Notes) -> None:
    keys.write_private(folder / _NOTES, notes.model_dump_json(indent=2) + "\n")
