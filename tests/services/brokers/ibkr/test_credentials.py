"""What a user can give as keys, secret and prime: what is taken, and what each mistake is called."""

import base64
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from Crypto.Cipher import PKCS1_v1_5
from Crypto.PublicKey import ECC, RSA
from Crypto.Util.asn1 import DerSequence
from hypothesis import given, settings
from hypothesis import strategies as st

from stonks_overwatch.errors import ConfigError, KeyFileMissingError
from stonks_overwatch.services.brokers.ibkr import credentials
from stonks_overwatch.services.brokers.ibkr.credentials import IbkrLogin

# RFC 3526, group 14: a safe prime of 2048 bits, as printed there.
PRIME_HEX = (
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DD"
    "EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED"
    "EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F"
    "83655D23DCA3AD961C62F356208552BB9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B"
    "E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF6955817183995497CEA956AE515D2261898FA0510"
    "15728E5A8AACAA68FFFFFFFFFFFFFFFF"
)
PRIME = int(PRIME_HEX, 16)
TOKEN = "0123456789abcdef0123"


@dataclass(frozen=True)
class Keys:
    encryption: RSA.RsaKey
    signature: RSA.RsaKey
    other: RSA.RsaKey
    secret: str  # made for the encryption key, as IBKR shows it


@pytest.fixture(scope="session")
def keys() -> Keys:
    encryption, signature, other = (RSA.generate(2048) for _ in range(3))
    return Keys(encryption, signature, other, sealed_for(encryption))


def sealed_for(key: RSA.RsaKey) -> str:
    return base64.b64encode(PKCS1_v1_5.new(key.public_key()).encrypt(bytes(range(16, 48)))).decode()


LoginWith = Callable[..., IbkrLogin]


@pytest.fixture
def login(keys: Keys, tmp_path: Path) -> LoginWith:
    """Makes a login that is right but for what is named: `login(dh_prime="12")`; None leaves a key out."""
    files = {"encryption": keys.encryption, "signature": keys.signature}
    for name, key in files.items():
        write(tmp_path / f"{name}.pem", key.export_key())

    def with_(**changed: Any) -> IbkrLogin:
        given = {
            "consumer_key": "TESTCONSX",
            "access_token": TOKEN,
            "access_token_secret": keys.secret,
            "dh_prime": PRIME_HEX,
            "encryption_key_fp": str(tmp_path / "encryption.pem"),
            "signature_key_fp": str(tmp_path / "signature.pem"),
        } | changed
        return IbkrLogin.model_validate(
            {"credentials": {name: value for name, value in given.items() if value is not None}}
        )

    return with_


def write(file: Path, content: bytes) -> Path:
    file.touch(mode=0o600)
    file.write_bytes(content)
    return file


def refusal(login: IbkrLogin) -> ConfigError:
    """The error of a login that must be refused; no secret may be in its words."""
    with pytest.raises(ConfigError) as caught:
        credentials.prepare(login)
    error = caught.value
    said = f"{error.what} {error.next_step} {error!r}"
    held = login.credentials
    for secret in (held.access_token, held.access_token_secret, held.encryption_key, held.signature_key):
        if secret is not None:
            for line in secret.reveal().split():
                assert len(line) < 8 or line not in said
    assert error.what.endswith(".")
    assert error.next_step.endswith(".")
    return error


@contextmanager
def as_an_ordinary_user() -> Iterator[None]:
    """Root may read everything, so a test of an unreadable file runs as nobody."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


# --- keys that are taken --------------------------------------------------------------------------


def pem(key: RSA.RsaKey, pkcs: int = 1) -> str:
    return key.export_key(pkcs=pkcs).decode()


TAKEN: dict[str, Callable[[RSA.RsaKey], bytes]] = {
    "pkcs1": lambda key: pem(key).encode(),
    "pkcs8": lambda key: pem(key, 8).encode(),
    "pkcs1 der": lambda key: key.export_key("DER"),
    "pkcs8 der": lambda key: key.export_key("DER", pkcs=8),
    "byte-order mark": lambda key: b"\xef\xbb\xbf" + pem(key).encode(),
    "utf-16": lambda key: pem(key).encode("utf-16"),
    "crlf": lambda key: pem(key).replace("\n", "\r\n").encode(),
    "old mac line ends": lambda key: pem(key).replace("\n", "\r").encode(),
    "written line breaks": lambda key: pem(key).replace("\n", "\\n").encode(),
    "written crlf": lambda key: pem(key).replace("\n", "\\r\\n").encode(),
    "one line": lambda key: pem(key, 8).replace("\n", "").encode(),
    "one line with blanks": lambda key: pem(key).replace("\n", " ").encode(),
    "indented": lambda key: pem(key).replace("\n", "\n    ").encode(),
    "blank lines around": lambda key: b"\n\n" + pem(key).encode() + b"\n\n",
    "text before": lambda key: b"Bag Attributes\n    localKeyID: 01\n" + pem(key, 8).encode(),
    "public half before": lambda key: key.public_key().export_key() + b"\n" + pem(key).encode(),
    "lines of base64 alone": lambda key: base64.encodebytes(key.export_key("DER")),
}


@pytest.mark.parametrize("form", TAKEN)
def test_every_form_of_a_key_file_becomes_the_same_pem(
    form: str, login: LoginWith, keys: Keys, tmp_path: Path
) -> None:
    file = write(tmp_path / "key", TAKEN[form](keys.encryption))
    prepared = credentials.prepare(login(encryption_key_fp=str(file)))
    assert prepared.encryption_key.reveal() == pem(keys.encryption)


@pytest.mark.parametrize("form", [form for form in TAKEN if "der" not in form and "utf-16" not in form])
def test_every_form_of_a_key_text_becomes_the_same_pem(form: str, login: LoginWith, keys: Keys) -> None:
    text = TAKEN[form](keys.signature).decode()
    prepared = credentials.prepare(login(signature_key=text, signature_key_fp=None))
    assert prepared.signature_key.reveal() == pem(keys.signature)


def test_what_is_prepared_is_what_was_given(login: LoginWith, keys: Keys) -> None:
    prepared = credentials.prepare(login(access_token=f"  {TOKEN}\n", consumer_key=" TESTCONSX "))
    assert prepared.consumer_key == "TESTCONSX"
    assert prepared.access_token.reveal() == TOKEN
    assert prepared.access_token_secret.reveal() == keys.secret
    assert prepared.dh_prime == PRIME_HEX.lower()
    assert prepared.notices == ()


def test_prepared_credentials_print_no_secret(login: LoginWith) -> None:
    shown = repr(credentials.prepare(login()))
    assert TOKEN not in shown
    assert "TESTCONSX" not in shown
    assert PRIME_HEX.lower() not in shown


def test_the_text_of_a_key_wins_over_its_file(login: LoginWith, keys: Keys, tmp_path: Path) -> None:
    both = login(encryption_key=pem(keys.encryption), encryption_key_fp=str(tmp_path / "missing.pem"))
    assert credentials.prepare(both).encryption_key.reveal() == pem(keys.encryption)


def test_an_empty_text_of_a_key_does_not_hide_its_file(login: LoginWith) -> None:
    credentials.prepare(login(encryption_key=""))


def test_a_relative_path_is_looked_for_from_the_working_directory(
    login: LoginWith, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for path in ("encryption.pem", "./encryption.pem", f"../{tmp_path.name}/encryption.pem"):
        credentials.prepare(login(encryption_key_fp=path))


def test_a_path_from_the_home_folder_is_found(
    login: LoginWith, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    credentials.prepare(login(encryption_key_fp="~/encryption.pem"))


def test_a_relative_path_is_then_looked_for_from_the_checkout(
    login: LoginWith, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    # LICENSE is in the checkout and in no working directory: found there, it is refused for its content.
    assert "LICENSE" in refusal(login(encryption_key_fp="LICENSE")).what
    assert "is not a key" in refusal(login(encryption_key_fp="./LICENSE")).what


# --- keys that are refused ------------------------------------------------------------------------


def ec_pem(*, pkcs8: bool) -> bytes:
    text = ECC.generate(curve="P-256").export_key(format="PEM", use_pkcs8=pkcs8)
    return text.encode() if isinstance(text, str) else text


END = b"\n-----END RSA PRIVATE KEY-----\n"
REFUSED: dict[str, tuple[Callable[[RSA.RsaKey], bytes], str]] = {
    "public key": (lambda key: key.public_key().export_key(), "is a public key"),
    "public key in der": (lambda key: key.public_key().export_key("DER"), "is a public key"),
    "public key of pkcs1": (
        lambda key: pem_of("RSA PUBLIC KEY", DerSequence([key.n, key.e]).encode()),
        "is a public key",
    ),
    "passphrase": (
        lambda key: key.export_key(
            pkcs=8, passphrase="secret words", protection="PBKDF2WithHMAC-SHA1AndAES128-CBC"
        ),
        "is protected by a passphrase",
    ),
    "passphrase in der": (
        lambda key: key.export_key(
            "DER", pkcs=8, passphrase="secret words", protection="PBKDF2WithHMAC-SHA1AndAES128-CBC"
        ),
        "is protected by a passphrase",
    ),
    "old passphrase": (
        lambda _: (
            b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n"
            b"MIIE\n-----END RSA PRIVATE KEY-----"
        ),
        "is protected by a passphrase",
    ),
    "elliptic curve": (lambda _: ec_pem(pkcs8=True), "is an elliptic-curve (EC) key"),
    "elliptic curve of sec1": (lambda _: ec_pem(pkcs8=False), "is an elliptic-curve (EC) key"),
    "certificate": (lambda _: pem_of("CERTIFICATE", b"\x30\x00"), "is a certificate"),
    "openssh": (lambda _: pem_of("OPENSSH PRIVATE KEY", b"openssh-key-v1"), "is an OpenSSH key"),
    "dh parameters": (
        lambda _: pem_of("DH PARAMETERS", DerSequence([PRIME, 2]).encode()),
        "Diffie-Hellman parameters",
    ),
    "1024 bits": (lambda _: RSA.generate(1024).export_key(), "only 1024 bits"),
    "end line lost": (lambda key: pem(key).rpartition("-----END")[0].encode(), "is cut"),
    "lines lost": (lambda key: b"\n".join(pem(key).encode().split(b"\n")[:9]) + END, "is damaged"),
    "stars inside": (lambda key: pem(key).replace("\n", "\n***", 3).encode(), "is damaged"),
    "empty pem": (lambda _: b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----", "is damaged"),
    "no key": (lambda _: b"to be filled in", "is not a key"),
    "bytes": (lambda _: bytes(range(128, 256)), "is not a key"),
    "der of something else": (lambda _: b"\x30\x82\x00\x00rubbish", "is damaged"),
    "empty": (lambda _: b"", "is empty"),
    "blanks": (lambda _: b" \n", "is empty"),
    "too large": (lambda _: b"x" * 200_000, "is too large"),
}


def pem_of(label: str, der: bytes) -> bytes:
    return f"-----BEGIN {label}-----\n{base64.encodebytes(der).decode()}-----END {label}-----\n".encode()


@pytest.mark.parametrize("mistake", REFUSED)
def test_a_wrong_key_file_is_refused_by_its_kind(
    mistake: str, login: LoginWith, keys: Keys, tmp_path: Path
) -> None:
    content, words = REFUSED[mistake]
    file = write(tmp_path / "wrong.pem", content(keys.signature))
    error = refusal(login(signature_key_fp=str(file)))
    assert words in error.what
    assert str(file) in error.what
    assert "ibkr.credentials.signature_key_fp" in error.what


def test_a_wrong_key_text_is_refused_without_showing_it(login: LoginWith, keys: Keys) -> None:
    for text in (pem(keys.encryption)[:900], "MIIEpAIBAAKCAQEAsecretsecret", "\ud800 no text"):
        error = refusal(login(encryption_key=text))
        assert "ibkr.credentials.encryption_key" in error.what


def test_a_path_in_the_place_of_a_key_text_is_told_where_it_belongs(login: LoginWith) -> None:
    error = refusal(login(encryption_key="./private.pem"))
    assert "encryption_key_fp" in error.next_step


def test_a_missing_key_file_names_every_place_that_was_tried(
    login: LoginWith, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    error = refusal(login(signature_key_fp="ibkr_certs/lost.pem"))
    assert isinstance(error, KeyFileMissingError)
    assert error.code == "key_file_missing"
    assert str(tmp_path / "ibkr_certs" / "lost.pem") in error.what
    assert "nor is" in error.what
    assert "ibkr.credentials.signature_key_fp" in error.what


def test_a_home_folder_of_nobody_is_a_missing_file(login: LoginWith) -> None:
    assert isinstance(refusal(login(signature_key_fp="~nobody-at-all/key.pem")), KeyFileMissingError)


def test_a_folder_is_not_a_key_file(login: LoginWith, tmp_path: Path) -> None:
    assert "is a folder" in refusal(login(signature_key_fp=str(tmp_path))).what


def test_a_pipe_is_not_a_key_file(login: LoginWith, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "is not a regular file" in refusal(login(signature_key_fp=str(tmp_path / "pipe"))).what


def test_a_path_through_a_file_is_refused(login: LoginWith, tmp_path: Path) -> None:
    assert "cannot be read" in refusal(login(signature_key_fp=str(tmp_path / "signature.pem" / "key"))).what


def test_an_unreadable_key_file_names_the_command_that_opens_it(login: LoginWith, tmp_path: Path) -> None:
    file = tmp_path / "signature.pem"
    file.chmod(0)
    with as_an_ordinary_user():
        error = refusal(login(encryption_key=pem(RSA.generate(2048)), signature_key_fp=str(file)))
    assert "cannot be read by this user" in error.what
    assert f"chmod 600 {file}" in error.next_step


def test_an_error_names_the_login(login: LoginWith) -> None:
    named = login(dh_prime="").model_copy(update={"name": "company"})
    assert '"company"' in refusal(named).what


# --- key files open to others ---------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o777])
def test_a_key_file_open_to_others_gets_a_notice_with_the_command_to_type(
    mode: int, login: LoginWith, tmp_path: Path
) -> None:
    file = tmp_path / "signature.pem"
    file.chmod(mode)
    (notice,) = credentials.prepare(login()).notices
    assert f"chmod 600 {file}" in notice
    assert f"mode {mode:o}" in notice


def test_the_command_to_type_quotes_a_path_with_blanks(login: LoginWith, keys: Keys, tmp_path: Path) -> None:
    file = write(tmp_path / "my key.pem", keys.signature.export_key())
    file.chmod(0o644)
    (notice,) = credentials.prepare(login(signature_key_fp=str(file))).notices
    assert f"chmod 600 '{file}'" in notice


def test_an_owner_only_key_file_gets_no_notice(login: LoginWith, tmp_path: Path) -> None:
    (tmp_path / "signature.pem").chmod(0o400)
    assert credentials.prepare(login()).notices == ()


# --- the access token secret ----------------------------------------------------------------------


def test_a_wrapped_secret_is_made_one_line_again(login: LoginWith, keys: Keys) -> None:
    lines = base64.encodebytes(base64.b64decode(keys.secret)).decode()
    for text in (lines, lines.replace("\n", "\r\n"), lines.replace("\n", "\\n"), keys.secret.rstrip("=")):
        prepared = credentials.prepare(login(access_token_secret=text))
        assert prepared.access_token_secret.reveal() == keys.secret


def test_swapped_keys_are_called_swapped(login: LoginWith, tmp_path: Path) -> None:
    swapped = login(
        encryption_key_fp=str(tmp_path / "signature.pem"), signature_key_fp=str(tmp_path / "encryption.pem")
    )
    assert "swapped" in refusal(swapped).what


def test_a_secret_for_another_key_is_not_called_swapped(login: LoginWith, keys: Keys) -> None:
    error = refusal(login(access_token_secret=sealed_for(keys.other)))
    assert "was not made for this encryption key" in error.what


def test_one_key_for_both_uses_is_named_when_it_does_not_open_the_secret(
    login: LoginWith, tmp_path: Path
) -> None:
    error = refusal(login(encryption_key_fp=str(tmp_path / "signature.pem")))
    assert "one and the same key" in error.what


def test_one_key_for_both_uses_is_a_notice_when_it_opens_the_secret(login: LoginWith, tmp_path: Path) -> None:
    (notice,) = credentials.prepare(login(signature_key_fp=str(tmp_path / "encryption.pem"))).notices
    assert "one and the same key" in notice


def test_a_cut_secret_is_called_cut(login: LoginWith, keys: Keys) -> None:
    assert "192 bytes instead of 256" in refusal(login(access_token_secret=keys.secret[:256])).what
    # 341 characters: one more than a whole number of bytes needs
    assert "is not base64 text" in refusal(login(access_token_secret=keys.secret[:341])).what


def test_a_secret_with_foreign_characters_is_refused(login: LoginWith, keys: Keys) -> None:
    assert "is not base64 text" in refusal(login(access_token_secret=f"'{keys.secret}'")).what
    assert "is not base64 text" in refusal(login(access_token_secret=f"ä{keys.secret[1:]}")).what


def test_a_secret_of_ones_is_refused(login: LoginWith) -> None:
    # As a number larger than any modulus of 2048 bits.
    error = refusal(login(access_token_secret=base64.b64encode(b"\xff" * 256).decode()))
    assert "was not made for this encryption key" in error.what


@pytest.mark.parametrize("name", ["consumer_key", "access_token", "access_token_secret", "dh_prime"])
def test_an_empty_credential_is_named(name: str, login: LoginWith) -> None:
    for nothing in ("", "  \n"):
        assert f"ibkr.credentials.{name} is empty" in refusal(login(**{name: nothing})).what


@pytest.mark.parametrize("name", ["consumer_key", "access_token", "access_token_secret", "dh_prime"])
def test_the_text_of_the_template_is_named(name: str, login: LoginWith) -> None:
    assert "template" in refusal(login(**{name: f"YOUR_{name.upper()}"})).what


# --- the prime ------------------------------------------------------------------------------------


def colons(hex_digits: str) -> str:
    """As `openssl dhparam -text` prints it: a leading zero byte, 15 bytes a line, indented."""
    pairs = ["00", *(hex_digits[i : i + 2].lower() for i in range(0, len(hex_digits), 2))]
    lines = [":".join(pairs[i : i + 15]) for i in range(0, len(pairs), 15)]
    return "".join(f"        {line}:\n" for line in lines).rstrip(":\n")


def dh_pem(prime: int, generator: int = 2) -> str:
    return pem_of("DH PARAMETERS", DerSequence([prime, generator]).encode()).decode()


PRIME_FORMS = {
    "hex": PRIME_HEX,
    "lower": PRIME_HEX.lower(),
    "0x": f"0x{PRIME_HEX}",
    "0X": f"0X{PRIME_HEX}",
    "leading zeros": f"00{PRIME_HEX}",
    "blanks around": f"  {PRIME_HEX}\n",
    "line breaks": "\n".join(PRIME_HEX[i : i + 64] for i in range(0, 512, 64)),
    "written line breaks": "\\n".join(PRIME_HEX[i : i + 64] for i in range(0, 512, 64)),
    "groups": " ".join(PRIME_HEX[i : i + 8] for i in range(0, 512, 8)),
    "colons": colons(PRIME_HEX),
    "colons in one line": colons(PRIME_HEX).replace("\n", ""),
    "decimal": str(PRIME),
    "decimal in lines": "\n".join(str(PRIME)[i : i + 60] for i in range(0, 617, 60)),
    "pem": dh_pem(PRIME),
    "pem with crlf": dh_pem(PRIME).replace("\n", "\r\n"),
    "pem with written line breaks": dh_pem(PRIME).replace("\n", "\\n"),
    "pem in one line": dh_pem(PRIME).replace("\n", ""),
    "pem with a length": pem_of("DH PARAMETERS", DerSequence([PRIME, 2, 225]).encode()).decode(),
    "all that openssl prints": (
        f"    DH Parameters: (2048 bit)\n    P:   \n{colons(PRIME_HEX)}\n    G:    2 (0x2)\n"
    ),
    "all that an old openssl prints": f"  prime:\n{colons(PRIME_HEX)}\n  generator: 2 (0x2)\n",
    "text of openssl before": f"    DH Parameters: (2048 bit)\n{colons(PRIME_HEX)}\n{dh_pem(PRIME)}",
}


@pytest.mark.parametrize("form", PRIME_FORMS)
def test_every_form_of_the_prime_becomes_plain_hex(form: str, login: LoginWith) -> None:
    assert credentials.prepare(login(dh_prime=PRIME_FORMS[form])).dh_prime == PRIME_HEX.lower()


@pytest.mark.parametrize("form", PRIME_FORMS)
def test_a_file_may_hold_the_prime_in_every_form(form: str, tmp_path: Path) -> None:
    for mark in (b"", b"\xef\xbb\xbf"):
        file = write(tmp_path / "dhparam.pem", mark + PRIME_FORMS[form].encode())
        assert prime_status(str(file)) == "ok"


def test_a_file_may_hold_the_parameters_in_der(login: LoginWith, tmp_path: Path) -> None:
    file = write(tmp_path / "dhparam.der", DerSequence([PRIME, 2]).encode())
    assert credentials.prepare(login(dh_prime=str(file))).dh_prime == PRIME_HEX.lower()


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_blanks_colons_and_case_never_change_the_prime(data: st.DataObject) -> None:
    breaks = data.draw(st.sets(st.integers(1, 511), max_size=40))
    filler = data.draw(st.sampled_from([" ", "\n", ":", "\r\n", "\t", "\\n"]))
    text = "".join((filler if i in breaks else "") + digit for i, digit in enumerate(PRIME_HEX))
    text = data.draw(st.sampled_from(["", "0x", "0X", "00"])) + data.draw(
        st.sampled_from([text, text.lower()])
    )
    assert prime_status(text) == "ok"


def prime_status(text: str) -> str:
    """What `findings` says of the prime, beside credentials that are nothing."""
    others = ("consumer_key", "access_token", "access_token_secret", "encryption_key", "signature_key")
    login = IbkrLogin.model_validate({"credentials": dict.fromkeys(others, "-") | {"dh_prime": text}})
    (status,) = [finding.status for finding in credentials.findings(login) if finding.check == "prime"]
    return status


PRIME_MISTAKES = {
    "512 bits": (f"{2**512 - 569:x}", "has 512 bits; IBKR asks for 2048"),  # the largest prime below 2^512
    "512 bits in decimal": (str(2**512 - 569), "has 512 bits"),
    "1 digit": ("7", "has 3 bits"),
    "zero": ("0", "has 0 bits"),
    "far too large": ("f" * 3000, "has 12000 bits"),
    "too many decimal digits": ("1" * 4500, "too many digits"),
    "even": (f"{PRIME - 1:x}", "is not a prime number"),
    "a digit wrong": (PRIME_HEX.replace("C90FDAA2", "C90FDAA3"), "is not a prime number"),
    "a digit lost": (PRIME_HEX[:-1], "has 2044 bits"),
    "a decimal digit lost": (str(PRIME)[:-1], "has 2045 bits"),
    "a letter too far": (PRIME_HEX.replace("C90F", "C90G"), "is neither hex digits"),
    "minus": (f"-{PRIME_HEX}", "is neither hex digits"),
    "only 0x": ("0x", "is neither hex digits"),
    "generator 5": (dh_pem(PRIME, 5), "has the generator 5"),
    "a pem of something else": (pem_of("PUBLIC KEY", b"\x30\x00").decode(), "of another kind (PUBLIC KEY)"),
    "a cut pem": (dh_pem(PRIME)[:200], "is cut"),
    "a damaged pem": (dh_pem(PRIME).replace("MIIB", "MII*"), "is damaged"),
    "a pem of rubbish": (pem_of("DH PARAMETERS", b"\x30\x82rubbish").decode(), "is damaged"),
    "a pem with too little": (
        pem_of("DH PARAMETERS", DerSequence([PRIME]).encode()).decode(),
        "is damaged",
    ),
    "a pem of octets": (
        pem_of("DH PARAMETERS", DerSequence([b"\x04\x01a", b"\x04\x01b"]).encode()).decode(),
        "is damaged",
    ),
}


@pytest.mark.parametrize("mistake", PRIME_MISTAKES)
def test_a_wrong_prime_is_refused_by_its_kind(mistake: str, login: LoginWith) -> None:
    text, words = PRIME_MISTAKES[mistake]
    error = refusal(login(dh_prime=text))
    assert words in error.what
    assert "ibkr.credentials.dh_prime" in error.what
    assert len(text) < 5 or text not in error.what


def test_a_larger_prime_is_a_notice(login: LoginWith) -> None:
    prepared = credentials.prepare(login(dh_prime=f"{2**2203 - 1:x}"))  # a Mersenne prime
    assert prepared.dh_prime == f"{2**2203 - 1:x}"
    (notice,) = prepared.notices
    assert "has 2203 bits; IBKR asks for 2048" in notice


def test_a_missing_file_of_parameters_is_a_missing_file(login: LoginWith, tmp_path: Path) -> None:
    error = refusal(login(dh_prime=str(tmp_path / "dhparam.pem")))
    assert isinstance(error, KeyFileMissingError)
    assert "ibkr.credentials.dh_prime" in error.what


def test_a_key_file_in_the_place_of_the_parameters_is_named(login: LoginWith, tmp_path: Path) -> None:
    error = refusal(login(dh_prime=str(tmp_path / "signature.pem")))
    assert "of another kind (RSA PRIVATE KEY)" in error.what
    assert str(tmp_path / "signature.pem") in error.what


# --- findings -------------------------------------------------------------------------------------


def statuses(login: IbkrLogin) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for finding in credentials.findings(login):
        found.setdefault(finding.check, []).append(finding.status)
        assert bool(finding.next_step) == (finding.status != "ok")
    return found


def test_a_right_login_has_only_good_findings(login: LoginWith) -> None:
    assert statuses(login()) == {
        "consumer key": ["ok"],
        "access token": ["ok"],
        "encryption key": ["ok"],
        "signature key": ["ok"],
        "key pair": ["ok"],
        "prime": ["ok"],
    }


def test_one_wrong_thing_does_not_hide_the_others(login: LoginWith, tmp_path: Path) -> None:
    (tmp_path / "signature.pem").chmod(0o644)
    broken = login(consumer_key="", encryption_key_fp=str(tmp_path / "lost.pem"), dh_prime="7")
    assert statuses(broken) == {
        "consumer key": ["error"],
        "access token": ["ok"],
        "encryption key": ["error"],
        "signature key": ["ok", "warning"],
        "access token secret": ["ok"],
        "prime": ["error"],
    }


def test_swapped_keys_are_a_finding(login: LoginWith, tmp_path: Path) -> None:
    swapped = login(
        encryption_key_fp=str(tmp_path / "signature.pem"), signature_key_fp=str(tmp_path / "encryption.pem")
    )
    assert statuses(swapped)["key pair"] == ["error"]


# --- addresses ------------------------------------------------------------------------------------

ADDRESSES = {
    "IBIND_OAUTH1A_REST_URL": (credentials.rest_url, "https://api.ibkr.com/v1/api/", "https", "http"),
    "IBIND_OAUTH1A_WS_URL": (credentials.ws_url, "wss://api.ibkr.com/v1/api/ws", "wss", "ws"),
    "STONKS_OVERWATCH_IBKR_FLEX_URL": (
        credentials.flex_url,
        "https://ndcdyn.interactivebrokers.com/AccountManagement/FlexWebService/",
        "https",
        "http",
    ),
}


@pytest.fixture(params=ADDRESSES)
def variable(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_without_a_variable_the_address_is_ibkrs(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    address, default, *_ = ADDRESSES[variable]
    monkeypatch.delenv(variable, raising=False)
    assert address() == default
    monkeypatch.setenv(variable, " ")
    assert address() == default


@pytest.mark.parametrize("host", ["127.0.0.1:5000", "127.1.2.3", "localhost:8080", "[::1]:8080"])
def test_an_address_on_this_computer_may_be_plain(
    host: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, _, encrypted, plain = ADDRESSES[variable]
    for scheme in (plain, encrypted):
        monkeypatch.setenv(variable, f"{scheme}://{host}/v1/api/ws")
        assert address().rstrip("/") == f"{scheme}://{host}/v1/api/ws"


def test_another_address_must_be_encrypted(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    address, _, encrypted, plain = ADDRESSES[variable]
    monkeypatch.setenv(variable, f"{encrypted}://proxy.example.org/ibkr")
    assert address().startswith(f"{encrypted}://proxy.example.org/ibkr")
    for host in ("proxy.example.org", "api.ibkr.com", "192.168.1.5", "0.0.0.0", "127.0.0.1.example.org"):
        monkeypatch.setenv(variable, f"{plain}://{host}/ibkr")
        with pytest.raises(ConfigError, match=f"without {encrypted}://"):
            address()


@pytest.mark.parametrize(
    "rest",
    [
        "://user:hunter2pass@127.0.0.1/",
        "://127.0.0.1@example.org/",
        "://127.0.0.1\\@example.org/",
        "://127.0.0.1/?token=hunter2pass",
        "://127.0.0.1/#x",
        "://127.0.0.1:port/",
        "://127.0.0.1:99999/",
        "://127.0.0.1/ x",
        "://[::1/",
        ":///v1/api/",
        "",
    ],
)
def test_what_is_not_an_address_is_refused_without_showing_it(
    rest: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, _, _, plain = ADDRESSES[variable]
    monkeypatch.setenv(variable, f"{plain}{rest}")
    with pytest.raises(ConfigError, match=variable) as caught:
        address()
    assert "hunter2pass" not in f"{caught.value.what} {caught.value.next_step}"


def test_a_file_address_is_refused(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "file:///etc/passwd")
    with pytest.raises(ConfigError, match=variable):
        ADDRESSES[variable][0]()


def test_the_folder_addresses_end_with_a_slash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IBIND_OAUTH1A_REST_URL", "http://127.0.0.1:1/v1/api")
    assert credentials.rest_url() == "http://127.0.0.1:1/v1/api/"
    monkeypatch.setenv("STONKS_OVERWATCH_IBKR_FLEX_URL", "http://127.0.0.1:1/flex")
    assert credentials.flex_url() == "http://127.0.0.1:1/flex/"
