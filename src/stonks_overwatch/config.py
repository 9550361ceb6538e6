"""Reads config/config.json into frozen models, or says exactly what is wrong and where.

`load` checks the structure. What needs files and arithmetic (keys, prime) is checked before a login by the
broker's own `credentials.py`. No error text contains a value of the file, because it could be a secret.
"""

import difflib
import functools
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from babel.core import get_global
from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    StrictBool,
    StrictInt,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from stonks_overwatch import paths
from stonks_overwatch.errors import ConfigError
from stonks_overwatch.redaction import Secret
from stonks_overwatch.services.brokers.ibkr import credentials as ibkr
from stonks_overwatch.services.brokers.ibkr.credentials import Day, IbkrLogin, OptionalSecret, Section

_TEXT_OR_REFERENCE = 'a text in double quotes, or {"env": "NAME"}, or {"file": "path"}'
_SWITCH = "true or false"
_MINUTES = "a whole number of minutes from 1 to 525600 (a year), without quotes"
_DAY = 'a date such as "2020-01-31"'

_LARGEST_FILE = 1_000_000  # bytes


# --- the models -----------------------------------------------------------------------------------


@functools.cache
def _currencies() -> frozenset[str]:
    """The ISO 4217 codes that are money somewhere today (babel's table also has the old ones)."""
    territories: Mapping[str, Any] = get_global("territory_currencies")
    return frozenset(
        code for used in territories.values() for code, _, until, tender in used if tender and until is None
    )


def currency_in_use(value: str) -> str:
    """The code in capital letters. Raises: ValueError."""
    code = value.strip().upper()
    if code not in _currencies():
        raise ValueError(f"{value!r} is not a currency code of ISO 4217 in use, such as EUR")
    return code


Currency = Annotated[str, AfterValidator(currency_in_use)]
Minutes = Annotated[StrictInt, Field(ge=1, le=525_600)]


class DegiroCredentials(Section):
    username: OptionalSecret = None
    password: OptionalSecret = None
    totp_secret_key: OptionalSecret = None


class DegiroLogin(Section):
    enabled: StrictBool = Field(False, description=_SWITCH)
    offline_mode: StrictBool = Field(False, description=_SWITCH)
    credentials: DegiroCredentials = DegiroCredentials()
    base_currency: Currency | None = Field(None, description="a currency code such as EUR")
    start_date: Day = Field(date(2020, 1, 1), description=_DAY)
    update_frequency_minutes: Minutes = Field(5, description=_MINUTES)


class BitvavoCredentials(Section):
    apikey: OptionalSecret = None
    apisecret: OptionalSecret = None


class BitvavoLogin(Section):
    enabled: StrictBool = Field(False, description=_SWITCH)
    credentials: BitvavoCredentials = BitvavoCredentials()
    update_frequency_minutes: Minutes = Field(5, description=_MINUTES)


class Document(Section):
    """The whole of config.json."""

    base_currency: Currency = Field("EUR", description="a currency code of ISO 4217 in use, such as EUR")
    appearance: Literal["auto", "light", "dark"] = Field("auto", description='"auto", "light" or "dark"')
    ibkr: tuple[IbkrLogin, ...] = Field((), description="an object, or a list of objects with a name each")
    degiro: DegiroLogin = DegiroLogin()
    bitvavo: BitvavoLogin = BitvavoLogin()

    @field_validator("ibkr", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, dict | IbkrLogin) else value

    @model_validator(mode="after")
    def _logins_have_their_own_names(self) -> Self:
        names = [login.name.casefold() for login in self.ibkr]
        if len(names) > 1 and "" in names:
            raise PydanticCustomError(
                "name_missing", "ibkr is a list of several logins, but not each has a name"
            )
        if len(set(names)) < len(names):
            raise PydanticCustomError(
                "name_twice", "ibkr is a list of logins, but two of them have the same name"
            )
        return self


class Config(Document):
    """config.json, and what the user should know about it although it works: one sentence or two each."""

    notices: tuple[str, ...] = ()


class ReferredSecret(Secret):
    """A secret that config.json names by `{"env": ...}` or `{"file": ...}`.

    One that is not there is no error until it is needed: stored data can be read without any secret.
    """

    __slots__ = ("origin", "problem")

    def __init__(self, value: str, origin: str, problem: ConfigError | None = None) -> None:
        super().__init__(value)
        self.origin = origin
        self.problem = problem

    def reveal(self) -> str:
        if self.problem is not None:
            raise type(self.problem)(self.problem.what, next_step=self.problem.next_step)
        return super().reveal()


# --- reading --------------------------------------------------------------------------------------


def exists(file: Path | None = None) -> bool:
    """Whether there is a configuration, readable or not."""
    try:
        return (file or paths.config_file()).exists()
    except OSError:
        return True


def load(file: Path | None = None) -> Config:
    """The configuration; without a file the defaults, with no broker.

    Raises: ConfigError that names the file, the line and the key, what is wrong and what to do.
    """
    given, file = file, file or paths.config_file()
    text = _text(file)
    if text is None:
        moved = given is None and "STONKS_OVERWATCH_CONFIG" in os.environ
        return Config(
            notices=(f"There is no file {file}, which STONKS_OVERWATCH_CONFIG names.",) if moved else ()
        )
    document = _parsed(text, file)
    lines = _lines(text, file)
    for broker in ("ibkr", "degiro", "bitvavo"):
        if document.get(broker) is None:
            document.pop(broker, None)
    if _is_switched_off_and_empty(document.get("ibkr")):
        del document["ibkr"]
    _resolve_secrets(document, "")
    try:
        valid = Document.model_validate(document)
    except ValidationError as error:
        raise _explained(error.errors(include_url=False), document, lines, file) from None
    return Config.model_construct(
        valid.model_fields_set, **dict(valid), notices=_notices(valid, document, file)
    )


def _is_switched_off_and_empty(section: object) -> bool:
    """A login that is off and was never filled in: there is nothing to check but its keys' names."""
    return (
        isinstance(section, dict)
        and section.get("enabled") is False
        and "credentials" not in section
        and section.keys() <= IbkrLogin.model_fields.keys()
    )


def _resolve_secrets(node: object, path: str) -> None:
    """Put secrets in the place of `{"env": ...}` and `{"file": ...}` where a key takes them."""
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        here = _joined(path, key)
        info = _fields().get(_without_positions(here))
        if info is None:
            continue  # not a key of ours: found by the validation
        if isinstance(value, list):
            for index, item in enumerate(value):
                _resolve_secrets(item, f"{here}[{index}]")
        elif _holds_secret(info) and _is_reference(value):
            ((kind, name),) = value.items()
            node[key] = _referred(kind, name, here)
        else:
            _resolve_secrets(value, here)


def _is_reference(value: object) -> bool:
    if not (isinstance(value, dict) and len(value) == 1):
        return False
    ((kind, name),) = value.items()
    if not isinstance(name, str):
        return False
    # Names are shown in errors; what cannot be one may be the secret itself and is refused unseen.
    return bool(
        (kind == "env" and re.fullmatch(r"[A-Za-z_]\w{0,99}", name, re.ASCII))
        or (kind == "file" and name.strip() and ibkr.is_path_text(name))
    )


def _referred(kind: str, name: str, path: str) -> ReferredSecret:
    if kind == "env":
        origin = f"environment variable {name}"
        if value := os.environ.get(name, "").strip():
            return ReferredSecret(value, origin)
        return ReferredSecret(
            "",
            origin,
            ConfigError(
                f"{path} takes its value from the {origin}, which is not set.",
                next_step=f"Set {name} where Stonks Overwatch is started, then start it again.",
            ),
        )
    origin = f"file {paths.from_user(name)}"
    try:
        _, content = ibkr.file_content(name, "file", path)
        return ReferredSecret(content.decode("utf-8-sig").rstrip("\r\n"), origin)
    except ConfigError as error:
        return ReferredSecret("", origin, error)
    except UnicodeDecodeError:
        problem = ConfigError(
            f"The {origin} ({path}) is not UTF-8 text.",
            next_step="Save it as UTF-8 text; a key in binary form is named in the key that ends in _fp.",
        )
        return ReferredSecret("", origin, problem)


def _notices(config: Document, document: dict[str, Any], file: Path) -> tuple[str, ...]:
    notices: list[str | None] = []
    if {"ibkr", "degiro", "bitvavo"} & config.model_fields_set:
        notices.append(ibkr.mode_notice(file))
    written = document.get("ibkr", [])
    for login, section in zip(config.ibkr, written if isinstance(written, list) else [written], strict=True):
        named = f' of the login "{login.name}"' if login.name else ""
        minutes = section.get("update_frequency_minutes", login.update_frequency_minutes)
        if minutes < login.update_frequency_minutes:
            notices.append(
                f"ibkr.update_frequency_minutes{named} is {minutes} and was raised to "
                f"{login.update_frequency_minutes}. For faster values leave ibkr.live_updates on."
            )
        if login.enabled:
            notices.extend(ibkr.mode_notice(key_file) for key_file in ibkr.key_files(login))
            notices.extend(_secret_notices(login))
    for name, section in (("degiro", config.degiro), ("bitvavo", config.bitvavo)):
        if section.enabled:
            notices.append(f"{name} is switched on, but this version cannot read it: it is left out.")
    return tuple(dict.fromkeys(notice for notice in notices if notice))


def _secret_notices(section: BaseModel) -> Iterator[str | None]:
    for _, value in section:
        if isinstance(value, ReferredSecret):
            if value.problem is not None:
                yield f"{value.problem.what} {value.problem.next_step}"
            elif value.origin.startswith("file "):
                yield ibkr.mode_notice(Path(value.origin.removeprefix("file ")))
        elif isinstance(value, BaseModel):
            yield from _secret_notices(value)


def _shown(file: Path) -> str:
    """The file's path as the user knows it: from the checkout where it is inside."""
    return str(file.relative_to(paths.root())) if file.is_relative_to(paths.root()) else str(file)


def _text(file: Path) -> str | None:
    """The file's text without a byte-order mark; None when there is no file."""
    template = "Copy config/config.json.template there and fill it in."
    try:
        is_file = stat.S_ISREG(file.stat().st_mode)  # a pipe or device could keep us waiting for ever
        content = b""
        if is_file:
            with file.open("rb") as opened:
                content = opened.read(_LARGEST_FILE + 1)
    except FileNotFoundError:
        return None
    except PermissionError:
        raise ConfigError(f"{file} cannot be read by this user.", next_step=ibkr.make_yours(file)) from None
    except OSError as error:
        raise ConfigError(
            f"{file} cannot be read: {error.strerror or 'unknown reason'}.", next_step=template
        ) from None
    if not is_file:
        raise ConfigError(f"{file} is not a file.", next_step=template)
    if len(content) > _LARGEST_FILE:
        raise ConfigError(f"{file} is too large for a configuration.", next_step="Check what it is.")
    save = "Save it again as UTF-8 in your editor."
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise ConfigError(f"{_shown(file)} is saved as UTF-16, but it must be UTF-8.", next_step=save)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{_shown(file)}, line {line}: this is not UTF-8 text.", next_step=save) from None


def _parsed(text: str, file: Path) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        position, what, next_step = _json_mistake(text, error)
        line, column = text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position)
        raise ConfigError(
            f"{_shown(file)}, line {line}, column {column}: {what}.", next_step=next_step
        ) from None
    except (RecursionError, ValueError):
        raise ConfigError(
            f"{_shown(file)} is nested too deeply or holds a number that is too long.",
            next_step="Compare it with config/config.json.template; long numbers such as dh_prime stand in "
            "double quotes.",
        ) from None
    if not isinstance(document, dict):
        raise ConfigError(
            f"{_shown(file)} must hold one object: its first character is an opening curly bracket.",
            next_step="Compare it with config/config.json.template.",
        )
    return document


# What Python's JSON reader says, how that reads for a user, and what to do.
_JSON_MESSAGES = (
    (
        "Invalid control character",
        "a text goes over the end of its line, or holds a tab",
        r"Close the text with a double quote; a line break inside a text is written as \n.",
    ),
    (
        "Unterminated string",
        "the text that starts here has no closing quote",
        "Add the closing double quote.",
    ),
    (
        "Invalid \\",
        "a backslash that JSON does not know",
        r"Write it twice (\\), or use / in paths.",
    ),
    (
        "Extra data",
        "the document has ended before this place",
        "Remove what follows, or the closing bracket too many before it.",
    ),
    (
        "Expecting ',' delimiter",
        "a comma is missing before this place, or there is a quote inside a text",
        r"Add the comma; a quote inside a text is written as \".",
    ),
    (
        "Expecting ':' delimiter",
        "a colon is missing between a key and its value",
        "Add the colon.",
    ),
    (
        "Expecting property name",
        "a key does not stand in double quotes",
        "Put double quotes around the key.",
    ),
)
_WRONG_QUOTES = set("'`\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb")


def _json_mistake(text: str, error: json.JSONDecodeError) -> tuple[int, str, str]:
    """Position, what is wrong and what to do, of text that is not JSON; quotes none of the text."""
    at = error.pos
    before, rest = text[:at].rstrip(), text[at:]
    after_comma = before.endswith(",") and rest[:1] in ("}", "]")
    if after_comma or re.match(r",\s*[}\]]", rest):
        comma = len(before) - 1 if after_comma else at
        return comma, "trailing comma: nothing follows it in this bracket", "Remove the comma."
    if rest.startswith(("//", "/*", "#")):
        return at, "comment: JSON has none", "Remove the comment."
    if rest[:1] in _WRONG_QUOTES:
        return at, "wrong quotes", 'Use straight double quotes: "'
    if not rest.strip():
        if not before:
            return 0, "the file is empty", "Copy config/config.json.template there and fill it in."
        return len(before), "the file ends too early", "Add the closing brackets that are missing."
    for message, what, next_step in _JSON_MESSAGES:
        if error.msg.startswith(message):
            return at, what, next_step
    if re.match(r"(true|false|null|none)\b", rest, re.IGNORECASE):
        return at, "wrong spelling of true, false or null", "Write true, false or null in small letters."
    return (
        at,
        "a value is missing here, or a text without its double quotes",
        "Write the value; texts stand in double quotes.",
    )


_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]')


@dataclass(slots=True)
class _Level:
    path: str
    keys: set[str] | None  # None in a list
    index: int = 0


def _lines(text: str, file: Path) -> dict[str, int]:
    """The line of every key by its path ("ibkr[0].name"), of a text that is known to be JSON.

    Raises: ConfigError for a key that stands twice in one object; JSON readers forget the first in silence.
    """
    lines: dict[str, int] = {}
    levels: list[_Level] = []
    here = before = ""
    line, counted = 1, 0
    for token in _TOKEN.finditer(text):
        mark = token[0]
        line += text.count("\n", counted, token.start())
        counted = token.start()
        if mark in "{[":
            lines.setdefault(here, line)  # an item of a list; other values have the line of their key
            levels.append(_Level(here, set() if mark == "{" else None))
            here = f"{here}[0]"
        elif mark in "}]":
            levels.pop()
        elif mark == "," and levels[-1].keys is None:
            levels[-1].index += 1
            here = f"{levels[-1].path}[{levels[-1].index}]"
        elif mark == ":" and (keys := levels[-1].keys) is not None:
            key = json.loads(before)
            here = _joined(levels[-1].path, key)
            if key in keys:
                raise ConfigError(
                    f"{_shown(file)}, line {line}: the key {here} stands here a second time "
                    f"(first in line {lines[here]}).",
                    next_step="Remove one of the two.",
                )
            keys.add(key)
            lines[here] = line
        before = mark
    return lines


def _joined(path: str, key: str) -> str:
    shown = "".join(char if char.isprintable() else "?" for char in key)[:60]
    return f"{path}.{shown}" if path else shown


# --- errors in our own words ----------------------------------------------------------------------


@functools.cache
def _fields() -> dict[str, FieldInfo]:
    """Every key that config.json may hold, by its path without list positions."""

    def walk(model: type[BaseModel], path: str) -> Iterator[tuple[str, FieldInfo]]:
        for name, info in model.model_fields.items():
            yield _joined(path, name), info
            if inner := _model_in(info.annotation):
                yield from walk(inner, _joined(path, name))

    return dict(walk(Document, ""))


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for inner in get_args(annotation) if (found := _model_in(inner))), None)


def _holds_secret(info: FieldInfo) -> bool:
    return info.annotation is Secret or Secret in get_args(info.annotation)


def key_paths() -> tuple[str, ...]:
    """Every key that config.json may hold, such as `ibkr.credentials.consumer_key`."""
    return tuple(_fields())


def _explained(
    errors: list[ErrorDetails], document: dict[str, Any], lines: dict[str, int], file: Path
) -> ConfigError:
    """The first mistake as our own sentence; an unknown key first, it is often why another one is missing."""
    mistakes = sorted(errors, key=lambda error: error["type"] != "extra_forbidden")
    return _mistake(mistakes[0], document, lines, file)


def _without_positions(path: str) -> str:
    """`ibkr.name` of `ibkr[1].name`."""
    return re.sub(r"\[\d+\]", "", path)


def _mistake(error: ErrorDetails, document: dict[str, Any], lines: dict[str, int], file: Path) -> ConfigError:
    path, value, line = _place(error, document, lines)
    where = f"{_shown(file)}, line {line}" if line else _shown(file)
    again = f"Correct it in {_shown(file)}, then run `stonks-overwatch doctor`."
    match error["type"]:
        case "extra_forbidden":
            return _unknown_key(path, where, file)
        case "missing":
            return ConfigError(f"{where}: {path} is missing.", next_step=f"Add it: {_allowed(path)}.")
        case "key_missing":
            return ConfigError(f"{where}: {path} {error['msg']}.", next_step="Add one of the two.")
        case "name_missing" | "name_twice":
            where = f"{_shown(file)}, line {lines['ibkr']}"
            return ConfigError(f"{where}: {error['msg']}.", next_step="Give each login its own name.")
    return ConfigError(f"{where}: {path} is {_kind(value)}, but must be {_allowed(path)}.", next_step=again)


def _place(
    error: ErrorDetails, document: dict[str, Any], lines: dict[str, int]
) -> tuple[str, object, int | None]:
    """Where an error is in the words of the file, what is written there, and the nearest line."""
    path, line = "", None
    inner: object = document
    for part in error["loc"]:
        if isinstance(inner, dict) and part in inner:
            path, inner = _joined(path, str(part)), inner[part]
        elif isinstance(inner, dict) and error["type"] == "missing" and part == error["loc"][-1]:
            return _joined(path, str(part)), None, line
        elif isinstance(inner, list) and isinstance(part, int) and part < len(inner):
            path, inner = f"{path}[{part}]", inner[part]
        elif not isinstance(part, int):
            break  # pydantic's own name of a way to read the value; an int is the only login's place
        line = lines.get(path, line)
    return path, inner, line


_ITEMS = {"ibkr": "an object", "ibkr.accounts": 'an account id in quotes, such as "U1234567"'}


def _allowed(path: str) -> str:
    known = _without_positions(path)
    if path.endswith("]") and known in _ITEMS:
        return _ITEMS[known]
    info = _fields().get(known)
    if info is None:
        return "as in the template"
    return info.description or (_TEXT_OR_REFERENCE if _holds_secret(info) else "an object")


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, list):
        return "a list"
    return "an object" if isinstance(value, dict) else "a text"


def _unknown_key(path: str, where: str, file: Path) -> ConfigError:
    parent, _, key = path.rpartition(".")
    known = _without_positions(parent)
    siblings = [name for at in _fields() for above, _, name in [at.rpartition(".")] if above == known]
    near = difflib.get_close_matches(key.lower(), siblings, 1)
    elsewhere = [at for at in _fields() if at.rpartition(".")[2] == key.lower()]
    if near:
        hint = f"Did you mean {_joined(parent, near[0])}?"
    elif elsewhere:
        hint = f"It belongs to {elsewhere[0]}."
    else:
        hint = f"Known here are: {', '.join(siblings)}."
    return ConfigError(
        f"{where}: the key {path} is not known. {hint}",
        next_step=f"Rename or remove it in {_shown(file)}, then run `stonks-overwatch doctor`.",
    )


# --- what the settings page shows -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of the effective configuration; a secret's value is `***`."""

    key: str
    value: str
    source: str  # "default", "config.json", "environment variable NAME" or "file PATH"


def effective(config: Config) -> list[Setting]:
    """Every setting in force, in the file's order, and where it comes from."""
    settings: list[Setting] = []

    def walk(section: BaseModel, path: str) -> None:
        for name in type(section).model_fields:
            value, here = getattr(section, name), _joined(path, name)
            if name == "ibkr" and not path:
                for index, login in enumerate(value):
                    walk(login, f"ibkr[{index}]" if len(value) > 1 else "ibkr")
                if not value:
                    settings.append(Setting("ibkr", "not set", "default"))
            elif isinstance(value, BaseModel):
                walk(value, here)
            elif here != "notices":
                given = name in section.model_fields_set
                source = value.origin if isinstance(value, ReferredSecret) else "config.json"
                settings.append(Setting(here, _value_text(here, value), source if given else "default"))

    walk(config, "")
    for variable, address in (
        ("IBIND_OAUTH1A_REST_URL", ibkr.rest_url),
        ("IBIND_OAUTH1A_WS_URL", ibkr.ws_url),
        ("STONKS_OVERWATCH_IBKR_FLEX_URL", ibkr.flex_url),
        ("STONKS_OVERWATCH_IBKR_PORTAL_URL", ibkr.portal_url),
    ):
        source = f"environment variable {variable}" if os.environ.get(variable) else "default"
        try:
            settings.append(Setting(variable, address(), source))
        except ConfigError as error:
            settings.append(Setting(variable, error.what, source))
    return settings


def _value_text(path: str, value: object) -> str:
    if isinstance(value, ReferredSecret) and value.problem is not None:
        return "not found"
    if value is None or value == "":
        return "all" if path.endswith(".accounts") else "not set"
    if isinstance(value, bool):
        return "true" if value else "false"
    return ", ".join(value) if isinstance(value, tuple) else str(value)
