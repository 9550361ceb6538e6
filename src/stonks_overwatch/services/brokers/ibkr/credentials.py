"""What config.json holds for an IBKR login, and its check before anything is sent.

`IbkrLogin` is the section as written. `prepare` reads the key files, brings keys and prime into the one
form that iBind takes, and proves that they fit together. No error text here contains a secret.
"""

import base64
import contextlib
import ipaddress
import os
import re
import shlex
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, get_args
from urllib.parse import urlsplit

from Crypto.Cipher import PKCS1_v1_5
from Crypto.IO import PKCS8
from Crypto.PublicKey import RSA
from Crypto.Util.asn1 import DerSequence
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    StrictBool,
    StrictInt,
    model_validator,
)
from pydantic_core import PydanticCustomError

from stonks_overwatch import paths
from stonks_overwatch.errors import ConfigError, KeyFileMissingError
from stonks_overwatch.redaction import Secret, remember
from stonks_overwatch.services.brokers.base import Finding

MINIMUM_UPDATE_MINUTES = 15
RSA_BITS = 2048
PRIME_BITS = 2048

_REST_URL = "https://api.ibkr.com/v1/api/"
_PORTAL_URL = "https://ndcdyn.interactivebrokers.com/sso/Login?action=OAUTH&RL=1&ip2loc=US"
_FLEX_URL = "https://ndcdyn.interactivebrokers.com/AccountManagement/FlexWebService/"

_LARGEST_KEY_FILE = 100_000  # bytes; a key has about 2,000
_LARGEST_PRIME_BITS = 8_192  # the test of a larger one would take seconds
_LONGEST_DECIMAL = 4_000  # digits; Python itself refuses to read more than 4,300

KeyField = Literal["encryption_key", "signature_key"]


# --- the section of config.json -------------------------------------------------------------------


def _no_blank(value: object) -> object:
    """An empty text in place of an optional value means that it is not given."""
    return None if isinstance(value, str) and not value.strip() else value


def _calendar_day(value: object) -> object:
    if isinstance(value, date):
        return value
    if not (isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value)):
        raise ValueError
    return date.fromisoformat(value)


def _account_ids(value: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if value is None:
        return None
    ids = tuple(dict.fromkeys(account.strip() for account in value))
    if not ids or "" in ids:
        raise ValueError
    return ids


def _prime_or_path(value: object) -> object:
    """A prime is kept as a secret; a text that looks like a path stays readable, errors have to name it."""
    if isinstance(value, str):
        text = value.strip()
        return Path(text) if is_path_text(text) and re.search(r"[/.~\\]", text) else Secret(value)
    return value


def _path_text(value: str | None) -> str | None:
    """A path, and not the key itself: paths are shown in errors and on the settings page."""
    if value is not None and not is_path_text(value):
        raise ValueError
    return value


def is_path_text(value: str) -> bool:
    """Whether a text can be meant as a path; the text of a key has PEM lines or is long."""
    return len(value) < 400 and "-----" not in value and value.isprintable()


def login_name(value: str) -> str:
    name = value.strip()
    if name and not re.fullmatch(r"\w[\w .@-]{0,49}", name):
        raise ValueError
    return name


_KEY_PATH = "the path of a file (the text of a key belongs in the key of the same name without _fp)"

Day = Annotated[date, BeforeValidator(_calendar_day)]
OptionalSecret = Annotated[Secret | None, BeforeValidator(_no_blank)]
KeyPath = Annotated[str | None, BeforeValidator(_no_blank), AfterValidator(_path_text)]


class Section(BaseModel):
    """A part of config.json. The description of a field says what its value must be, for error texts."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class IbkrCredentials(Section):
    access_token: Secret
    access_token_secret: Secret
    consumer_key: Secret
    dh_prime: Annotated[Secret | InstanceOf[Path], BeforeValidator(_prime_or_path)]
    encryption_key_fp: KeyPath = Field(None, description=_KEY_PATH)
    encryption_key: OptionalSecret = None
    signature_key_fp: KeyPath = Field(None, description=_KEY_PATH)
    signature_key: OptionalSecret = None

    @model_validator(mode="after")
    def _has_both_keys(self) -> "IbkrCredentials":
        for name in ("encryption_key", "signature_key"):
            if getattr(self, name) is None and getattr(self, f"{name}_fp") is None:
                raise PydanticCustomError("key_missing", "has neither {name}_fp nor {name}", {"name": name})
        return self


class IbkrFlex(Section):
    token: Secret
    query_id: Annotated[str, Field(pattern=r"^\s*\d+\s*$"), AfterValidator(str.strip)] = Field(
        description="the number of the query, in quotes"
    )


class IbkrLogin(Section):
    name: Annotated[str, AfterValidator(login_name)] = Field(
        "", description="a short name of letters, digits, blanks and . _ - @"
    )
    enabled: StrictBool = Field(True, description="true or false")
    credentials: IbkrCredentials = Field(description="an object with the keys of the OAuth registration")
    start_date: Day = Field(date(2020, 1, 1), description='a date such as "2020-01-31"')
    update_frequency_minutes: Annotated[
        StrictInt, Field(le=525_600), AfterValidator(lambda minutes: max(minutes, MINIMUM_UPDATE_MINUTES))
    ] = Field(
        MINIMUM_UPDATE_MINUTES,
        description="a whole number of minutes, 15 or more, at most 525600 (a year), without quotes",
    )
    live_updates: StrictBool = Field(True, description="true or false")
    accounts: Annotated[tuple[str, ...] | None, AfterValidator(_account_ids)] = Field(
        None, description='a list with at least one account id, such as ["U1234567"]'
    )
    timeout_seconds: Annotated[StrictInt, Field(ge=1, le=600)] = Field(
        15, description="a whole number of seconds from 1 to 600, without quotes"
    )
    flex: IbkrFlex | None = Field(None, description="an object with token and query_id")


# --- what iBind is given --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PreparedCredentials:
    """Checked and in the form iBind takes: keys as PEM texts, `dh_prime` as lower-case hex without prefix."""

    consumer_key: str = field(repr=False)
    access_token: Secret
    access_token_secret: Secret
    dh_prime: str = field(repr=False)
    encryption_key: Secret
    signature_key: Secret
    notices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Notice:
    what: str
    next_step: str

    def __str__(self) -> str:
        return f"{self.what} {self.next_step}"


@dataclass(frozen=True, slots=True)
class _Key:
    rsa: RSA.RsaKey
    origin: str  # where it was read, for texts
    notices: tuple[_Notice, ...]


class _UnusableError(Exception):
    """Why a content is not what it should be, as the end of a sentence, and what to do about it."""

    def __init__(self, why: str, next_step: str) -> None:
        super().__init__(why)
        self.why = why
        self.next_step = next_step


def prepare(login: IbkrLogin) -> PreparedCredentials:
    """Read, normalise and check all that a login needs; nothing is sent.

    Raises: KeyFileMissingError for a key file that is not there, ConfigError for everything else; each names
    the key of config.json to correct.
    """
    consumer_key = _text(login, "consumer_key")
    access_token = _text(login, "access_token")
    encryption, signature = _key(login, "encryption_key"), _key(login, "signature_key")
    prime, prime_notices = _prime(login)
    secret, pair_notices = _access_token_secret(login, encryption, signature)
    return PreparedCredentials(
        consumer_key=consumer_key,
        access_token=Secret(access_token),
        access_token_secret=Secret(secret),
        dh_prime=prime,
        encryption_key=Secret(encryption.rsa.export_key().decode()),
        signature_key=Secret(signature.rsa.export_key().decode()),
        notices=tuple(map(str, encryption.notices + signature.notices + prime_notices + pair_notices)),
    )


def findings(login: IbkrLogin) -> list[Finding]:
    """The checks of `doctor` that need no network; each is made even when another one fails."""
    found: list[Finding] = []
    keys: dict[KeyField, _Key] = {}

    @contextlib.contextmanager
    def checking(name: str) -> Iterator[None]:
        try:
            yield
        except ConfigError as error:
            found.append(Finding(name, "error", error.what, error.next_step))

    def passed(name: str, what: str, notices: tuple[_Notice, ...] = ()) -> None:
        found.append(Finding(name, "ok", what))
        found.extend(Finding(name, "warning", notice.what, notice.next_step) for notice in notices)

    def check_text(field_name: str) -> None:
        name = field_name.replace("_", " ")
        with checking(name):
            _text(login, field_name)
            passed(name, f"{_path(login, field_name)} is given.")

    with checking("consumer key"):
        passed("consumer key", f"{_path(login, 'consumer_key')} is given.", _form_notices(login))
    check_text("access_token")
    for field_name in get_args(KeyField):
        name = field_name.replace("_", " ")
        with checking(name):
            key = keys[field_name] = _key(login, field_name)
            passed(
                name,
                f"It is an RSA private key of {key.rsa.size_in_bits()} bits ({key.origin}).",
                key.notices + _public_half_notices(login, field_name, key),
            )
    if len(keys) == len(get_args(KeyField)):
        with checking("key pair"):
            _, notices = _access_token_secret(login, keys["encryption_key"], keys["signature_key"])
            passed("key pair", "The encryption key opens the access token secret.", notices)
    else:
        check_text("access_token_secret")
    with checking("prime"):
        _, notices = _prime(login)
        passed("prime", f"{_path(login, 'dh_prime')} is a prime of the right size.", notices)
    return found


def _form_notices(login: IbkrLogin) -> tuple[_Notice, ...]:
    text = _text(login, "consumer_key")
    if re.fullmatch("[A-Z]{9}", text) or text == "TESTCONS":  # the latter is IBKR's own for tests
        return ()
    return (
        _Notice(
            f"{_path(login, 'consumer_key')} is not nine capital letters, as IBKR's consumer keys are.",
            "Compare it with IBKR's OAuth page.",
        ),
    )


def _path(login: IbkrLogin, name: str) -> str:
    """The full path of a key of the credentials in config.json, with the login's name where there is one."""
    return f"ibkr.credentials.{name}" + (f' of the login "{login.name}"' if login.name else "")


def _text(login: IbkrLogin, name: str) -> str:
    """A credential without the blanks around it.

    Raises: ConfigError when nothing is left, or when the template's text was never replaced.
    """
    value: Secret = getattr(login.credentials, name)
    text = value.reveal().strip()
    if not text:
        raise ConfigError(
            f"{_path(login, name)} is empty.",
            next_step="Fill it in with the value from IBKR's OAuth page, then try again.",
        )
    if re.fullmatch(r"YOUR_[A-Z_]+", text):
        raise ConfigError(
            f"{_path(login, name)} still holds the text of the template.",
            next_step="Replace it with the value from IBKR's OAuth page, then try again.",
        )
    return text


# --- RSA keys -------------------------------------------------------------------------------------

_PEM = re.compile(r"-----BEGIN ([A-Z0-9 .]+?)-----(.*?)-----END \1-----", re.DOTALL)
_RSA_OID = "1.2.840.113549.1.1.1"
_OTHER_OIDS = {
    "1.2.840.10045.2.1": "an elliptic-curve (EC) key",
    "1.2.840.10040.4.1": "a DSA key",
    "1.2.840.113549.1.1.10": "an RSA-PSS key",
    "1.3.101.112": "an Ed25519 key",
}
_OTHER_LABELS = {
    "EC PRIVATE KEY": "an elliptic-curve (EC) key",
    "EC PARAMETERS": "an elliptic-curve (EC) key",
    "DSA PRIVATE KEY": "a DSA key",
    "OPENSSH PRIVATE KEY": "an OpenSSH key",
    "CERTIFICATE": "a certificate",
    "CERTIFICATE REQUEST": "a certificate request",
    "DH PARAMETERS": "a file of Diffie-Hellman parameters (it belongs in dh_prime)",
}


def _key(login: IbkrLogin, name: KeyField) -> _Key:
    """The login's encryption or signature key; the text in config.json wins over the file."""
    given: Secret | None = getattr(login.credentials, name)
    words = name.replace("_", " ")
    notices: tuple[_Notice, ...] = ()
    if given is not None:
        origin = where = f"the text in {_path(login, name)}"
        text = _text(login, name)
        # What is no text (from a variable in another encoding) is no key either, and is told so below.
        content = text.encode(errors="surrogatepass")
    else:
        at = _path(login, f"{name}_fp")
        file, content = file_content(getattr(login.credentials, f"{name}_fp"), f"{words} file", at)
        origin, where, notices = str(file), f"the {words} file {file} ({at})", _mode_notices(file)
    where = where[0].upper() + where[1:]
    try:
        rsa = _rsa_private(content)
    except _UnusableError as error:
        next_step = error.next_step
        if given is not None and is_path_text(text):
            next_step = f"A path belongs in {name}_fp; {name} takes the text of the key itself."
        raise ConfigError(f"{where} {error.why}.", next_step=next_step) from None
    if rsa.size_in_bits() < RSA_BITS:
        raise ConfigError(
            f"{where} is an RSA key of only {rsa.size_in_bits()} bits; IBKR asks for {RSA_BITS}.",
            next_step=f"Make a new pair with `openssl genrsa -out private.pem {RSA_BITS}` and register its "
            "public half with IBKR.",
        )
    return _Key(rsa, origin, notices)


def _public_half_notices(login: IbkrLogin, name: KeyField, key: _Key) -> tuple[_Notice, ...]:
    """What the public file beside a private one tells: that is what was uploaded to IBKR."""
    path: str | None = getattr(login.credentials, f"{name}_fp")
    if path is None or getattr(login.credentials, name) is not None:
        return ()
    private = paths.from_user(path)
    public = private.with_name(private.name.replace("private", "public"))
    if public == private:
        return ()
    try:
        beside = RSA.import_key(public.read_bytes()[:_LARGEST_KEY_FILE])
    except (OSError, ValueError, TypeError, IndexError):
        return ()  # it is not needed
    if beside.public_key() == key.rsa.public_key():
        return ()
    return (
        _Notice(
            f"{public} is not the public half of {private}, so IBKR may have got another key.",
            "Put the private key back that belongs to it, or make a new registration with "
            "`stonks-overwatch ibkr-setup --new`.",
        ),
    )


@lru_cache(maxsize=8)  # reading one takes as long as a sync's whole login
def _rsa_private(content: bytes) -> RSA.RsaKey:
    """An RSA private key from PEM (also with CRLF, a BOM, escaped line breaks, or in one line) or DER."""
    label, der = _der_of_key(content)
    oid = ""
    with contextlib.suppress(ValueError, TypeError):  # PKCS#1, or not a key: decided below
        oid = PKCS8.unwrap(der)[0]
    if oid and oid != _RSA_OID:
        kind = _OTHER_OIDS.get(oid, "a key of another kind")
        raise _UnusableError(
            f"is {kind}, not an RSA private key", "Name the RSA private key file in its place."
        )
    try:
        key = RSA.import_key(der)
    except (ValueError, TypeError, IndexError):
        if "PUBLIC" in label:
            raise _public() from None
        if _is_encrypted_pkcs8(der):
            raise _encrypted() from None
        raise _UnusableError(
            "is damaged: it cannot be read as an RSA private key",
            "Copy the whole file again, or make a new pair and register its public half with IBKR.",
        ) from None
    if not key.has_private():
        raise _public()
    return key


def _public() -> _UnusableError:
    return _UnusableError(
        "is a public key, but the private one is needed",
        "Name the private key file; the public one is what was uploaded to IBKR.",
    )


def _encrypted() -> _UnusableError:
    return _UnusableError(
        "is protected by a passphrase, which cannot be asked for",
        "Write it without one: `openssl rsa -in encrypted.pem -out private.pem && chmod 600 private.pem`.",
    )


def _der_of_key(content: bytes) -> tuple[str, bytes]:
    """The PEM label (empty for DER) and the bytes inside."""
    if content[:1] == b"\x30" and content[1:2] >= b"\x80":  # DER: a sequence with a long length
        return "", content
    text = _as_text(content)
    if text is None:
        raise _UnusableError("is not a key in PEM or DER form", "Name the RSA private key file.")
    blocks = _PEM.findall(text)
    if not blocks and "-----BEGIN" in text:
        raise _UnusableError(
            "is cut: its END line is missing or does not match",
            "Copy the key again, from the BEGIN line to the END line.",
        )
    # A file may hold the public half or parameters beside the private key.
    label, body = next((b for b in blocks if "PRIVATE" in b[0]), blocks[0] if blocks else ("", text))
    if label in _OTHER_LABELS:
        raise _UnusableError(
            f"is {_OTHER_LABELS[label]}, not an RSA private key",
            "Name the RSA private key file in its place.",
        )
    if "ENCRYPTED" in label or "Proc-Type" in body:
        raise _encrypted()
    der = _unbase64(body)
    if der is None or der[:1] != b"\x30":
        why = "is damaged: its lines are not those of a key" if blocks else "is not a key in PEM or DER form"
        raise _UnusableError(why, "Copy the key again, from the BEGIN line to the END line.")
    return label, der


def _is_encrypted_pkcs8(der: bytes) -> bool:
    """EncryptedPrivateKeyInfo is a sequence of an algorithm (a sequence) and an octet string."""
    try:
        outer = DerSequence().decode(der)
    except (ValueError, IndexError):
        return False
    return len(outer) == 2 and isinstance(outer[1], bytes) and outer[1][:1] == b"\x04"


def _as_text(content: bytes) -> str | None:
    """The text of a key file in UTF-8 or UTF-16, with real line breaks; None for anything else."""
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        return None
    return text.lstrip("\ufeff").replace("\\r", "").replace("\\n", "\n")


def _unbase64(text: str) -> bytes | None:
    """The bytes of base64 text in any number of lines; None when it is not such a text."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except ValueError:
        return None


def file_content(given: str, what: str, at: str) -> tuple[Path, bytes]:
    """A file named in config.json: the path as resolved, and the bytes.

    Args:
        given: the path as written.
        what: what the file is, for error texts: "encryption key file".
        at: the key of config.json that names it.

    Raises: KeyFileMissingError, ConfigError.
    """
    file = paths.from_user(given)
    what = f"The {what} {file} ({at})"
    step = f"Correct {at} in config.json, then try again."
    try:
        mode = file.stat().st_mode
        if not stat.S_ISREG(mode):  # a pipe or device could keep us waiting for ever
            kind = "is a folder, not a file" if stat.S_ISDIR(mode) else "is not a regular file"
            raise ConfigError(f"{what} {kind}.", next_step=step)
        with file.open("rb") as opened:
            content = opened.read(_LARGEST_KEY_FILE + 1)
    except FileNotFoundError:
        others = "".join(f", nor is {place}" for place in paths.candidates(given)[1:])
        raise KeyFileMissingError(
            f"{what} is not there{others}.",
            next_step=f"Put the file there, or correct {at} in config.json, then try again.",
        ) from None
    except PermissionError:
        raise ConfigError(f"{what} cannot be read by this user.", next_step=make_yours(file)) from None
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or "the path cannot be used"
        raise ConfigError(f"{what} cannot be read: {reason}.", next_step=step) from None
    if not content.strip():
        raise ConfigError(f"{what} is empty.", next_step=step)
    if len(content) > _LARGEST_KEY_FILE:
        raise ConfigError(f"{what} is too large for what it should hold.", next_step=step)
    return file, content


def make_yours(file: Path) -> str:
    """The step to take when the user may not read a file."""
    quoted = shlex.quote(str(file))
    return f"Type `sudo chown $USER {quoted} && chmod 600 {quoted}`, then try again."


def key_files(login: IbkrLogin) -> list[Path]:
    """The key files that a login uses: those whose key is not given as text."""
    held = login.credentials
    pairs = ((held.encryption_key, held.encryption_key_fp), (held.signature_key, held.signature_key_fp))
    return [paths.from_user(file) for text, file in pairs if text is None and file is not None]


def mode_notice(file: Path) -> str | None:
    """What to tell when other users of the computer can read or change a file with secrets."""
    return next((str(notice) for notice in _mode_notices(file)), None)


def _mode_notices(file: Path) -> tuple[_Notice, ...]:
    if os.name != "posix":
        return ()
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
    except (OSError, ValueError):
        return ()
    if not mode & 0o077:
        return ()
    return (
        _Notice(
            f"{file} is open to other users of this computer (mode {mode:03o}).",
            f"Type `chmod 600 {shlex.quote(str(file))}`.",
        ),
    )


# --- the access token secret ----------------------------------------------------------------------


def _access_token_secret(
    login: IbkrLogin, encryption: _Key, signature: _Key
) -> tuple[str, tuple[_Notice, ...]]:
    """The secret in one line of base64, proven to be made for the encryption key."""
    at = _path(login, "access_token_secret")
    text = "".join(_text(login, "access_token_secret").replace("\\n", "").split()).rstrip("=")
    text += "=" * (-len(text) % 4)
    sealed = _unbase64(text)
    if sealed is None:
        raise ConfigError(
            f"{at} is not base64 text: characters are missing or do not belong there.",
            next_step="Copy it again from IBKR's OAuth page, from its first to its last character.",
        )
    same_key = encryption.rsa.n == signature.rsa.n
    same = "The signature key and the encryption key are one and the same key"
    if _opens(encryption.rsa, sealed):
        if not same_key:
            return text, ()
        return text, (
            _Notice(f"{same}.", "Make a pair for each and register both with IBKR if the login is refused."),
        )
    if same_key:
        raise ConfigError(
            f"{same} ({signature.origin}), and it does not open {at}.",
            next_step="Name the encryption key's own file in ibkr.credentials.encryption_key_fp.",
        )
    if _opens(signature.rsa, sealed):
        raise ConfigError(
            f"The signature key and the encryption key are swapped: the signature key opens {at}.",
            next_step="Exchange the values of signature_key and encryption_key (or of signature_key_fp and "
            "encryption_key_fp) in config.json.",
        )
    if len(sealed) != encryption.rsa.size_in_bytes():
        raise ConfigError(
            f"{at} has {len(sealed)} bytes instead of {encryption.rsa.size_in_bytes()}: it is cut, or it was "
            "made for another key.",
            next_step="Copy it again from IBKR's OAuth page, from its first to its last character.",
        )
    raise ConfigError(
        f"{at} was not made for this encryption key ({encryption.origin}), nor for the signature key.",
        next_step="Name the encryption key whose public half is registered with IBKR, or generate the access "
        "token again on IBKR's OAuth page and copy both token and secret.",
    )


def _opens(key: RSA.RsaKey, sealed: bytes) -> bool:
    if len(sealed) != key.size_in_bytes():
        return False
    try:
        return bool(PKCS1_v1_5.new(key).decrypt(sealed, b""))
    except ValueError:  # a number larger than the key's modulus
        return False


# --- the Diffie-Hellman prime ---------------------------------------------------------------------


_COPY_PRIME = (
    "Copy the prime again from the parameters registered with IBKR, or give the path of their PEM file."
)
_MAKE_PRIME = (
    f"Make new ones with `openssl dhparam -out dhparam.pem {PRIME_BITS}` and register them with IBKR."
)


def _prime(login: IbkrLogin) -> tuple[str, tuple[_Notice, ...]]:
    """The prime as lower-case hex."""
    at = _path(login, "dh_prime")
    given = login.credentials.dh_prime
    if isinstance(given, Path):
        file, content = file_content(str(given), "file of Diffie-Hellman parameters", at)
        at = f"{at} (file {file})"
    else:
        content = _text(login, "dh_prime").encode(errors="surrogatepass")
    try:
        number = prime_number(content)
    except _UnusableError as error:
        raise ConfigError(f"{at} {error.why}.", next_step=error.next_step) from None
    bits = number.bit_length()
    size = f"{at} has {bits} bits; IBKR asks for {PRIME_BITS}."
    if not PRIME_BITS <= bits <= _LARGEST_PRIME_BITS:
        raise ConfigError(size, next_step=f"{_COPY_PRIME} {_MAKE_PRIME}")
    if not _is_probably_prime(number):
        raise ConfigError(f"{at} is not a prime number: digits are wrong or missing.", next_step=_COPY_PRIME)
    prime = f"{number:x}"
    remember(prime)
    if bits == PRIME_BITS:
        return prime, ()
    return prime, (_Notice(size, "If the login is refused, register parameters of that size."),)


def prime_number(content: bytes) -> int:
    """The prime from hex, 0x hex, colon form, decimal, or DH PARAMETERS in PEM or DER."""
    if content[:1] == b"\x30" and content[1:2] >= b"\x80":
        return _dh_parameters(content)
    text = _as_text(content)
    if text is None:
        raise _UnusableError("is neither a number nor Diffie-Hellman parameters", _COPY_PRIME)
    block = _PEM.search(text)
    if block and block[1] != "DH PARAMETERS":
        raise _UnusableError(f"is a PEM text of another kind ({block[1]}), not of DH PARAMETERS", _COPY_PRIME)
    if block:
        return _dh_parameters(_unbase64(block[2]) or b"")
    if "-----BEGIN" in text:
        raise _UnusableError("is cut: its END line is missing or does not match", _COPY_PRIME)
    if printed := re.search(r"\bP(?:rime)?:([0-9a-f:\s]+)", text, re.IGNORECASE):
        text = printed[1]  # the whole of what `openssl dhparam -text` prints
    digits = re.sub(r"[\s:]", "", text).lower()
    is_hex = digits.startswith("0x") or ":" in text
    digits = digits.removeprefix("0x")
    if not re.fullmatch(r"[0-9a-f]+", digits):
        raise _UnusableError(
            "is neither hex digits, nor a decimal number, nor a PEM text, nor the path of a file", _COPY_PRIME
        )
    # A 2048-bit prime has 512 hex digits (up to two more as leading zeros) and 617 decimal ones; that 512
    # hex digits hold no letter at all does not happen by chance.
    if is_hex or not digits.isdecimal() or 512 <= len(digits) <= 514:
        return int(digits, 16)
    if len(digits) > _LONGEST_DECIMAL:
        raise _UnusableError("has too many digits", _COPY_PRIME)
    return int(digits)


def _dh_parameters(der: bytes) -> int:
    """The prime of PKCS#3 parameters: a sequence of prime, generator and perhaps a length."""
    try:
        parts = DerSequence().decode(der, nr_elements=(2, 3))[:]
    except (ValueError, IndexError):
        parts = []
    if len(parts) < 2 or not all(isinstance(part, int) for part in parts):
        raise _UnusableError("is damaged: it holds no Diffie-Hellman parameters", _COPY_PRIME)
    prime, generator = parts[:2]
    if generator != 2:
        raise _UnusableError(f"has the generator {generator}, but IBKR uses 2", _MAKE_PRIME)
    return int(prime)


@lru_cache(maxsize=4)
def _is_probably_prime(number: int) -> bool:
    """Fermat's test: finds every typing error that matters here, in a few milliseconds."""
    return number % 2 == 1 and all(pow(base, number - 1, number) == 1 for base in (2, 3))


# --- addresses ------------------------------------------------------------------------------------


def rest_url() -> str:
    """The Web API's address, with a slash at the end; `IBIND_OAUTH1A_REST_URL` moves it.

    Raises: ConfigError when it is neither encrypted nor on this computer.
    """
    return _address("IBIND_OAUTH1A_REST_URL", _REST_URL, "https", "http").rstrip("/") + "/"


def ws_url() -> str:
    """The websocket's address: below the Web API's, unless `IBIND_OAUTH1A_WS_URL` moves it.

    Raises: as `rest_url`.
    """
    below = f"ws{rest_url().removeprefix('http')}ws"
    return _address("IBIND_OAUTH1A_WS_URL", below, "wss", "ws")


def flex_url() -> str:
    """The folder that Flex's SendRequest is in, with a slash at the end. Raises: as `rest_url`.

    `STONKS_OVERWATCH_IBKR_FLEX_URL` moves it.
    """
    return _address("STONKS_OVERWATCH_IBKR_FLEX_URL", _FLEX_URL, "https", "http").rstrip("/") + "/"


def portal_url() -> str:
    """IBKR's self-service page for OAuth, for the user's browser. Raises: as `rest_url`.

    `STONKS_OVERWATCH_IBKR_PORTAL_URL` moves it.
    """
    return _address("STONKS_OVERWATCH_IBKR_PORTAL_URL", _PORTAL_URL, "https", "http")


def _address(variable: str, default: str, encrypted: str, plain: str) -> str:
    given = os.environ.get(variable, "").strip()
    if not given:
        return default
    step = f"Correct the environment variable {variable}, or remove it to use IBKR's own address."
    try:
        parts = urlsplit(given)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    odd = re.search(r"[\s\\@?#]", given) or not given.isprintable()
    if odd or not host or parts.scheme not in (encrypted, plain):
        # Not quoted: an address may carry a password.
        raise ConfigError(
            f"{variable} is not an address such as {default} (no user name, query or blank in it).",
            next_step=step,
        )
    if parts.scheme == plain and not is_loopback(host):
        raise ConfigError(
            f"{variable} is {given}: without {encrypted}:// only an address on this computer (127.0.0.1) "
            "is allowed.",
            next_step=step,
        )
    return given


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
