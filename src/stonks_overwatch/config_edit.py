"""Writes a login into config.json: whole or not at all, with a copy of the file as it was."""

import json
import os
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stonks_overwatch.errors import ConfigError

FIRST_NAMES = ("first", "main")
"""The name that a login without one gets when a second login joins it: the one that is free."""


def put_ibkr_login(file: Path, name: str, credentials: dict[str, str]) -> Path | None:
    """Put the credentials of a login into the file and switch the login on.

    All other keys keep their values, their order and the file's indentation. A key given as text under
    `credentials` goes when its file is named now: it would win over the file.

    Args:
        file: config.json, understood by `config.load` or not there yet.
        name: the login's name; empty for the only login.
        credentials: keys under `credentials` and their values.

    Returns: the copy made of the former file; None when there was none.
    Raises: ConfigError when the file cannot be read or written; it is then as it was.
    """
    target = file.resolve()  # where the file is a link, it stays one
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = target.read_text("utf-8-sig") if target.exists() else ""
        document: dict[str, Any] = json.loads(text) if text else {"base_currency": "EUR"}
        document["ibkr"] = _with_login(document.get("ibkr"), name, credentials)
        written = json.dumps(document, indent=_indent(text), ensure_ascii=False) + "\n"
        if written == text:
            return None
        copy = _copy(target) if text else None
        _replace(target, written)
    except OSError as err:
        raise ConfigError(
            f"{file} cannot be written: {err.strerror or 'unknown reason'}.",
            next_step="It is as it was. Check the free space and the rights of its folder, then try again.",
        ) from None
    return copy


def _with_login(section: Any, name: str, credentials: dict[str, str]) -> Any:
    """The value of `ibkr` with the login in it; a list where there are several."""
    if not isinstance(section, list):
        former = section if isinstance(section, dict) else {}
        is_same = former.get("name", "").casefold() == name.casefold()
        if is_same or _is_blank(former):
            named = {"name": name} if name else {}
            return _filled({**named, **former, **named}, credentials)
        free = next(first for first in FIRST_NAMES if first != name.casefold())
        section = [{"name": "", **former} | {"name": former.get("name") or free}]
    for at, login in enumerate(section):
        if login.get("name", "").casefold() == name.casefold():
            return [*section[:at], _filled(login, credentials), *section[at + 1 :]]
    return [*section, _filled({"name": name}, credentials)]


def _filled(login: dict[str, Any], credentials: dict[str, str]) -> dict[str, Any]:
    replaced = {key.removesuffix("_fp") for key in credentials if key.endswith("_fp")}
    former = {key: value for key, value in login.get("credentials", {}).items() if key not in replaced}
    return {**login, "enabled": True, "credentials": {**former, **credentials}}


def _is_blank(login: dict[str, Any]) -> bool:
    """Whether nothing was filled in yet: no credentials, or those of the template."""
    values = login.get("credentials", {}).values()
    return not any(
        isinstance(value, dict) or not re.match("YOUR_|config/ibkr_certs/", str(value)) for value in values
    )


def _indent(text: str) -> int | str:
    """The file's own indentation: that of its first key."""
    found = re.search(r"\n([ \t]+)\S", text)
    if found is None:
        return 2
    return found[1] if "\t" in found[1] else len(found[1])


def _copy(file: Path) -> Path:
    copy = file.with_name(f"{file.name}.{datetime.now(UTC):%Y%m%d-%H%M%S-%f}.bak")
    copy.touch(mode=0o600)
    shutil.copyfile(file, copy)
    return copy


def _replace(file: Path, text: str) -> None:
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
