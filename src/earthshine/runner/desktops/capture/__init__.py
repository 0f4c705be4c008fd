"""Capturing and encoding one display; `open_capture` picks the library that does it."""

from __future__ import annotations

import logging

from earthshine.runner.desktops.capture.adapter import AccessUnit, Capture, CaptureError, Tuning
from earthshine.runner.desktops.limits import Codec
from earthshine.runner.desktops.x11 import INSTALL

log = logging.getLogger(__name__)


def open_capture(wanted: str, tuning: Tuning, codec: Codec = "h264") -> Capture:
    """`wanted`: auto, pixelflux or pyav. Raises CaptureError where none can be loaded."""
    reasons = []
    if wanted in ("auto", "pixelflux"):
        try:
            from earthshine.runner.desktops.capture.pixelflux_x11 import (  # noqa: PLC0415
                PixelfluxCapture,
            )
        except ImportError as error:
            reasons.append(f"pixelflux: {error}")
        else:
            return PixelfluxCapture(tuning, codec)
    if wanted in ("auto", "pyav"):
        try:
            from earthshine.runner.desktops.capture.pyav import PyAvCapture  # noqa: PLC0415
        except ImportError as error:
            reasons.append(f"PyAV: {error}")
        else:
            return PyAvCapture(tuning, codec)
    raise CaptureError("no encoder can be loaded (" + "; ".join(reasons) + ")", INSTALL)


__all__ = ["AccessUnit", "Capture", "CaptureError", "Tuning", "open_capture"]
