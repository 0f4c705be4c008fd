"""Where `earthshine login` keeps its token."""

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.errors import KeyringError, PasswordDeleteError

from earthshine.cli import logins
from earthshine.cli.logins import Login

HERE = Login("https://earth.example", "the token")


class FakeKeyring(KeyringBackend):
    """A keyring in memory."""

    priority = 1.0

    def __init__(self):
        super().__init__()
        self.kept = {}

    def get_password(self, service, username):
        return self.kept.get((service, username))

    def set_password(self, service, username, password):
        self.kept[service, username] = password

    def delete_password(self, service, username):
        if (service, username) not in self.kept:
            raise PasswordDeleteError
        del self.kept[service, username]


class LockedKeyring(FakeKeyring):
    """One that its owner does not open."""

    def set_password(self, service, username, password):
        raise KeyringError("locked")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("EARTHSHINE_CONFIG", str(tmp_path / "config" / "earthshine.toml"))
    return tmp_path / "config"


@pytest.fixture
def use():
    before = keyring.get_keyring()
    yield keyring.set_keyring
    keyring.set_keyring(before)


def test_in_the_keyring_where_there_is_one(folder, use):
    ring = FakeKeyring()
    use(ring)
    assert logins.load() is None
    assert logins.save(HERE) == "keyring"
    assert HERE.token not in (folder / "login.json").read_text()
    assert logins.load() == HERE
    other = Login("https://other.example", "another")
    logins.save(other)
    assert list(ring.kept) == [("earthshine", other.url)], "the former is forgotten"
    logins.forget()
    assert ring.kept == {}
    assert logins.load() is None


def test_in_a_private_file_where_there_is_none(folder, use):
    use(LockedKeyring())
    assert logins.save(HERE) == "file"
    path = folder / "login.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert logins.load() == HERE
    logins.forget()
    assert not path.exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"url": 1}', '{"url": "x", "store": "file"}'])
def test_a_file_that_makes_no_sense_is_no_login(folder, use, text):
    use(FakeKeyring())
    folder.mkdir()
    (folder / "login.json").write_text(text)
    assert logins.load() is None
    logins.forget()
