"""Keys and parameters as they are made; small ones where a large one would take minutes."""

import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from Crypto.PublicKey import RSA
from Crypto.Util.number import isPrime

from stonks_overwatch.errors import ConfigError
from stonks_overwatch.services.brokers.ibkr import credentials, keys
from tests.registering import have_keys


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "PRIME_BITS", 160)
    monkeypatch.setattr(keys, "RSA_BITS", 1024)


def prime_in(file: Path) -> int:
    return credentials.prime_number(file.read_bytes())


def test_all_that_a_registration_needs_is_made_for_its_owner_alone(tmp_path: Path, quick: None) -> None:
    folder = tmp_path / "certs"
    keys.make(folder)
    assert keys.missing(folder) == ()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    for private, public in keys.PAIRS:
        key = RSA.import_key((folder / private).read_bytes())
        assert key.has_private()
        assert RSA.import_key((folder / public).read_bytes()) == key.public_key()
    prime = prime_in(folder / keys.PARAMETERS)
    assert prime.bit_length() == 160
    assert prime % 24 == 23
    assert isPrime(prime)
    assert isPrime(prime // 2)


def test_what_is_there_is_kept_and_only_the_rest_is_made(tmp_path: Path, quick: None) -> None:
    have_keys(tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in keys.FILES}
    (tmp_path / keys.PUBLIC_ENCRYPTION).unlink()
    keys.make(tmp_path)
    after = {name: (tmp_path / name).read_bytes().strip() for name in keys.FILES}
    assert after == {name: content.strip() for name, content in before.items()}


def test_a_public_key_without_its_private_one_is_put_aside(tmp_path: Path, quick: None) -> None:
    have_keys(tmp_path)
    orphan = (tmp_path / keys.PUBLIC_SIGNATURE).read_bytes()
    (tmp_path / keys.PRIVATE_SIGNATURE).unlink()
    keys.make(tmp_path)
    (kept,) = tmp_path.glob(f"before-*/{keys.PUBLIC_SIGNATURE}")
    assert kept.read_bytes() == orphan
    assert (tmp_path / keys.PUBLIC_SIGNATURE).read_bytes() != orphan


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_reads_what_is_made(tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "PRIME_BITS", 512)  # openssl refuses smaller ones
    keys.make(tmp_path)
    for command in (
        ["openssl", "dhparam", "-in", keys.PARAMETERS, "-check", "-noout"],
        ["openssl", "rsa", "-in", keys.PRIVATE_SIGNATURE, "-check", "-noout"],
        ["openssl", "rsa", "-pubin", "-in", keys.PUBLIC_SIGNATURE, "-noout"],
    ):
        assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0


def test_the_work_tells_how_far_it_is_and_ends_when_it_is_stopped(tmp_path: Path) -> None:
    keys.start(tmp_path)
    try:
        assert keys.is_making(tmp_path)
        assert keys.progress(tmp_path).file == keys.PRIVATE_SIGNATURE
        keys.start(tmp_path)  # there is one at it already
    finally:
        keys.stop(tmp_path)
    assert not keys.is_making(tmp_path)
    assert keys.PARAMETERS in keys.missing(tmp_path)


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be written to: Not a directory"):
        keys.start(tmp_path / "file" / "certs")
