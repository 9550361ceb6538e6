"""IBKR's self-service page for OAuth as a user meets it: three uploads in, a token and its secret out.

Nobody else speaks this page's own protocol, so it is ours: one form, answered as a page to a browser and
as JSON to a program that asks for it.
"""

import base64
import binascii
import html
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import replace
from email.message import Message
from email.parser import BytesParser
from typing import Any

from Crypto.Cipher import PKCS1_v1_5
from Crypto.PublicKey import RSA
from Crypto.Util.asn1 import DerSequence

from stonks_overwatch.services.brokers.ibkr.sandbox.identity import GENERATOR, REALM, Identity
from stonks_overwatch.services.brokers.ibkr.sandbox.oauth import OAuth

PORTAL_PATH = "/selfservice"
PRIME_BITS = 2048
FIELDS = ("consumer_key", "signature_key", "encryption_key", "dh_parameters")


class NotAcceptedError(Exception):
    """Why the page does not take what was entered, as a sentence."""


class SelfService:
    """Takes registrations for the logins of `oauth`. A new token makes the one before it useless at once.

    They are kept in a file, so that a set-up can go on after the server was ended and started again.
    """

    def __init__(self, oauth: OAuth) -> None:
        self._oauth = oauth
        self._encryption_keys: dict[str, RSA.RsaKey] = {}
        self._config_file = next(iter(oauth.users.values())).config_file
        self._file = self._config_file.with_name("registrations.json")
        if self._file.exists():
            for kept in json.loads(self._file.read_text()):
                self._add(kept)

    def register(
        self,
        consumer_key: str,
        signature_key: str,
        encryption_key: str,
        dh_parameters: str,
        accounts: tuple[str, ...] = (),
    ) -> tuple[str, str]:
        """Register the public halves of the keys and the parameters, each as PEM text.

        Returns: the access token, and its secret encrypted for the encryption key.
        Raises: NotAcceptedError.
        """
        if not re.fullmatch("[A-Z]{9}", consumer_key):
            raise NotAcceptedError("The consumer key must be nine capital letters.")
        prime, generator = _parameters(dh_parameters)
        if generator != GENERATOR or prime.bit_length() != PRIME_BITS:
            raise NotAcceptedError(f"The parameters must have {PRIME_BITS} bits and the generator 2.")
        _public_key(signature_key, "signature")
        _public_key(encryption_key, "encryption")
        self._add(
            {
                "consumer_key": consumer_key,
                "access_token": "",
                "secret": "",
                "signature_key": signature_key,
                "encryption_key": encryption_key,
                "prime": str(prime),
                "accounts": list(accounts),
            }
        )
        return self.new_token(consumer_key)

    def new_token(self, consumer_key: str) -> tuple[str, str]:
        """Another token and encrypted secret for a registration. Raises: NotAcceptedError."""
        if consumer_key not in self._encryption_keys:
            raise NotAcceptedError("This consumer key is not registered here.")
        token, secret = secrets.token_hex(10), secrets.token_bytes(32)
        user = self._oauth.users[consumer_key]
        self._oauth.users[consumer_key] = replace(user, access_token=token, secret=secret)
        self._oauth.end(consumer_key)
        self._keep()
        sealed = PKCS1_v1_5.new(self._encryption_keys[consumer_key]).encrypt(secret)
        return token, base64.b64encode(sealed).decode()

    def _add(self, kept: dict[str, Any]) -> None:
        self._encryption_keys[kept["consumer_key"]] = RSA.import_key(kept["encryption_key"])
        self._oauth.users[kept["consumer_key"]] = Identity(
            consumer_key=kept["consumer_key"],
            access_token=kept["access_token"],
            secret=bytes.fromhex(kept["secret"]),
            signature_key=RSA.import_key(kept["signature_key"]),
            prime=int(kept["prime"]),
            generator=GENERATOR,
            realm=REALM,
            config_file=self._config_file,
            accounts=tuple(kept["accounts"]),
        )

    def _keep(self) -> None:
        users = [self._oauth.users[consumer_key] for consumer_key in self._encryption_keys]
        kept = [
            {
                "consumer_key": user.consumer_key,
                "access_token": user.access_token,
                "secret": user.secret.hex(),
                "signature_key": user.signature_key.export_key().decode(),
                "encryption_key": self._encryption_keys[user.consumer_key].export_key().decode(),
                "prime": str(user.prime),
                "accounts": user.accounts,
            }
            for user in users
        ]
        self._file.touch(mode=0o600)
        self._file.write_text(json.dumps(kept))

    def answer(self, method: str, headers: Mapping[str, str], content: bytes) -> tuple[int, str, str]:
        """Status, content type and text for one request to the page."""
        as_json = "json" in headers.get("Accept", "")
        if method != "POST":
            return 200, "text/html; charset=utf-8", _page(_FORM)
        try:
            given = _fields(headers.get("Content-Type", ""), content)
            accounts = tuple(given.get("accounts", "").replace(",", " ").split())
            key, signature, encryption, parameters = (given.get(name, "").strip() for name in FIELDS)
            token, secret = self.register(key, signature, encryption, parameters, accounts)
        except NotAcceptedError as refused:
            if as_json:
                return 400, "application/json", json.dumps({"error": str(refused)})
            return 400, "text/html; charset=utf-8", _page(f"<p>{html.escape(str(refused))}</p>{_FORM}")
        if as_json:
            return 200, "application/json", json.dumps({"access_token": token, "access_token_secret": secret})
        return 200, "text/html; charset=utf-8", _page(_ISSUED.format(token=token, secret=secret))


def _public_key(text: str, name: str) -> RSA.RsaKey:
    try:
        key = RSA.import_key(text)
    except (ValueError, IndexError, TypeError):
        raise NotAcceptedError(f"The public {name} key is not an RSA key in PEM form.") from None
    if key.has_private():
        raise NotAcceptedError(f"The {name} key is a private key: it must never be uploaded anywhere.")
    return key


def _parameters(text: str) -> tuple[int, int]:
    block = re.search("-----BEGIN DH PARAMETERS-----(.*?)-----END DH PARAMETERS-----", text, re.DOTALL)
    try:
        numbers = DerSequence().decode(base64.b64decode(block[1] if block else ""), nr_elements=2)
    except (ValueError, IndexError, binascii.Error):
        raise NotAcceptedError("The Diffie-Hellman parameters are not in PEM form.") from None
    return int(numbers[0]), int(numbers[1])


def _fields(content_type: str, content: bytes) -> dict[str, str]:
    """The fields of a form with files, or of a JSON object."""
    if "json" in content_type:
        try:
            given = json.loads(content)
        except ValueError:
            raise NotAcceptedError("This is not JSON.") from None
        return {str(name): str(value) for name, value in given.items()} if isinstance(given, dict) else {}
    message = BytesParser().parsebytes(f"Content-Type: {content_type}\r\n\r\n".encode() + content)
    parts = message.get_payload()
    if not message.is_multipart() or not isinstance(parts, list):
        raise NotAcceptedError("Send the form as multipart/form-data.")
    return {str(_name(part)): _text(part) for part in parts if isinstance(part, Message)}


def _name(part: Message) -> object:
    return part.get_param("name", header="Content-Disposition")


def _text(part: Message) -> str:
    body = part.get_payload(decode=True)
    return body.decode("utf-8", "replace") if isinstance(body, bytes) else ""


_FORM = f"""<form method="post" enctype="multipart/form-data" action="{PORTAL_PATH}">
<p><label>Consumer key <input name="consumer_key" maxlength="9" required></label></p>
<p><label>Public signature key <input type="file" name="signature_key" required></label></p>
<p><label>Public encryption key <input type="file" name="encryption_key" required></label></p>
<p><label>Diffie-Hellman parameters <input type="file" name="dh_parameters" required></label></p>
<p><button>Generate token</button></p></form>"""
_ISSUED = """<p>Access token</p><pre id="token">{token}</pre>
<p>Access token secret</p><pre id="secret">{secret}</pre>"""


def _page(body: str) -> str:
    return f"""<!doctype html><html lang="en">
<head><meta charset="utf-8"><title>OAuth self-service</title></head>
<body><h1>OAuth self-service (rehearsal)</h1>{body}</body></html>"""
