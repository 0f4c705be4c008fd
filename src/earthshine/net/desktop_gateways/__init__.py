"""Desktops in a browser: drivers between a desktop server's stream and a browser's WebSocket.

Each gateway is made for one viewer, run once, and owns the server's stream from then on. `run`
returns how it ended or raises GatewayError, having told the browser in the protocol's own way;
closing the WebSocket (with the error's `close`) is left to whoever accepted it.
"""

from .browser import AsgiBrowser, BinaryBrowser, BrowserLeftError, TextBrowser
from .guacd import GuacamoleGateway
from .outcome import Ending, GatewayError, Part, until_one_ends
from .rdp import AdmissionRefusedError, RdpGateway, RdpTarget, tls_context
from .vnc import VncGateway, tell_refusal

__all__ = [
    "AdmissionRefusedError",
    "AsgiBrowser",
    "BinaryBrowser",
    "BrowserLeftError",
    "Ending",
    "GatewayError",
    "GuacamoleGateway",
    "Part",
    "RdpGateway",
    "RdpTarget",
    "TextBrowser",
    "VncGateway",
    "tell_refusal",
    "tls_context",
    "until_one_ends",
]
