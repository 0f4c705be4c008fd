"""Where the identity lies: keychain first, else sealed; and the note beside the state."""

import json

import pytest

from earthshine.runner.identity.keychain import Keychain
from earthshine.runner.identity.record import BadRecordError, decode, encode
from earthshine.runner.identity.store import NOTE, SEALED, IdentityStore
from tests.unit.runner.identity.fakes import FakeBackend, identity

AT = "2026-01-01T00:00:00+00:00"


def store(tmp_path, backend=None, data="data"):
    keychain = Keychain("account", backend or FakeBackend(priority=0))
    return IdentityStore(tmp_path / "state", tmp_path / data, keychain=keychain)


def test_a_machine_that_is_not_paired_has_nothing(tmp_path):
    here = store(tmp_path)
    assert here.note() is None
    assert here.load() is None
    here.end("whatever")
    here.delete()
    assert not (tmp_path / "state").exists()


def test_the_keychain_comes_first(tmp_path):
    backend = FakeBackend()
    here = store(tmp_path, backend)
    assert here.found(identity(), AT, "auto").store == "keyring"
    assert store(tmp_path, backend).load() == identity(access_until=here.load().access_until)
    assert not (tmp_path / "state" / SEALED).exists()
    assert len(backend.entries) == 1, "the probe is gone"
    here.delete()
    assert backend.entries == {}
    assert here.load() is None


@pytest.mark.parametrize(
    "backend", [FakeBackend(priority=0), FakeBackend(priority=0.5), FakeBackend(locked=True)]
)
def test_without_a_good_one_the_file_does(tmp_path, backend):
    """Priority 0 fails always, 0.5 keeps plain text in a file."""
    here = store(tmp_path, backend)
    assert here.found(identity(), AT, "auto").store == "file"
    assert backend.entries == {}
    assert store(tmp_path, backend).load().refresh_token == "the-refresh-token"
    with pytest.raises(BadRecordError, match="no keychain"):
        store(tmp_path / "other", backend).found(identity(), AT, "keyring")


def test_a_file_can_be_asked_for(tmp_path):
    backend = FakeBackend()
    assert store(tmp_path, backend).found(identity(), AT, "file").store == "file"
    assert backend.entries == {}


def test_a_keychain_that_is_locked_later_says_so(tmp_path):
    backend = FakeBackend()
    here = store(tmp_path, backend)
    here.found(identity(), AT, "auto")
    backend.locked = True
    for action in (here.load, lambda: here.save(identity())):
        with pytest.raises(BadRecordError, match="unlock it"):
            action()
    backend.locked = False
    backend.entries.clear()
    with pytest.raises(BadRecordError, match="pair this machine again"):
        here.load()


def test_new_tokens_go_where_the_old_ones_were(tmp_path):
    here = store(tmp_path)
    here.found(identity(), AT, "auto")
    here.save(identity(refresh_token="the-next-one"))
    assert store(tmp_path).load().refresh_token == "the-next-one"
    here.delete()
    with pytest.raises(BadRecordError, match="not paired"):
        here.save(identity())


def test_the_note_holds_no_secret(tmp_path):
    here = store(tmp_path)
    here.found(identity(), AT, "auto")
    text = (tmp_path / "state" / NOTE).read_text()
    note = json.loads(text)
    assert (note["store"], note["runnerId"], note["fingerprint"]) == (
        "file",
        "runner0001",
        identity().fingerprint,
    )
    for secret in (identity().private_key, "the-refresh-token", "the-access-token"):
        assert secret not in text
        for path in (tmp_path / "state").iterdir():
            assert secret.encode() not in path.read_bytes()


def test_that_it_has_ended_is_remembered(tmp_path):
    here = store(tmp_path)
    here.found(identity(), AT, "auto")
    here.end("it was revoked")
    assert store(tmp_path).note().ended == "it was revoked"


def test_the_key_is_never_beside_what_it_opens(tmp_path):
    here = store(tmp_path, data="state")
    here.found(identity(), AT, "file")
    assert {path.name for path in (tmp_path / "state").iterdir()} == {NOTE, SEALED}
    assert here.load() is not None


@pytest.mark.parametrize("text", ["", "{}", "[]", "\x00", '{"store":"elsewhere"}'])
def test_a_note_that_cannot_be_read_is_an_error_in_words(tmp_path, text):
    here = store(tmp_path)
    here.found(identity(), AT, "auto")
    (tmp_path / "state" / NOTE).write_text(text)
    with pytest.raises(BadRecordError, match="cannot be read"):
        here.note()


@pytest.mark.parametrize(
    "changed",
    [{"version": 2}, {"private_key": "short"}, {"url": "ftp://x"}, {"url": ""}],
)
def test_a_record_that_makes_no_sense_is_refused(changed):
    with pytest.raises(BadRecordError):
        decode(encode(identity(**changed)))
    with pytest.raises(BadRecordError):
        decode(b"\xff")
