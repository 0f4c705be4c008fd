"""One client's stay in a session: keys, RTSP handshake, control stream, pictures and sound.

A stay begins with launch or resume and ends when the client leaves, vanishes or comes back with
new keys. The session and its stage outlive it.
"""

from __future__ import annotations

import enum
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from earthshine.protocols.moonlight.control import (
    ControlError,
    InputMessage,
    Message,
    decode_client_message,
    encode_message,
)
from earthshine.protocols.moonlight.control_cipher import (
    ControlCipher,
    ControlCipherError,
    IvScheme,
)
from earthshine.protocols.moonlight.handshake import Announced, HostHandshake, HostOffer
from earthshine.protocols.moonlight.input import InputError
from earthshine.protocols.moonlight.rtsp import (
    Role,
    RtspCipher,
    RtspError,
    SealedMessage,
    parse_request,
)
from earthshine.protocols.moonlight.sdp import Announce, Encryption
from earthshine.runner.desktops.moonlight_host.held import HeldInput
from earthshine.runner.desktops.moonlight_host.sound import SoundSender
from earthshine.runner.desktops.moonlight_host.video import VideoSender

if TYPE_CHECKING:
    import asyncio
    import socket

    from earthshine.net.moonlight.datagrams import Address
    from earthshine.protocols.moonlight.launch import StreamKeys
    from earthshine.runner.desktops.moonlight_host.stage import Stage

log = logging.getLogger(__name__)


class Media(enum.Enum):
    """The two media ports."""

    VIDEO = "video"
    AUDIO = "audio"


@dataclass(slots=True)
class ConnectionCounters:
    """What came from one client."""

    inputs: int = 0
    refused_inputs: int = 0
    """From a client that may only look."""
    damaged: int = 0
    """Control packets that did not decrypt or could not be read."""


class Connection:
    """See the module. ``encrypted``: RTSP is, and plain messages are not for this session."""

    def __init__(
        self, keys: StreamKeys, offer: HostOffer, address: str, *, encrypted: bool, may_input: bool
    ) -> None:
        self.keys = keys
        self.connect_data = offer.connect_data
        self.ping_payload = offer.ping_payload.encode("ascii")
        self.address = address
        self.may_input = may_input
        self.counters = ConnectionCounters()
        self.announce: Announce | None = None
        self.peer: int | None = None
        self.video: VideoSender | None = None
        self.sound: SoundSender | None = None
        self.expiry: asyncio.TimerHandle | None = None
        self.plain_port: int | None = None
        self.closed = False
        self._handshake = HostHandshake(offer)
        self._rtsp = RtspCipher(keys.key, Role.HOST) if encrypted else None
        self._control: ControlCipher | None = None
        self._held: HeldInput | None = None

    # -- RTSP -------------------------------------------------------------------------------------

    def open_rtsp(self, message: SealedMessage) -> bytes | None:
        """The plain message, if it is sealed with this connection's key."""
        if self._rtsp is None:
            return None
        try:
            return self._rtsp.open(message)
        except RtspError:
            return None

    def answer_rtsp(self, plain: bytes) -> tuple[bytes, Announce | None]:
        """The answer's bytes, and what the client announced if it did. Raises RtspError."""
        reply = self._handshake.receive(parse_request(plain))
        wire = reply.response.encode()
        announced = next((e.announce for e in reply.events if isinstance(e, Announced)), None)
        return (self._rtsp.seal(wire) if self._rtsp else wire), announced

    # -- media ------------------------------------------------------------------------------------

    def arm(
        self,
        announce: Announce,
        video: socket.socket,
        audio: socket.socket,
        fec_percent: int,
    ) -> None:
        """The client decided: make what sends to it. Raises VideoError."""
        self.announce = announce
        v2 = bool(announce.encryption & Encryption.CONTROL_V2)
        scheme = IvScheme.V2 if v2 else IvScheme.LEGACY
        self._control = ControlCipher(self.keys.key, Role.HOST, scheme)
        self.sound = SoundSender(audio, announce, self.keys)
        self.video = VideoSender(video, announce, self.keys.key, fec_percent)
        self.video.start()

    def aim(self, media: Media, address: Address) -> None:
        """A ping said where the client listens."""
        target = self.video if media is Media.VIDEO else self.sound
        if target is not None and not self.closed:
            target.aim(address)

    def show(self, stage: Stage) -> None:
        """Pictures, sound and input are of this stage from now on. Raises StageError."""
        if self.closed or self.announce is None or self.video is None or self.sound is None:
            return
        producer = stage.producer(self.announce.codec)
        if self._held is not None:
            self._held.release()
        self._held = HeldInput(stage.input)
        self.video.watch(producer)
        self.sound.listen(stage.audio)

    # -- control ----------------------------------------------------------------------------------

    def receive(self, packet: bytes) -> Message | None:
        """A packet of the control stream: input is done here; other messages are returned.

        What does not decrypt or cannot be read is counted and dropped.
        """
        if self._control is None or self.closed:
            return None
        try:
            message = decode_client_message(self._control.open(packet))
        except (ControlCipherError, ControlError, InputError) as error:
            self.counters.damaged += 1
            log.debug("a control packet was dropped: %s", error)
            return None
        if isinstance(message, InputMessage):
            if not self.may_input:
                self.counters.refused_inputs += 1
            elif self._held is not None:
                self.counters.inputs += 1
                self._held.handle(message.event)
            return None
        return message

    def sealed(self, message: Message) -> bytes | None:
        """``message`` as the client's control stream wants it; None before ANNOUNCE."""
        return None if self._control is None else self._control.seal(encode_message(message))

    def release(self) -> None:
        """Let go of what the client holds down, and take nothing more from it."""
        self.closed = True
        if self.expiry is not None:
            self.expiry.cancel()
            self.expiry = None
        if self._held is not None:
            self._held.release()
            self._held = None

    def close(self) -> None:
        """Stop sending. Blocks for a moment: call it off the event loop, after `release`."""
        if self.video is not None:
            self.video.close()
        if self.sound is not None:
            self.sound.close()


@dataclass(slots=True)
class Lookup:
    """Connections by what clients show: nothing here is an address."""

    by_data: dict[int, Connection] = field(default_factory=dict)
    by_payload: dict[bytes, Connection] = field(default_factory=dict)
    by_peer: dict[int, Connection] = field(default_factory=dict)

    def add(self, connection: Connection) -> None:
        """Let it be found."""
        self.by_data[connection.connect_data] = connection
        self.by_payload[connection.ping_payload] = connection

    def remove(self, connection: Connection) -> None:
        """Let it not be found any more."""
        self.by_data.pop(connection.connect_data, None)
        self.by_payload.pop(connection.ping_payload, None)
        if connection.peer is not None:
            self.by_peer.pop(connection.peer, None)
