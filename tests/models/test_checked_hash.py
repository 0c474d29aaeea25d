"""Hashing with a zip's checksums in the same pass; hashlib and zipfile are the oracles."""

import hashlib
import zipfile

import pytest
import torch

from pullmatte.errors import WeightsError
from pullmatte.models import checked_hash
from pullmatte.models.checked_hash import hash_checked


@pytest.fixture(params=[1 << 24, 64, 7])
def chunked(request, monkeypatch):
    """Chunks of several sizes, so that records lie across their borders."""
    monkeypatch.setattr(checked_hash, "_CHUNK_BYTES", request.param)


@pytest.fixture
def checkpoint(tmp_path):
    torch.save({"a": torch.arange(300.0), "b": torch.ones(7), "c": torch.zeros(0)}, tmp_path / "x")
    return tmp_path / "x"


def test_the_hash_is_the_file_s(chunked, checkpoint):
    read = []
    assert hash_checked(checkpoint, read.append) == sha256(checkpoint)
    assert sum(read) == checkpoint.stat().st_size


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def crc_faults(path):
    """Names that zipfile finds a wrong checksum for; other faults aren't ours to find."""
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            try:
                archive.read(name)
            except zipfile.BadZipFile as error:
                if "CRC-32" in str(error):
                    yield name


def test_every_flipped_bit_that_zipfile_finds_is_found(checkpoint):
    whole, found = checkpoint.read_bytes(), 0
    with zipfile.ZipFile(checkpoint) as archive:
        listed = archive.start_dir
    for place in range(0, listed, 29):
        checkpoint.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        for name in crc_faults(checkpoint):
            found += 1
            with pytest.raises(WeightsError, match=f"checksum of {name} in it differs; fetch it"):
                hash_checked(checkpoint)
    assert found > 40


def test_files_without_checksums_are_hashed(tmp_path):
    (tmp_path / "x").write_bytes(b"anything")
    assert hash_checked(tmp_path / "x") == sha256(tmp_path / "x")
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"a": torch.ones(3)}, tmp_path / "y")
    finally:
        torch.serialization.set_crc32_options(True)
    assert hash_checked(tmp_path / "y") == sha256(tmp_path / "y")
