"""What a runner says of its desktops, for what is and is not installed."""

from pathlib import Path

import pytest

from earthshine.runner.desktops import capabilities as c
from earthshine.runner.desktops.capabilities import Capability
from earthshine.runner.desktops.offer import DesktopOffer, offer
from earthshine.runner.desktops.settings import DesktopSettings

LIBRARIES = [
    Capability(c.INPUT, "python-xlib", "Xlib"),
    Capability(c.ENCODER, "pixelflux", None, "the package pixelflux is missing", "install it"),
    Capability(c.ENCODER, "av", "av"),
]


def machine(*programs: str) -> list[Capability]:
    """One on which only these programs are installed."""
    return [*c.programs(which=lambda name: name if name in programs else None), *LIBRARIES]


def with_xrdp(tmp_path: Path, module: str) -> list[Capability]:
    """xrdp, as found in a file system of its own."""
    (tmp_path / "usr/sbin").mkdir(parents=True)
    (tmp_path / "usr/lib/x86_64-linux-gnu/xrdp").mkdir(parents=True)
    (tmp_path / "usr/lib/x86_64-linux-gnu/xrdp" / module).touch()
    program = str(tmp_path / "usr/sbin/xrdp")
    return c.rdp({"xrdp": program}, lambda name: name, tmp_path)


def test_a_machine_that_has_everything(tmp_path):
    said = offer(DesktopSettings(), machine("Xtigervnc", "xrdp") + with_xrdp(tmp_path, "libvnc.so"))
    assert (said["desktop"], said["vnc"], said["rdp"]) == ("", "", "")


def test_without_xrdp_or_its_module_it_says_what_to_install(tmp_path):
    said = offer(DesktopSettings(), machine("Xtigervnc"))
    assert said["vnc"] == ""
    assert "apt-get install xrdp" in said["rdp"]
    said = offer(DesktopSettings(), machine("Xtigervnc", "xrdp") + with_xrdp(tmp_path, "libxup.so"))
    assert "libvnc.so" in said["rdp"]
    assert "apt-get install xrdp" in said["rdp"]


def test_what_vnc_lacks_rdp_lacks_too(tmp_path):
    said = offer(DesktopSettings(), machine("Xvfb", "xrdp") + with_xrdp(tmp_path, "libvnc.so"))
    assert said["rdp"] == said["vnc"] != ""


def test_without_tigervnc_there_are_desktops_but_no_vnc():
    said = offer(DesktopSettings(), machine("Xvfb"))
    assert said["desktop"] == ""
    assert "apt-get install tigervnc-standalone-server" in said["vnc"]


def test_without_a_display_it_says_what_to_install():
    said = offer(DesktopSettings(), machine())
    assert "was not found on PATH" in said["desktop"]
    assert "apt-get install" in said["desktop"]


@pytest.mark.parametrize("library", ["pixelflux", "av", "python-xlib"])
def test_the_library_that_is_asked_for_is_needed(library):
    found = [
        Capability(part.role, part.name, None, f"{part.name} is missing", "install it")
        if part.name == library
        else part
        for part in machine("Xtigervnc")
    ]
    encoder = {"pixelflux": "pixelflux", "av": "pyav"}.get(library, "auto")
    said = offer(DesktopSettings(encoder=encoder), found)
    assert "missing" in said["desktop"].lower()


def test_desktops_can_be_switched_off():
    said = offer(DesktopSettings(backend="off"), machine("Xtigervnc"))
    assert all("switched off" in words for words in said.values())


def test_displays_that_serve_no_vnc():
    assert "xvfb" in offer(DesktopSettings(backend="xvfb"), machine("Xvfb"))["vnc"]


def test_this_machine_is_looked_at_in_a_process_of_its_own():
    said = DesktopOffer(DesktopSettings())
    assert said() == said(), "and only once"
    assert set(said()) == {"desktop", "vnc", "rdp"}
