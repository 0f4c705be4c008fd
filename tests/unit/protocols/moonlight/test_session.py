"""A whole session between our host and our client, every byte through both: a play in six acts."""

import random
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from earthshine.protocols.moonlight import applist, control, launch, serverinfo
from earthshine.protocols.moonlight.audio import (
    AudioCipher,
    AudioDepacketiser,
    AudioPacketiser,
    AudioReceived,
)
from earthshine.protocols.moonlight.certificates import Identity, PairedCertificates
from earthshine.protocols.moonlight.control_cipher import ControlCipher, IvScheme
from earthshine.protocols.moonlight.depacketiser import VideoDepacketiser
from earthshine.protocols.moonlight.enet import (
    Connected,
    Disconnected,
    EnetClient,
    EnetServer,
    Reason,
    Received,
)
from earthshine.protocols.moonlight.handshake import (
    Announced,
    ClientHandshake,
    HostHandshake,
    HostOffer,
    StreamSetup,
    Wishes,
)
from earthshine.protocols.moonlight.input import KeyEvent, TextTyped
from earthshine.protocols.moonlight.loss import Deliver, EncoderFeedback, LossRecovery
from earthshine.protocols.moonlight.pairing_client import (
    HostPaired,
    PairingClient,
    RequestNeeded,
)
from earthshine.protocols.moonlight.pairing_host import (
    ClientName,
    ClientPaired,
    PairingHost,
    PhaseAnswered,
    PinRequested,
)
from earthshine.protocols.moonlight.ping import MediaPing, parse_ping
from earthshine.protocols.moonlight.query import parse_target
from earthshine.protocols.moonlight.rtsp import (
    MessageReader,
    Role,
    RtspCipher,
    SealedMessage,
    parse_request,
    parse_response,
)
from earthshine.protocols.moonlight.sdp import Codec, Describe, Encryption
from earthshine.protocols.moonlight.video import FrameType, VideoCipher, VideoPacketiser

ENCRYPTIONS = [Encryption.NONE, Encryption.CONTROL_V2, Encryption.ALL]


class Play:
    """The two actors and what they know of each other."""

    def __init__(self, recording: Any, seed: int):
        self.random = random.Random(seed)
        good = recording("pairing.json")
        self.host_identity = self.identity(
            good["host_cert_pem"], good["host_private_key_pkcs8_der_hex"]
        )
        transcript = good["transcripts"][0]
        self.client_identity = self.identity(
            transcript["client_cert_pem"], transcript["client_key_pkcs8_der_hex"]
        )
        self.paired = PairedCertificates()
        self.key = self.random.randbytes(16)
        self.key_id = self.random.randint(-(2**31), 2**31 - 1)

    @staticmethod
    def identity(pem: str, key: str) -> Identity:
        loaded = serialization.load_der_private_key(bytes.fromhex(key), None)
        text = loaded.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return Identity.from_pem(pem.encode(), text)

    def pair(self) -> None:
        host = PairingHost(self.host_identity, self.random.randbytes)
        client = PairingClient(self.client_identity, "0815", self.random.randbytes)
        name = ClientName("192.0.2.1", "0123456789ABCDEF")
        [step] = client.begin()
        while isinstance(step, RequestNeeded):
            presented = self.client_identity.certificate.der if step.secure else None
            known = self.paired.find(presented) is not None
            asked = parse_target(step.request.target)
            events = host.receive(name, asked, 0.0, certificate_known=known)
            if isinstance(events[0], PinRequested):
                events = host.enter_pin(events[0].attempt, "0815", 5.0)
            for event in events:
                if isinstance(event, ClientPaired):
                    self.paired.add(event.certificate)
            [answer] = [event.xml for event in events if isinstance(event, PhaseAnswered)]
            [step] = client.receive(answer)
        assert isinstance(step, HostPaired)
        assert step.certificate == self.host_identity.certificate

    def start(self, *, encrypted: bool) -> launch.SessionUrl:
        """Host information, the list, and the launch, as XML through both ends."""
        assert self.paired.find(self.client_identity.certificate.der)
        info = serverinfo.parse_server_info(
            serverinfo.ServerInfo("host", "uuid", paired=True).encode()
        )
        app = applist.parse_app_list(applist.build_app_list([applist.App(7, "Session")]))[0]
        start = launch.choose_start(info, app.id)
        assert start is launch.Start.LAUNCH
        keys = launch.StreamKeys(self.key, self.key_id)
        asked = launch.LaunchRequest(keys, app_id=app.id, core_version=1)
        read = launch.parse_launch(parse_target(asked.encode(bytes(16)).target))
        assert read == asked
        url = launch.SessionUrl("192.0.2.9", encrypted=encrypted and read.encrypted_rtsp)
        body = launch.build_launch_answer(url, resume=False)
        return launch.parse_launch_answer(body, resume=False, address="192.0.2.9")

    def agree(
        self, url: launch.SessionUrl, encryption: Encryption
    ) -> tuple[StreamSetup, Announced]:
        """The RTSP handshake, sealed if the URL says so."""
        offer = HostOffer(
            Describe(encryption_supported=encryption, reference_invalidation=True),
            "SESSION",
            "fedcba9876543210",
            0xCAFE,
        )
        wishes = Wishes(1280, 720, 60, 10_000, encryption=encryption, reference_invalidation=True)
        host = HostHandshake(offer)
        client = ClientHandshake(url, wishes)
        host_cipher = RtspCipher(self.key, Role.HOST)
        client_cipher = RtspCipher(self.key, Role.CLIENT)
        announced = None
        step: Any = client.begin()
        while not isinstance(step, StreamSetup):
            wire = step.encode()
            message = MessageReader().feed(client_cipher.seal(wire) if url.encrypted else wire)
            assert message is not None
            sealed = isinstance(message, SealedMessage)
            assert sealed == url.encrypted
            plain = host_cipher.open(message) if isinstance(message, SealedMessage) else message
            reply = host.receive(parse_request(plain))
            announced = next((e for e in reply.events if isinstance(e, Announced)), announced)
            wire = reply.response.encode()
            reader = MessageReader(1 << 20, until_close=True)
            reader.feed(host_cipher.seal(wire) if sealed else wire)
            answer = reader.close()
            if isinstance(answer, SealedMessage):
                answer = client_cipher.open(answer)
            step = client.receive(parse_response(answer))
        assert announced is not None
        assert announced.announce == step.announce
        return step, announced


class ControlStream:
    """Both ends of the control stream with a perfect network between them."""

    def __init__(self, play: Play, setup: StreamSetup):
        # What the host admits is what it handed out in RTSP.
        self.server: EnetServer[str] = EnetServer(admit=lambda _, data: data == 0xCAFE)
        self.client = EnetClient(99, setup.connect_data, 0)
        v2 = bool(setup.announce.encryption & Encryption.CONTROL_V2)
        scheme = IvScheme.V2 if v2 else IvScheme.LEGACY
        self.host_cipher = ControlCipher(play.key, Role.HOST, scheme)
        self.client_cipher = ControlCipher(play.key, Role.CLIENT, scheme)
        self.now = 0

    def exchange(self) -> tuple[list[Any], list[Any]]:
        """What happened at the host and at the client until both are quiet."""
        at_host: list[Any] = []
        at_client: list[Any] = []
        for _ in range(6):
            self.now += 1
            for data in self.client.poll(self.now):
                self.server.receive("client", data, self.now)
            for _, data in self.server.poll(self.now):
                self.client.receive(data, self.now)
            at_host += [entry.event for entry in self.server.events()]
            at_client += self.client.events()
        return at_host, at_client

    def say(self, message: control.Message, *, starting: bool = False) -> None:
        channel, delivery = control.route(message, starting=starting)
        sealed = self.client_cipher.seal(control.encode_message(message))
        self.client.send(channel, sealed, delivery)

    def heard(self) -> list[control.Message]:
        return [
            control.decode_client_message(self.host_cipher.open(event.data))
            for event in self.exchange()[0]
            if isinstance(event, Received)
        ]


def watch(play: Play, setup: StreamSetup, announced: Announced, stream: ControlStream) -> list[int]:
    """Forty frames, two of them lost; the host answers what the client asks. Frames shown."""
    encrypted = bool(setup.announce.encryption & Encryption.VIDEO)
    packetiser = VideoPacketiser(
        announced.announce.packet_size,
        min_fec_packets=announced.announce.min_fec_packets,
        cipher=VideoCipher(play.key) if encrypted else None,
    )
    receiving = VideoDepacketiser(
        setup.announce.packet_size,
        setup.announce.codec,
        VideoCipher(play.key) if encrypted else None,
    )
    recovery = LossRecovery(reference_invalidation=setup.offer.reference_invalidation)
    feedback = EncoderFeedback(reference_invalidation=True)
    shown: list[int] = []
    for number in range(1, 41):
        frame_type = feedback.next_frame(number).type
        kind = b"\x67" if frame_type is FrameType.IDR else b"\x41"
        unit = b"\0\0\0\1" + kind + play.random.randbytes(4000)
        cut = packetiser.packetise(
            unit, frame=number, frame_type=frame_type, timestamp=number * 1500
        )
        arriving = list(cut)[4 if number in (10, 20) else 0 :]
        events = [event for datagram in arriving for event in receiving.receive(bytes(datagram))]
        for command in (command for event in events for command in recovery.receive(event)):
            if isinstance(command, Deliver):
                shown.append(command.frame.number)
                assert command.frame.data == unit
            else:
                stream.say(command.message)
        for message in stream.heard():
            feedback.receive(message)
    return shown


def listen(play: Play, setup: StreamSetup) -> None:
    """A second of sound; the first half is thrown away."""
    encrypted = setup.announce.audio_encrypted
    assert encrypted == bool(setup.announce.encryption & Encryption.AUDIO)
    duration = setup.announce.audio_packet_ms
    packetiser, receiving = (
        kind(duration, AudioCipher(play.key, play.key_id) if encrypted else None)
        for kind in (AudioPacketiser, AudioDepacketiser)
    )
    assert isinstance(packetiser, AudioPacketiser)
    assert isinstance(receiving, AudioDepacketiser)
    opus = [play.random.randbytes(60) for _ in range(200)]
    packets = [packet for one in opus for packet in packetiser.packetise(one)]
    events = [event for packet in packets for event in receiving.receive(packet, 0)]
    assert [event.opus for event in events if isinstance(event, AudioReceived)] == opus[100:]


@pytest.mark.parametrize("encryption", ENCRYPTIONS)
@pytest.mark.parametrize("encrypted_rtsp", [False, True])
def test_a_whole_session(recording, encryption, encrypted_rtsp):
    play = Play(recording, 1)
    play.pair()
    url = play.start(encrypted=encrypted_rtsp)
    setup, announced = play.agree(url, encryption)
    assert announced.announce.encryption == encryption
    assert announced.announce.codec is Codec.H264

    # The media ports hear who listens.
    ping = parse_ping(MediaPing(setup.video_ping_payload, 1).encode())
    assert ping == MediaPing(b"fedcba9876543210", 1)

    # The control stream connects and carries what a person types.
    stream = ControlStream(play, setup)
    assert stream.exchange() == ([Connected(0xCAFE)], [Connected(0xCAFE)])
    said = [control.RequestIdr(), control.StartB()]
    said += [
        control.InputMessage(event)
        for event in (KeyEvent(0x41, True), KeyEvent(0x41, False), TextTyped("é"))
    ]
    for message in said:
        stream.say(message, starting=True)
    assert stream.heard() == said

    # Pictures and sound.
    shown = watch(play, setup, announced, stream)
    # Each loss shows at the next frame, which is a P frame yet; the one after it is the answer.
    assert [number for number in range(1, 41) if number not in shown] == [10, 11, 20, 21]
    listen(play, setup)

    # The host ends the session, the client leaves at once.
    goodbye = stream.host_cipher.seal(control.encode_message(control.Termination()))
    stream.server.peer(1).send(0, goodbye)
    [farewell] = stream.exchange()[1]
    last = control.decode_host_message(stream.client_cipher.open(farewell.data))
    assert last == control.Termination(control.GRACEFUL)
    stream.client.peer.disconnect_now()
    assert stream.exchange() == (
        [Disconnected(Reason.BY_PEER)],
        [Disconnected(Reason.BY_US)],
    )
