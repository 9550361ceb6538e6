"""The server's side of IBKR's OAuth 1.0a: grants live session tokens and checks every signature.

Nothing is taken on trust: the login request must be signed with the user's RSA key over the plain
access token secret, and each later call with the token both sides computed by Diffie-Hellman.
"""

import base64
import hmac
import re
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus, unquote_plus

from Crypto.Hash import SHA256
from Crypto.PublicKey import RSA
from Crypto.Signature import pkcs1_15

from stonks_overwatch.services.brokers.ibkr.sandbox.identity import Identity

LOGIN_ENDPOINT = "oauth/live_session_token"
TOKEN_SECONDS = 24 * 60 * 60
CLOCK_WINDOW_SECONDS = 5 * 60


class RefusedError(Exception):
    """Why a request is not accepted, as IBKR answers it; `reason` is for the record of calls."""

    def __init__(self, reason: str, body: dict[str, object], content_type: str = "application/json") -> None:
        super().__init__(reason)
        self.reason = reason
        self.body = body
        self.content_type = content_type


@dataclass
class Session:
    """One login, and what the server remembers of it."""

    token: bytes
    expires_at: float  # epoch seconds
    cookie: str  # the same in every answer of /tickle during one login
    user: Identity
    accounts_asked: bool = False  # GET portfolio/accounts
    brokerage: bool = False  # POST iserver/auth/ssodh/init
    brokerage_accounts_asked: bool = False  # GET iserver/accounts
    quoted: set[int] = field(default_factory=set)  # conids whose snapshot was asked for before
    warm: set[str] = field(default_factory=set)  # accounts whose contract data is loaded
    pages: dict[str, tuple[tuple[int, bool], list[dict[str, Any]]]] = field(default_factory=dict)


def base_string(method: str, url: str, parameters: dict[str, str], prepend: str = "") -> str:
    """What is signed: method, bare URL and sorted OAuth parameters; the secret before it at login."""
    pairs = "&".join(f"{key}={value}" for key, value in sorted(parameters.items()))
    return f"{prepend}{method}&{quote_plus(url)}&{quote_plus(pairs)}"


def rsa_is_valid(text: str, signature: str, key: RSA.RsaKey) -> bool:
    try:
        pkcs1_15.new(key).verify(SHA256.new(text.encode()), base64.b64decode(signature))
    except ValueError:
        return False
    return True


def hmac_signature(text: str, token: bytes) -> str:
    return base64.b64encode(hmac.digest(token, text.encode(), "sha256")).decode()


def session_token(shared: int, secret: bytes) -> bytes:
    """The token both sides compute: HMAC-SHA1 of the secret, keyed with the shared number.

    The key is the number as Java writes it: big-endian two's complement, so with a leading zero byte
    when its highest bit is set.
    """
    key = shared.to_bytes(shared.bit_length() // 8 + 1, "big")
    return hmac.digest(key, secret, "sha1")


def token_signature(token: bytes, consumer_key: str) -> str:
    return hmac.digest(token, consumer_key.encode(), "sha1").hex()


def parse_header(header: str | None) -> dict[str, str]:
    """The fields of an `Authorization: OAuth ...` header, the signature decoded; empty if it is none."""
    if header is None or not header.startswith("OAuth "):
        return {}
    fields = dict(re.findall(r'(\w+)="([^"]*)"', header))
    if "oauth_signature" in fields:
        fields["oauth_signature"] = unquote_plus(fields["oauth_signature"])
    return fields


class OAuth:
    """The logins of all users. `base_url` is the address as the client sees and signs it.

    iBind always sends `Host: api.ibkr.com`, so the Host header says nothing about what was signed.
    """

    def __init__(self, identity: Identity, base_url: str, clock: Callable[[], float]) -> None:
        self.users = {identity.consumer_key: identity}
        self.base_url = base_url
        self.keep_older_tokens = False
        self._clock = clock
        self._sessions: list[Session] = []
        self._nonces: set[str] = set()
        self._lock = threading.Lock()

    def is_repeated(self, header: str | None) -> bool:
        """Whether the nonce was used before; remembers it."""
        nonce = parse_header(header).get("oauth_nonce")
        if nonce is None:
            return False
        with self._lock:
            repeated = nonce in self._nonces
            self._nonces.add(nonce)
        return repeated

    def grant(self, header: str | None) -> dict[str, object]:
        """Answer a login. Raises RefusedError with IBKR's 401 unless everything about it is right."""
        fields = parse_header(header)
        user = self.users.get(fields.get("oauth_consumer_key", ""))
        realm, signature = fields.pop("realm", None), fields.pop("oauth_signature", "")
        if user is None or realm != user.realm:
            raise unknown_consumer()
        if fields.get("oauth_token") != user.access_token:
            raise no_access_secret(fields.get("oauth_token", ""))
        if not self._is_now(fields.get("oauth_timestamp", "")):
            raise _login_failed("timestamp outside the window", "Invalid timestamp")
        if fields.get("oauth_signature_method") != "RSA-SHA256":
            raise _login_failed("signature method", "Invalid signature method")
        text = base_string("POST", self.base_url + LOGIN_ENDPOINT, fields, user.secret.hex())
        if not rsa_is_valid(text, signature, user.signature_key):
            raise wrong_signature()
        challenge = _hex(fields.get("diffie_hellman_challenge", ""))
        if not 1 < challenge < user.prime - 1:
            raise _login_failed("challenge", "Invalid Diffie-Hellman challenge")
        exponent = secrets.randbits(256) | 1
        token = session_token(pow(challenge, exponent, user.prime), user.secret)
        session = Session(token, self._clock() + TOKEN_SECONDS, secrets.token_hex(16), user)
        with self._lock:
            # Whether IBKR lets an older token live on is not known; the stricter reading is the default.
            if not self.keep_older_tokens:
                self._sessions = self._of_others(user.consumer_key)
            self._sessions.append(session)
        return {
            "diffie_hellman_response": f"{pow(user.generator, exponent, user.prime):x}",
            "live_session_token_signature": token_signature(token, user.consumer_key),
            "live_session_token_expiration": int(session.expires_at * 1000),
        }

    def verify(self, method: str, path: str, header: str | None) -> Session:
        """The login that signed this call. Raises RefusedError with IBKR's 401 if none did."""
        fields = parse_header(header)
        fields.pop("realm", None)
        signature = fields.pop("oauth_signature", "")
        user = self.users.get(fields.get("oauth_consumer_key", ""))
        if user is None or fields.get("oauth_token") != user.access_token:
            raise unauthorized("no or unknown credentials")
        if fields.get("oauth_signature_method") != "HMAC-SHA256":
            raise unauthorized("signature method")
        if not self._is_now(fields.get("oauth_timestamp", "")):
            raise unauthorized("timestamp outside the window")
        text = base_string(method, self.base_url + path, fields)
        with self._lock:
            sessions = [one for one in self._sessions if one.user.consumer_key == user.consumer_key]
        for session in sessions:
            if hmac.compare_digest(hmac_signature(text, session.token), signature):
                if session.expires_at <= self._clock():
                    raise expired()
                return session
        raise unauthorized("bad signature" if sessions else "not logged in")

    def session_with(self, cookie: str) -> Session | None:
        """The login whose /tickle hands out this cookie, as long as it lasts."""
        with self._lock:
            sessions = list(self._sessions)
        return next((s for s in sessions if s.cookie == cookie and s.expires_at > self._clock()), None)

    def expire(self) -> None:
        """Let every token that was given out be past its time."""
        with self._lock:
            for session in self._sessions:
                session.expires_at = 0.0

    def end(self, consumer_key: str) -> None:
        """Log out: every process that uses this login has to log in again."""
        with self._lock:
            self._sessions = self._of_others(consumer_key)

    def _of_others(self, consumer_key: str) -> list[Session]:
        return [session for session in self._sessions if session.user.consumer_key != consumer_key]

    def _is_now(self, timestamp: str) -> bool:
        return timestamp.isdecimal() and abs(int(timestamp) - self._clock()) <= CLOCK_WINDOW_SECONDS


def unknown_consumer() -> RefusedError:
    return RefusedError("unknown consumer", {"error": "invalid consumer", "statusCode": 401})


def no_access_secret(token: str) -> RefusedError:
    """What a wrong or replaced token gets, and any token until IBKR has activated the keys."""
    return _login_failed("unknown token", f"No access secret key found for {token}")


def wrong_signature() -> RefusedError:
    return _login_failed("bad signature", "Invalid signature")


def unauthorized(reason: str) -> RefusedError:
    return RefusedError(reason, {"error": "not authenticated", "statusCode": 401})


def expired() -> RefusedError:
    body: dict[str, object] = {
        "type": "/simple",
        "title": "Unauthorized",
        "status": 401,
        "detail": "Access token expired",
    }
    return RefusedError("token expired", body, "application/problem+json")


def _login_failed(reason: str, why: str) -> RefusedError:
    return RefusedError(reason, {"error": f"id: 118871, error: LST failed, error: {why}", "statusCode": 401})


def _hex(text: str) -> int:
    return int(text, 16) if re.fullmatch(r"[0-9a-fA-F]+", text) else 0
