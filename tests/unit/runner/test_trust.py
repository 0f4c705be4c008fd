import ssl

import pytest

from earthshine.net.pinning import PinnedContext
from earthshine.runner.settings import RunnerSettings
from earthshine.runner.trust import TrustError, connection_context

PIN = "sha256:" + "A" * 43


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:7180", "http://localhost", "http://[::1]:1", "ws://127.1.2.3"]
)
def test_on_this_machine_plain_http_will_do(url):
    assert connection_context(RunnerSettings(url=url)) is None


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.1:7180",
        "http://earth.example",
        "ws://earth.example",
        "http://127.0.0.1.nip.io",
    ],
)
def test_over_a_network_it_will_not(url):
    with pytest.raises(TrustError, match=r"could be read.*EARTHSHINE_RUNNER_ALLOW_PLAIN_HTTP"):
        connection_context(RunnerSettings(url=url))
    assert connection_context(RunnerSettings(url=url, allow_plain_http=True)) is None


def test_a_pin_wants_tls():
    for url in ("http://127.0.0.1", "http://earth.example"):
        with pytest.raises(TrustError, match="needs an https address"):
            connection_context(RunnerSettings(url=url, pin=PIN, allow_plain_http=True))


def test_a_pin_replaces_authorities():
    context = connection_context(RunnerSettings(url="https://earth.example", pin=PIN))
    assert isinstance(context, PinnedContext)
    context = connection_context(RunnerSettings(url="https://earth.example"))
    assert context is not None
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"pin": "sha256:short"}, "EARTHSHINE_RUNNER_PIN: a pin is"),
        ({"ca_file": "/no/such.pem"}, "EARTHSHINE_RUNNER_CA_FILE: /no/such.pem cannot be used"),
        ({"ca_file": "/dev/null"}, "EARTHSHINE_RUNNER_CA_FILE: /dev/null cannot be used"),
    ],
)
def test_what_is_wrong_is_said_with_the_settings_name(settings, words):
    with pytest.raises(TrustError, match=words):
        connection_context(RunnerSettings(url="https://earth.example", **settings))
