"""The sealed file: what opens it, and what does not."""

import os
import shutil

import pytest

from earthshine.runner.identity.record import BadRecordError
from earthshine.runner.identity.sealed import MAGIC, MAX_FILE, SealedFile, write_durably


@pytest.fixture
def place(tmp_path):
    """State folder, data folder, and a machine's id."""
    (tmp_path / "machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    return tmp_path


def sealed(place, state="state", data="data", machine="machine-id"):
    return SealedFile(
        place / state / "identity.sealed", place / data / "device-secret", (place / machine,)
    )


def test_what_was_saved_can_be_read_here(place):
    assert sealed(place).load() is None
    for text in (b"first", b"", b"second" * 1000):
        sealed(place).save(text)
        assert sealed(place).load() == text
    sealed(place).delete()
    sealed(place).delete()
    assert sealed(place).load() is None


def test_only_the_owner_can_read_either_file(place):
    sealed(place).save(b"secret")
    for path in (place / "state" / "identity.sealed", place / "data" / "device-secret"):
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700


def test_the_text_is_nowhere_in_the_file_and_never_sealed_twice_alike(place):
    sealed(place).save(b"the-refresh-token")
    first = (place / "state" / "identity.sealed").read_bytes()
    sealed(place).save(b"the-refresh-token")
    second = (place / "state" / "identity.sealed").read_bytes()
    assert b"the-refresh-token" not in first
    assert first[:6] == second[:6] == MAGIC
    assert first[6:34] != second[6:34], "salt and nonce are fresh"


def test_a_copied_state_folder_does_not_open(place):
    sealed(place).save(b"secret")
    shutil.copytree(place / "state", place / "copy")
    with pytest.raises(BadRecordError, match="another machine"):
        sealed(place, state="copy", data="their-data").load()
    sealed(place, state="other", data="their-data").save(b"theirs")
    with pytest.raises(BadRecordError, match="another machine"):
        sealed(place, state="copy", data="their-data").load()


def test_a_copied_home_does_not_open_on_another_machine(place):
    sealed(place).save(b"secret")
    (place / "other-id").write_text("fedcba9876543210fedcba9876543210\n")
    for machine in ("other-id", "no-such-file"):
        with pytest.raises(BadRecordError, match="another machine"):
            sealed(place, machine=machine).load()


def test_a_machine_without_an_id_says_so(place):
    assert sealed(place).is_bound_to_machine
    without = sealed(place, machine="no-such-file")
    assert not without.is_bound_to_machine
    without.save(b"secret")
    assert without.load() == b"secret"


def test_every_changed_byte_is_noticed(place):
    sealed(place).save(b"secret")
    path = place / "state" / "identity.sealed"
    good = path.read_bytes()
    for index in range(len(good)):
        path.write_bytes(good[:index] + bytes([good[index] ^ 1]) + good[index + 1 :])
        with pytest.raises(BadRecordError):
            sealed(place).load()


@pytest.mark.parametrize("data", [b"", MAGIC, b"x" * 100, MAGIC + b"x" * 28, b"x" * (MAX_FILE + 9)])
def test_what_is_no_sealed_file_is_refused(place, data):
    sealed(place).save(b"secret")
    (place / "state" / "identity.sealed").write_bytes(data)
    with pytest.raises(BadRecordError):
        sealed(place).load()


@pytest.mark.parametrize("text", ["", "!!!", "c2hvcnQ="])
def test_a_device_secret_that_is_none_is_refused_and_not_replaced(place, text):
    sealed(place).save(b"secret")
    (place / "data" / "device-secret").write_text(text)
    for action in (sealed(place).load, lambda: sealed(place).save(b"new")):
        with pytest.raises(BadRecordError):
            action()
    assert (place / "data" / "device-secret").read_text() == text


def test_a_device_secret_that_others_can_read_is_refused(place):
    sealed(place).save(b"secret")
    (place / "data" / "device-secret").chmod(0o640)
    with pytest.raises(BadRecordError, match="chmod 600"):
        sealed(place).load()


def test_writing_is_all_or_nothing(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_durably(path, b"old")

    def fails(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match="No space"):
        write_durably(path, b"new")
    assert path.read_bytes() == b"old"
    monkeypatch.undo()
    write_durably(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]
