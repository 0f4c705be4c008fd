"""Sound to one client: Opus packets with parity, sent on the source's thread."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from earthshine.protocols.moonlight.audio import AudioCipher, AudioError, AudioPacketiser
from earthshine.protocols.moonlight.sdp import STEREO_LAYOUT, Announce, OpusLayout

if TYPE_CHECKING:
    import socket

    from earthshine.net.moonlight.datagrams import Address
    from earthshine.protocols.moonlight.launch import StreamKeys
    from earthshine.runner.desktops.moonlight_host.stage import AudioSource, Subscription

log = logging.getLogger(__name__)


class SoundSender:
    """One client's sound. `aim` it at an address, `listen` to a source, `close` it."""

    def __init__(self, sock: socket.socket, announce: Announce, keys: StreamKeys) -> None:
        cipher = AudioCipher(keys.key, keys.key_id) if announce.audio_encrypted else None
        self.packets = 0
        self._socket = sock
        self._announce = announce
        self._duration = announce.audio_packet_ms
        self._packetiser = AudioPacketiser(self._duration, cipher)
        self._lock = threading.Lock()
        self._address: Address | None = None
        self._source: AudioSource | None = None
        self._subscription: Subscription | None = None

    def aim(self, address: Address) -> None:
        """Send there from now on."""
        with self._lock:
            self._address = address

    def listen(self, source: AudioSource | None) -> None:
        """Take sound from there from now on; None: silence."""
        with self._lock:
            old, self._subscription = self._subscription, None
            self._source = source
        if old is not None:
            old.close()
        if source is None:
            return
        layout = self._layout(source)
        subscription = source.subscribe(
            layout, self._duration, lambda opus: self._send(source, opus)
        )
        with self._lock:
            if self._source is source:
                self._subscription = subscription
                return
        subscription.close()

    def close(self) -> None:
        """Stop; nothing is sent afterwards."""
        self.listen(None)

    def _layout(self, source: AudioSource) -> OpusLayout:
        wanted = (self._announce.channels, self._announce.high_quality_audio)
        for layout, high_quality in source.layouts:
            if (layout.channels, high_quality) == wanted:
                return layout
        return STEREO_LAYOUT

    def _send(self, source: AudioSource, opus: bytes) -> None:
        with self._lock:
            if self._address is None or self._source is not source:
                return
            try:
                packets = self._packetiser.packetise(opus)
            except AudioError as error:
                log.warning("a packet of sound could not be sent: %s", error)
                return
            for packet in packets:
                try:
                    self._socket.sendto(packet, self._address)
                except OSError as error:  # full, or nobody there: the next one may go
                    log.debug("a packet of sound could not be sent: %s", error)
            self.packets += 1
