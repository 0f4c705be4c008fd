"""Audio: recorded packets byte for byte, recorded losses, and the bounds of the reorder queue."""

import random
from typing import Any

import pytest

from earthshine.protocols.moonlight.audio import (
    AudioCipher,
    AudioDepacketiser,
    AudioError,
    AudioEvent,
    AudioMissing,
    AudioPacketiser,
    AudioReceived,
)
from earthshine.protocols.moonlight.ping import MediaPing, PingError, parse_ping

VARIANTS = ["plain", "cbc", "cbc_sequence_wrap", "cbc_surround51", "cbc_10ms"]
KEY = bytes(range(16))


@pytest.fixture(scope="module")
def audio(recording):
    return recording("audio.json")


@pytest.fixture(scope="module")
def octets(recording):
    return recording("audio.bin")


def variant_of(audio: Any, name: str) -> Any:
    return next(variant for variant in audio["variants"] if variant["name"] == name)


def cipher(variant: Any) -> AudioCipher | None:
    if not variant["encrypted"]:
        return None
    return AudioCipher(bytes.fromhex(variant["rikey"]), variant["rikeyid"])


def opus_packets(audio: Any, octets: bytes, variant: Any) -> list[bytes]:
    source = audio["opus_sets"][variant["opus_set"]]
    start, length = source["offset"], source["packet_length"]
    return [octets[start + n * length : start + (n + 1) * length] for n in range(source["count"])]


def datagram(octets: bytes, packet: Any) -> bytes:
    return octets[packet["offset"] : packet["offset"] + packet["length"]]


@pytest.mark.parametrize("name", VARIANTS)
def test_packets_equal_the_recording(name, audio, octets):
    variant = variant_of(audio, name)
    first = variant["packets"][0]["seq"]
    packetiser = AudioPacketiser(
        variant["packet_duration_ms"], cipher(variant), first_sequence=first
    )
    sent = [
        packet
        for opus in opus_packets(audio, octets, variant)
        for packet in packetiser.packetise(opus)
    ]
    assert sent == [datagram(octets, packet) for packet in variant["packets"]]


@pytest.mark.parametrize("name", VARIANTS)
def test_recorded_packets_become_the_opus_that_went_in(name, audio, octets):
    variant = variant_of(audio, name)
    source = opus_packets(audio, octets, variant)
    receiving = AudioDepacketiser(variant["packet_duration_ms"], cipher(variant))
    events = [
        event
        for packet in variant["packets"]
        for event in receiving.receive(datagram(octets, packet), 0)
    ]
    first = variant["packets"][0]["seq"]
    assert len(events) == variant["delivered_count"]
    assert events[0].sequence == variant["first_delivered_seq"]
    assert events[-1].sequence == variant["last_delivered_seq"]
    for event in events:
        assert isinstance(event, AudioReceived)
        assert event.opus == source[(event.sequence - first) & 0xFFFF]
        assert not event.recovered


@pytest.mark.parametrize("name", ["plain_lossy", "cbc_lossy"])
def test_recorded_losses(name, audio, octets):
    delivery = next(d for d in audio["deliveries"] if d["name"] == name)
    variant = variant_of(audio, delivery["packets_of"])
    source = opus_packets(audio, octets, variant)
    receiving = AudioDepacketiser(variant["packet_duration_ms"], cipher(variant))
    events: list[AudioEvent] = []
    for packet in variant["packets"]:
        lost = (
            packet["seq"] in delivery["dropped_data_seqs"]
            if packet["kind"] == "data"
            else [packet["base_seq"], packet["index"]] in delivery["dropped_parity"]
        )
        if not lost:
            events += receiving.receive(datagram(octets, packet), 0)
    heard = [event.sequence if isinstance(event, AudioReceived) else None for event in events]
    assert heard == delivery["delivered"]
    got = [event for event in events if isinstance(event, AudioReceived)]
    assert all(event.opus == source[event.sequence] for event in got)
    assert [event.sequence for event in got if event.recovered] == delivery["recovered_seqs"]


# -- the queue ------------------------------------------------------------------------------------


def stream(count: int, first: int = 0, **more: Any) -> list[list[bytes]]:
    """Per block of four: four data and two parity packets."""
    packetiser = AudioPacketiser(5, first_sequence=first, **more)
    packets = [p for n in range(count) for p in packetiser.packetise(b"opus%04d" % n)]
    return [packets[at : at + 6] for at in range(0, len(packets), 6)]


def listening(**more: Any) -> AudioDepacketiser:
    return AudioDepacketiser(5, skip_ms=0, **more)


def heard(events: list[AudioEvent]) -> list[int | None]:
    return [event.sequence if isinstance(event, AudioReceived) else None for event in events]


def feed(receiving: AudioDepacketiser, packets: list[bytes], now: int = 0) -> list[int | None]:
    return heard([event for packet in packets for event in receiving.receive(packet, now)])


def test_nothing_waits_while_nothing_is_missing():
    receiving = listening()
    for number, packet in enumerate(p for block in stream(40) for p in block[:4]):
        assert feed(receiving, [packet]) == [number]
    assert receiving.deadline is None


def test_doubles_and_overtaking_are_put_right():
    blocks = stream(8)
    receiving = listening()
    order = [0, 2, 1, 1, 3, 0, 4, 5]
    assert feed(receiving, [blocks[0][n] for n in order]) == [0, 1, 2, 3]
    assert feed(receiving, [*blocks[0], *blocks[1]]) == [4, 5, 6, 7]


def test_missing_packet_is_waited_for_until_its_time_is_over():
    blocks = stream(8)
    receiving = listening()
    assert feed(receiving, [blocks[0][0], blocks[0][2]], now=100) == [0]
    assert receiving.deadline == 130
    assert receiving.poll(129) == []
    assert heard(receiving.poll(130)) == [None, 2, None]
    assert feed(receiving, [blocks[0][1]]) == []
    assert feed(receiving, blocks[1]) == [4, 5, 6, 7]


def test_parity_ends_the_wait():
    blocks = stream(4)
    receiving = listening()
    assert feed(receiving, [blocks[0][0], blocks[0][3]]) == [0]
    assert feed(receiving, [blocks[0][4]]) == []
    assert feed(receiving, [blocks[0][5]]) == [1, 2, 3]
    assert receiving.deadline is None


def test_two_later_blocks_end_the_wait():
    blocks = stream(24)
    receiving = listening()
    feed(receiving, blocks[0][:1])
    assert feed(receiving, blocks[1]) == []
    assert feed(receiving, blocks[2][:1]) == [None, None, None, 4, 5, 6, 7, 8]


def test_blocks_that_never_came_are_skipped():
    blocks = stream(24)
    receiving = listening()
    feed(receiving, blocks[0])
    assert feed(receiving, blocks[4], now=0) == []
    assert heard(receiving.poll(30)) == [16, 17, 18, 19]


def test_queue_stays_small_whatever_comes():
    source = random.Random(1)
    receiving = listening()
    packets = [p for block in stream(4000) for p in block]
    for _ in range(5000):
        receiving.receive(source.choice(packets), source.randrange(1000))
        assert len(receiving._blocks) <= 3


def test_stream_that_began_anew_is_followed():
    receiving = listening()
    for block in stream(40, first=20_000):
        feed(receiving, block)
    again = [p for block in stream(200) for p in block[:4]]
    assert len([n for n in feed(receiving, again) if n is not None]) >= 90


def test_packets_of_different_length_get_no_parity():
    packetiser = AudioPacketiser(5)
    assert [len(packetiser.packetise(bytes(10 + n))) for n in range(4)] == [1, 1, 1, 1]
    assert [len(packetiser.packetise(bytes(10))) for _ in range(4)] == [1, 1, 1, 3]
    assert len(AudioPacketiser(5, parity=False).packetise(b"x")) == 1


def test_parity_that_does_not_fit_is_no_help():
    blocks = stream(4)
    receiving = listening()
    feed(receiving, [blocks[0][0], blocks[0][1], blocks[0][2] + b"longer"])
    assert feed(receiving, [blocks[0][4]]) == []
    assert heard(receiving.poll(100)) == [None]


def test_damaged_encryption_is_concealed():
    good = stream(4, cipher=AudioCipher(KEY, -5))[0]
    receiving = listening(cipher=AudioCipher(KEY, -5))
    assert feed(receiving, [good[0], good[1][:-1], good[2], good[3]]) == [0, None, 2, 3]
    other = listening(cipher=AudioCipher(bytes(16), -5))
    assert any(isinstance(event, AudioMissing) for p in good for event in other.receive(p, 0))


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        bytes(12),
        bytes(13),
        b"\x80\x61" + bytes(10),
        b"\x80\x60" + bytes(20),
        b"\x80\x7f" + bytes(22),
        b"\x80\x7f" + bytes(10) + b"\x02\x61" + bytes(10) + b"x",
        b"\x80\x7f" + bytes(10) + b"\x00\x60" + bytes(10) + b"x",
        b"\x80\x7f" + bytes(10) + b"\x00\x61\x00\x01" + bytes(8) + b"x",
        b"\x80\x61" + bytes(1500),
    ],
)
def test_malformed_packets_are_refused(packet):
    with pytest.raises(AudioError):
        listening().receive(packet, 0)


def test_what_does_not_fit_is_refused():
    with pytest.raises(AudioError):
        AudioPacketiser(5, first_sequence=2)
    for opus in (b"", bytes(1480)):
        with pytest.raises(AudioError):
            AudioPacketiser(5).packetise(opus)
    assert len(AudioPacketiser(5, AudioCipher(KEY, 0)).packetise(bytes(1456))[0]) <= 1500


@pytest.mark.parametrize("payload", [b"", bytes(15), bytes(16), bytes(33)])
def test_impossible_ciphertext_is_refused(payload):
    with pytest.raises(AudioError):
        AudioCipher(KEY, 0).decrypt(0, payload)


def test_parity_before_the_first_packet_is_ignored():
    blocks = stream(4)
    receiving = listening()
    assert feed(receiving, blocks[0][4:]) == []
    assert feed(receiving, blocks[0][:4]) == [0, 1, 2, 3]


# -- pings ----------------------------------------------------------------------------------------


def test_recorded_pings(recording):
    for file in ("audio.json", "video_h264.json"):
        for variant in recording(file)["variants"]:
            for text in variant["client_pings"]:
                ping = parse_ping(bytes.fromhex(text))
                assert ping.payload == b"0123456789ABCDEF"
                assert ping.encode().hex() == text


def test_old_pings_and_other_datagrams():
    assert parse_ping(b"PING") == MediaPing(None)
    assert MediaPing(None).encode() == b"PING"
    for other in (b"", b"PONG", bytes(19), bytes(21)):
        with pytest.raises(PingError):
            parse_ping(other)
