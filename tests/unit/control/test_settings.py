from typing import Any

import pytest
from pydantic import ValidationError

from earthshine.control.settings import ControlSettings, is_loopback, origin
from earthshine.runner.settings import RunnerSettings


@pytest.fixture(autouse=True)
def clean(monkeypatch, tmp_path):
    import os

    for name in list(os.environ):
        if name.startswith("EARTHSHINE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_this_machine_needs_nothing_more(host):
    assert ControlSettings(host=host).host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "box.local", ""])
def test_a_network_needs_a_name_and_tls(host, tmp_path):
    with pytest.raises(ValidationError, match="public_url"):
        ControlSettings(host=host)
    with pytest.raises(ValidationError, match="without TLS"):
        ControlSettings(host=host, public_url="https://earth.example")
    settings = ControlSettings(host=host, public_url="https://earth.example", allow_plain_http=True)
    assert not settings.has_tls
    files = {"tls_certificate": tmp_path / "c", "tls_key": tmp_path / "k"}
    settings = ControlSettings(host=host, public_url="https://earth.example", **files)
    assert settings.has_tls
    with pytest.raises(ValidationError, match="go together"):
        ControlSettings(tls_key=tmp_path / "k")
    with pytest.raises(ValidationError, match="choose either"):
        ControlSettings(tls_self_made=True, **files)
    assert ControlSettings(
        host=host, public_url="https://earth.example", tls_self_made=True
    ).has_tls


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5"])
def test_production_has_no_way_around_tls_on_a_network(host):
    """A setting left over from a trial must not put key strokes on the wire."""
    values: dict[str, Any]
    values = {"mode": "production", "host": host, "public_url": "https://earth.example"}
    for allow in (False, True):
        with pytest.raises(ValidationError, match=r"in production.*without TLS.*tls_self_made"):
            ControlSettings(**values, allow_plain_http=allow)
    assert ControlSettings(**values, tls_self_made=True).has_tls


def test_production_wants_https_in_front_too():
    """A proxy on this machine that serves plain HTTP to the network is no better."""
    for allow in (False, True):
        with pytest.raises(ValidationError, match="begin with https:"):
            ControlSettings(
                mode="production", public_url="http://earth.example", allow_plain_http=allow
            )
    ControlSettings(mode="production", public_url="https://earth.example")
    for url in ("", "http://127.0.0.1:7180", "http://localhost:7180"):
        assert ControlSettings(mode="production", public_url=url).mode == "production"
    assert ControlSettings(public_url="http://earth.example").mode == "development"


@pytest.mark.parametrize("url", ["earth.example", "ftp://earth.example", "https://"])
def test_an_address_that_is_none(url):
    with pytest.raises(ValidationError, match="is not an http or https address"):
        ControlSettings(public_url=url)


def test_a_server_with_tls_is_not_announced_without():
    with pytest.raises(ValidationError, match="begin it with https:"):
        ControlSettings(tls_self_made=True, public_url="http://127.0.0.1:7180")


@pytest.mark.parametrize(
    "text", ["10.0.0.0/8,fd00::1", '["10.0.0.0/8", "fd00::1"]', " 10.0.0.0/8 , fd00::1/128,"]
)
def test_proxies_from_the_environment(monkeypatch, text):
    monkeypatch.setenv("EARTHSHINE_TRUSTED_PROXIES", text)
    assert [str(n) for n in ControlSettings().trusted_proxies] == ["10.0.0.0/8", "fd00::1/128"]


@pytest.mark.parametrize("text", ["0.0.0.0/0", "::/0", "10.0.0.1/8", "proxy.example", "[1", "[{}]"])
def test_proxies_that_are_none(monkeypatch, text):
    monkeypatch.setenv("EARTHSHINE_TRUSTED_PROXIES", text)
    with pytest.raises(ValidationError):
        ControlSettings()


def test_the_environment_sets_and_mistakes_are_told(monkeypatch):
    monkeypatch.setenv("EARTHSHINE_PORT", "1234")
    assert ControlSettings().port == 1234
    with pytest.raises(ValidationError):
        ControlSettings(prot=1)  # type: ignore[call-arg]
    with pytest.raises(ValidationError):
        ControlSettings(port=70_000)


def test_secrets_are_not_shown(monkeypatch):
    monkeypatch.setenv("EARTHSHINE_RUNNER_TOKEN", "s3cret")
    assert "s3cret" not in repr(ControlSettings())
    monkeypatch.setenv("EARTHSHINE_RUNNER_NAME", "box")
    settings = RunnerSettings()
    assert settings.name == "box"
    assert "s3cret" not in repr(settings)
    assert settings.token is not None


def test_the_database_is_in_the_state_folder_unless_set(tmp_path):
    settings = ControlSettings(state_dir=tmp_path)
    assert settings.database == f"sqlite+aiosqlite:///{tmp_path}/earthshine.db"
    settings = ControlSettings(database_url="postgresql+asyncpg://a:b@c/d")
    assert settings.database.startswith("postgresql")
    assert "a:b" not in repr(settings)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://a", "http://a"),
        ("http://a:80/x", "http://a"),
        ("https://a:443", "https://a"),
        ("https://A:444/", "https://a:444"),
        ("http://[::1]:7180", "http://[::1]:7180"),
    ],
)
def test_origins_are_written_as_browsers_do(url, expected):
    assert origin(url) == expected


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org", "", "localhost.evil"])
def test_what_is_no_loopback(host):
    assert not is_loopback(host)


@pytest.mark.parametrize("values", [{"spool_limit": 5}, {"overflow": "drop"}, {"nmae": "x"}])
def test_a_runners_mistakes_are_told(values):
    with pytest.raises(ValidationError):
        RunnerSettings(**values)


def test_ports_for_native_clients(monkeypatch):
    assert ControlSettings().desktop.entry_host == "127.0.0.1"
    monkeypatch.setenv("EARTHSHINE_DESKTOP__ENTRY_PORTS", "[20000, 20009]")
    monkeypatch.setenv("EARTHSHINE_DESKTOP__ENTRY_ADDRESS", "desks.example")
    desktop = ControlSettings().desktop
    assert (desktop.entry_ports, desktop.entry_address) == ((20000, 20009), "desks.example")
    for wrong in ("[20009, 20000]", "[0, 5]", "[1, 70000]"):
        monkeypatch.setenv("EARTHSHINE_DESKTOP__ENTRY_PORTS", wrong)
        with pytest.raises(ValidationError, match="first and the last port"):
            ControlSettings()


def test_every_address_is_none_to_connect_to(monkeypatch):
    monkeypatch.setenv("EARTHSHINE_DESKTOP__ENTRY_HOST", "0.0.0.0")
    with pytest.raises(ValidationError, match="entry_address"):
        ControlSettings()
    monkeypatch.setenv("EARTHSHINE_DESKTOP__ENTRY_ADDRESS", "desks.example")
    assert ControlSettings().desktop.entry_host == "0.0.0.0"
