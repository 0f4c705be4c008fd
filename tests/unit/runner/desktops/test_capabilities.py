"""What is found on a machine, and what to install where it is not."""

from __future__ import annotations

from earthshine.runner.desktops import capabilities
from earthshine.runner.desktops.capabilities import BROWSER, DISPLAY, ENCODER, first


def found_in(*names: str) -> capabilities.Which:
    return lambda name: f"/bin/{name}" if name in names else None


def test_the_first_one_found_is_taken() -> None:
    found = capabilities.programs(which=found_in("Xvnc", "Xvfb"))
    assert first(found, DISPLAY).path == "/bin/Xvnc"
    assert first(found, DISPLAY, "xvfb").path == "/bin/Xvfb"


def test_what_is_missing_names_its_package() -> None:
    missing = first(capabilities.programs(which=found_in()), BROWSER)
    assert not missing.available
    assert "not found" in missing.detail
    assert missing.remedy == "apt-get install chromium"


def test_a_configured_path_goes_first_and_is_not_replaced() -> None:
    found = capabilities.programs({"xvfb": "/opt/xvfb"}, found_in("/opt/xvfb", "Xvfb"))
    assert first(found, DISPLAY, "xvfb").path == "/bin//opt/xvfb"
    found = capabilities.programs({"xvfb": "/opt/xvfb"}, found_in("Xvfb"))
    assert first(found, DISPLAY, "xvfb").remedy == "correct runner.desktop.programs_path.xvfb"


def test_an_unknown_part_is_said_to_be_one() -> None:
    assert (
        "not a known display" in first(capabilities.programs(which=found_in()), DISPLAY, "x").detail
    )


def test_the_survey_knows_libraries_too() -> None:
    names = {part.name for part in capabilities.survey() if part.available}
    assert {"pixelflux", "av", "python-xlib", "pcmflux"} <= names
    assert any(part.role == ENCODER for part in capabilities.survey())
