"""The subset of ENet 1.3 below the control stream: reliable, ordered channels over UDP.

``events`` names what happens, ``wire`` reads and writes datagrams, ``channel`` restores order,
``peer`` is one connection with its acknowledgements and timers, ``endpoints`` are the two roles:
`EnetServer` with a table of peers and
`EnetClient` with one.

Times are whole milliseconds on any monotonic clock. Not implemented, because no GameStream peer
uses it: checksums, compression, bandwidth throttling, and sending unreliable fragments.
"""

from earthshine.protocols.moonlight.enet.endpoints import EnetClient, EnetServer, PeerEvent
from earthshine.protocols.moonlight.enet.events import (
    Connected,
    Delivery,
    Disconnected,
    EnetEvent,
    EnetSettings,
    Reason,
    Received,
)
from earthshine.protocols.moonlight.enet.wire import EnetError

__all__ = [
    "Connected",
    "Delivery",
    "Disconnected",
    "EnetClient",
    "EnetError",
    "EnetEvent",
    "EnetServer",
    "EnetSettings",
    "PeerEvent",
    "Reason",
    "Received",
]
