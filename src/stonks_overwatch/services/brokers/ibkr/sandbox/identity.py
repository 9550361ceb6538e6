"""The fake user: key pairs, token and secret made once, and the config.json that the product logs in with."""

import base64
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from Crypto.Cipher import PKCS1_v1_5
from Crypto.PublicKey import RSA

from stonks_overwatch.errors import ConfigError

CONSUMER_KEY = "SANDBOXCO"
REALM = "limited_poa"
GENERATOR = 2
# The 2048-bit MODP group of RFC 3526 (group 14): making a prime of this size would take minutes.
PRIME = int(
    "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404dd"
    "ef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7ed"
    "ee386bfb5a899fa5ae9f24117c4b1fe649286651ece45b3dc2007cb8a163bf0598da48361c55d39a69163fa8fd24cf5f"
    "83655d23dca3ad961c62f356208552bb9ed529077096966d670c354e4abc9804f1746c08ca18217c32905e462e36ce3b"
    "e39e772c180e86039b2783a2ec07a28fb5c55df06f4c52c9de2bcbf6955817183995497cea956ae515d2261898fa0510"
    "15728e5a8aacaa68ffffffffffffffff",
    16,
)
_USER_FILE = "sandbox_user.json"


@dataclass(frozen=True)
class Identity:
    """What the server knows of one user, and where the user's own files are."""

    consumer_key: str
    access_token: str
    secret: bytes
    signature_key: RSA.RsaKey
    prime: int
    generator: int
    realm: str
    config_file: Path
    accounts: tuple[str, ...] = ()  # those it may see; all of them when none is named


def prepare(directory: Path, settings: Mapping[str, Any] | None = None) -> Identity:
    """The user kept in the directory; made there at the first call (two RSA keys, about a second).

    `settings` are further keys of the `ibkr` section of config.json.
    Raises ConfigError if the directory holds a config.json that is not the sandbox's own.
    """
    directory = directory.absolute()
    config_file = directory / "config.json"
    user_file = directory / _USER_FILE
    if config_file.exists() and not user_file.exists():
        raise ConfigError(
            f"{config_file} belongs to something else than the sandbox.",
            next_step="Give the sandbox a directory of its own.",
        )
    if not user_file.exists():
        _make(directory, config_file, user_file)
    if settings:
        config = json.loads(config_file.read_text())
        config["ibkr"] |= settings
        _write(config_file, json.dumps(config, indent=2) + "\n")
    user = json.loads(user_file.read_text())
    return Identity(
        consumer_key=CONSUMER_KEY,
        access_token=user["access_token"],
        secret=bytes.fromhex(user["secret"]),
        signature_key=RSA.import_key((directory / "private_signature.pem").read_bytes()).public_key(),
        prime=PRIME,
        generator=GENERATOR,
        realm=REALM,
        config_file=config_file,
    )


def _make(directory: Path, config_file: Path, user_file: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    signature_key, encryption_key = RSA.generate(2048), RSA.generate(2048)
    _write(directory / "private_signature.pem", signature_key.export_key().decode())
    _write(directory / "private_encryption.pem", encryption_key.export_key().decode())
    secret = secrets.token_bytes(32)
    access_token = secrets.token_hex(10)
    encrypted = PKCS1_v1_5.new(encryption_key.public_key()).encrypt(secret)
    credentials = {
        "access_token": access_token,
        "access_token_secret": base64.b64encode(encrypted).decode(),
        "consumer_key": CONSUMER_KEY,
        "dh_prime": f"{PRIME:x}",
        "encryption_key_fp": str(directory / "private_encryption.pem"),
        "signature_key_fp": str(directory / "private_signature.pem"),
    }
    config = {"base_currency": "EUR", "ibkr": {"enabled": True, "credentials": credentials}}
    _write(config_file, json.dumps(config, indent=2) + "\n")
    # Last, because it says that everything before it is complete.
    _write(user_file, json.dumps({"access_token": access_token, "secret": secret.hex()}) + "\n")


def _write(file: Path, text: str) -> None:
    """Write a file that only its owner can read, at no moment otherwise; a reader sees all or nothing."""
    part = file.with_name(f"{file.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        opened.write(text)
    part.replace(file)
