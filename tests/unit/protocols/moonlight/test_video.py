"""Video: recorded datagrams byte for byte, and the recorded deliveries frame for frame."""

import hashlib
import random
from typing import Any

import pytest

from earthshine.protocols.moonlight.control import (
    FecStatus,
    InvalidateReferenceFrames,
    RequestIdr,
    encode_message,
)
from earthshine.protocols.moonlight.depacketiser import (
    BlockDamaged,
    DepacketiserEvent,
    Frame,
    FramesLost,
    VideoDepacketiser,
)
from earthshine.protocols.moonlight.loss import (
    Deliver,
    EncoderFeedback,
    FrameRequest,
    LossRecovery,
    SendMessage,
)
from earthshine.protocols.moonlight.nal import is_idr, prefix_bytes, without_prefix
from earthshine.protocols.moonlight.sdp import Codec
from earthshine.protocols.moonlight.video import (
    Block,
    FrameType,
    VideoCipher,
    VideoError,
    VideoPacketiser,
    plan_blocks,
)

VARIANTS = ["plain", "encrypted", "multiblock", "slices", "no_fec", "fec50", "sequence_wrap"]
VARIANTS += ["small", "rfi"]
KEY = bytes(range(16))


@pytest.fixture(scope="module")
def video(recording):
    return recording("video_h264.json")


@pytest.fixture(scope="module")
def octets(recording):
    return recording("video_h264.bin")


@pytest.fixture(scope="module")
def variants(video):
    return {variant["name"]: variant for variant in video["variants"]}


@pytest.fixture(scope="module")
def deliveries(video):
    return {delivery["name"]: delivery for delivery in video["deliveries"]}


def access_units(video: Any, octets: bytes, variant: Any) -> list[bytes]:
    units = video["access_unit_sets"][variant["access_unit_set"]]
    return [octets[unit["offset"] : unit["offset"] + unit["length"]] for unit in units]


def recorded(octets: bytes, variant: Any) -> list[bytes]:
    size, start = variant["datagram_size"], variant["datagrams_offset"]
    return [
        octets[start + n * size : start + (n + 1) * size] for n in range(variant["datagram_count"])
    ]


def packetiser(variant: Any) -> VideoPacketiser:
    key = variant["rikey"]
    return VideoPacketiser(
        variant["packet_size"],
        fec_percent=variant["fec_percent"],
        min_fec_packets=variant["min_fec_packets"],
        cipher=VideoCipher(bytes.fromhex(key)) if variant["encrypted"] else None,
        first_sequence=variant["frames"][0]["first_seq"],
    )


def depacketiser(variant: Any) -> VideoDepacketiser:
    cipher = VideoCipher(bytes.fromhex(variant["rikey"])) if variant["encrypted"] else None
    return VideoDepacketiser(variant["packet_size"], cipher=cipher)


def receive(depacketiser: VideoDepacketiser, datagrams: Any) -> list[DepacketiserEvent]:
    return [event for datagram in datagrams for event in depacketiser.receive(bytes(datagram))]


def check_delivered(frame: Frame, expected: Any) -> None:
    """The recorded client left the last packet's zero padding on the frame; we take it off."""
    padded = frame.data + bytes(expected["length"] - len(frame.data))
    assert hashlib.sha256(padded).hexdigest() == expected["sha256"]
    assert (frame.number, frame.latency) == (expected["number"], expected["latency"])
    assert frame.timestamp == expected["rtp_timestamp"]
    assert frame.idr == (expected["type"] == "IDR")


# -- packetising ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VARIANTS)
def test_datagrams_equal_the_recording(name, video, octets, variants):
    variant = variants[name]
    units, expected = access_units(video, octets, variant), recorded(octets, variant)
    cutting = packetiser(variant)
    assert cutting.datagram_size == variant["datagram_size"]
    for frame in variant["frames"]:
        assert cutting.next_sequence == frame["first_seq"]
        cut = cutting.packetise(
            units[frame["access_unit"]],
            frame=frame["number"],
            frame_type=FrameType(frame["type"]),
            timestamp=frame["timestamp"],
            latency=frame["latency"],
        )
        first = frame["first_datagram"]
        assert [bytes(datagram) for datagram in cut] == expected[first : first + frame["datagrams"]]
        assert [[b.data, b.parity, b.percent] for b in cut.blocks] == frame["blocks"]
        assert len(cut) == frame["datagrams"]


@pytest.mark.parametrize(
    ("packets", "percent", "floor", "blocks"),
    [
        (1, 20, 2, [Block(1, 2, 200)]),
        (1, 20, 9, [Block(1, 3, 255)]),
        (1, 20, 0, [Block(1, 1, 20)]),
        (212, 20, 2, [Block(212, 43, 20)]),
        (213, 20, 2, [Block(107, 22, 20), Block(106, 22, 20)]),
        (848, 20, 2, [Block(212, 43, 20)] * 4),
        (849, 20, 2, [Block(213, 0, 0)] + [Block(212, 0, 0)] * 3),
        (10, 0, 2, [Block(10, 0, 0)]),
        (4092, 20, 2, [Block(1023, 0, 0)] * 4),
        (71, 255, 2, [Block(71, 182, 255)]),
    ],
)
def test_block_plans(packets, percent, floor, blocks):
    assert plan_blocks(packets, percent, floor) == blocks


def test_every_plan_is_what_the_receiver_computes():
    for packets in range(1, 900):
        for percent, floor in ((0, 2), (1, 5), (10, 2), (20, 2), (50, 30), (100, 255), (255, 2)):
            blocks = plan_blocks(packets, percent, floor)
            assert sum(block.data for block in blocks) == packets
            for block in blocks:
                assert block.parity == (block.data * block.percent + 99) // 100
                assert block.parity == 0 or block.data + block.parity <= 255
                assert block.percent <= 255


@pytest.mark.parametrize(
    "settings",
    [
        {"packet_size": 64},
        {"packet_size": 1400},
        {"packet_size": 8192},
        {"fec_percent": -1},
        {"fec_percent": 256},
        {"min_fec_packets": 256},
    ],
)
def test_impossible_settings_are_refused(settings):
    with pytest.raises(VideoError):
        VideoPacketiser(**({"packet_size": 1024} | settings))


def cut_frame(cutting: VideoPacketiser, data: bytes, number: int = 1, **more: Any) -> list[bytes]:
    values = {"frame_type": FrameType.IDR, "timestamp": number * 1500} | more
    return [bytes(d) for d in cutting.packetise(data, frame=number, **values)]


def test_frames_have_limits():
    cutting = VideoPacketiser(128)
    with pytest.raises(VideoError):
        cut_frame(cutting, b"")
    with pytest.raises(VideoError):
        cut_frame(cutting, bytes(4092 * 112))
    assert len(cut_frame(cutting, bytes(4092 * 112 - 8))) == 4092
    assert cutting.first_packet_room == 104


def test_long_sessions_wrap():
    cutting = VideoPacketiser(1024, first_sequence=(1 << 24) - 1)
    [first, *_] = cut_frame(cutting, b"\0\0\1\x67" + bytes(1500), (1 << 32) + 5, timestamp=1 << 33)
    assert first[2:4] == b"\xff\xff"
    assert first[16:20] == b"\0\xff\xff\xff"
    assert first[4:8] == bytes(4)
    assert first[20:24] == b"\5\0\0\0"
    assert cut_frame(cutting, b"\0\0\1\x67", latency=99999)[0][33:35] == b"\xff\xff"


# -- depacketising ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", VARIANTS)
def test_recorded_datagrams_become_the_recorded_frames(name, octets, variants):
    variant = variants[name]
    events = receive(depacketiser(variant), recorded(octets, variant))
    assert len(events) == len(variant["delivered"])
    for event, expected in zip(events, variant["delivered"], strict=True):
        assert isinstance(event, Frame)
        check_delivered(event, expected)


def deliver(delivery: Any, variant: Any, octets: bytes) -> tuple[list[Frame], list[Any]]:
    """The frames a decoder sees and the messages the host gets."""
    datagrams = dict(enumerate(recorded(octets, variant), variant["frames"][0]["first_seq"]))
    order = [number for number in datagrams if number not in set(delivery["dropped_seqs"])]
    if "send_order" in delivery:
        order = [n for frame in delivery["send_order"].values() for n in frame]
    recovery = LossRecovery(reference_invalidation=delivery["name"] == "rfi_lossy")
    receiving = depacketiser(variant)
    frames: list[Frame] = []
    messages: list[Any] = [RequestIdr()]  # the client's first message, see `LossRecovery`
    for number in order:
        for event in receiving.receive(datagrams[number]):
            for command in recovery.receive(event):
                if isinstance(command, Deliver):
                    frames.append(command.frame)
                else:
                    messages.append(command.message)
    return frames, messages


@pytest.mark.parametrize("name", ["plain_lossy", "multiblock_lossy", "rfi_lossy", "reordered"])
def test_recorded_losses(name, octets, variants, deliveries):
    delivery = deliveries[name]
    variant = variants[delivery["datagrams_of"]]
    frames, messages = deliver(delivery, variant, octets)
    assert [frame.number for frame in frames] == delivery["must_deliver"]
    expected = {entry["number"]: entry for entry in variant["delivered"]}
    for frame in frames:
        check_delivered(frame, expected[frame.number])
    # Which requests are sent, in order; FEC status in order among itself.
    feedback = [bytes.fromhex(entry["plain"]) for entry in delivery["client_feedback"]]
    sent = [encode_message(message) for message in messages]
    requests = [RequestIdr.TYPE, InvalidateReferenceFrames.TYPE]

    def chosen(packets: list[bytes], types: list[int]) -> list[bytes]:
        return [p for p in packets if int.from_bytes(p[:2], "little") in types]

    expected_requests = chosen(feedback, requests)
    if name == "multiblock_lossy":
        # The frame after the lost one is an IDR by itself. The recorded client had it before it
        # asked; this one asks when the first packet of that frame proves the loss.
        expected_requests.append(encode_message(RequestIdr()))
    assert chosen(sent, requests) == expected_requests
    status = [m for m in messages if isinstance(m, FecStatus)]
    heard = chosen(feedback, [FecStatus.TYPE])
    if name != "reordered":  # there the recorded client tells of blocks it completed early
        assert [encode_message(m) for m in status] == heard


def stream(frames: int = 6, size: int = 5000, **settings: Any) -> list[list[bytes]]:
    cutting = VideoPacketiser(1024, **settings)
    source = random.Random(7)
    return [
        cut_frame(
            cutting, b"\0\0\0\1" + (b"\x67" if n == 1 else b"\x41") + source.randbytes(size), n
        )
        for n in range(1, frames + 1)
    ]


def numbers(events: list[DepacketiserEvent]) -> list[Any]:
    return [
        event.number if isinstance(event, Frame) else (event.first, event.last)
        for event in events
        if not isinstance(event, BlockDamaged)
    ]


def test_any_packets_will_do():
    """Every choice of as many packets as there is data restores the frame."""
    [frame] = stream(1, 2000)
    source = random.Random(3)
    whole = receive(VideoDepacketiser(1024), frame)
    for _ in range(30):
        chosen = source.sample(frame, 2)
        events = receive(VideoDepacketiser(1024), chosen)
        assert [e for e in events if isinstance(e, Frame)] == whole


def test_lost_frames_are_reported_at_the_next_frames_first_packet():
    frames = stream()
    receiving = VideoDepacketiser(1024)
    assert numbers(receive(receiving, frames[0] + frames[1][:3])) == [1]
    events = receiving.receive(frames[2][0])
    assert numbers(events) == [(2, 2)]
    [damaged] = [e for e in events if isinstance(e, BlockDamaged)]
    assert damaged.status.received_data == 3
    assert numbers(receive(receiving, frames[2][1:] + frames[5])) == [3, (4, 5), 6]


def test_late_packets_are_ignored():
    frames = stream()
    receiving = VideoDepacketiser(1024)
    receive(receiving, frames[0] + frames[2])
    assert receive(receiving, frames[1] + frames[2] + frames[0]) == []


def test_stray_frame_number_does_not_end_the_stream():
    """Without encryption anybody who knows the port can send one packet from the far future."""
    receiving = VideoDepacketiser(1024)
    frames = stream(400)
    [stray, *_] = cut_frame(VideoPacketiser(1024), b"\0\0\1\x67", 60_000)
    receive(receiving, frames[0])
    receiving.receive(stray)
    events = receive(receiving, [datagram for frame in frames[1:] for datagram in frame])
    shown = [event.number for event in events if isinstance(event, Frame)]
    assert shown == list(range(shown[0], 401))
    assert shown[0] < 100
    assert FramesLost(shown[0] - 1, shown[0] - 1) in events


def test_overtaking_frames_are_waited_for_once_it_was_seen():
    frames = stream()
    swapped = [frames[0][1], frames[0][0], *frames[0][2:]]
    receiving = VideoDepacketiser(1024)
    assert numbers(receive(receiving, swapped)) == [1]
    mixed = [*frames[1][:3], frames[2][0], *frames[1][3:], *frames[2][1:]]
    assert numbers(receive(receiving, mixed)) == [2, 3]
    # A frame that stays away is given up when the next one is whole ...
    assert numbers(receive(receiving, frames[3][:2] + frames[4])) == [(4, 4), 5]
    # ... or when one after that begins.
    receiving = VideoDepacketiser(1024)
    receive(receiving, swapped)
    begun = [frames[1][0], frames[2][0], frames[3][0]]
    assert numbers(receive(receiving, begun)) == [(2, 2)]
    assert len(receiving._open) == 2


def test_only_two_frames_stay_open():
    receiving = VideoDepacketiser(1024)
    for frame in stream(200, 3000):
        receiving.receive(frame[0])
        assert len(receiving._open) <= 2


@pytest.mark.parametrize("at", [0, 24, 27, 28, 29, 30, 31])
def test_packets_of_a_block_must_agree(at):
    [frame] = stream(1)
    receiving = VideoDepacketiser(1024)
    receiving.receive(frame[0])
    changed = bytearray(frame[1])
    changed[at] ^= 0x80
    if at == 24:  # flags are the host's business
        assert receiving.receive(bytes(changed)) == []
    else:
        with pytest.raises(VideoError):
            receiving.receive(bytes(changed))


def test_impossible_packets_are_refused():
    [frame] = stream(1)
    receiving = VideoDepacketiser(1024)
    for size in (0, 32, 1039, 1041):
        with pytest.raises(VideoError):
            receiving.receive(bytes(size))
    for info in (0, 20 << 4 | 5 << 12, 20 << 4 | 250 << 22, 20 << 4 | 9 << 12 | 5 << 22):
        packet = frame[0][:28] + info.to_bytes(4, "little") + frame[0][32:]
        with pytest.raises(VideoError):
            receiving.receive(packet)
    receiving.receive(frame[0])
    far = frame[0][:20] + (1 << 20).to_bytes(4, "little") + frame[0][24:]
    with pytest.raises(VideoError):
        receiving.receive(far)


def test_frame_that_is_no_picture_counts_as_lost():
    cutting = VideoPacketiser(1024)
    receiving = VideoDepacketiser(1024)
    assert receive(receiving, cut_frame(cutting, b"no start code", 1)) == [FramesLost(1, 1)]
    changed = cut_frame(VideoPacketiser(1024, fec_percent=0), b"\0\0\1\x67", 2)[0]
    broken = changed[:32] + b"\x81" + changed[33:]
    assert receiving.receive(broken) == [FramesLost(2, 2)]


def test_encrypted_packets_are_checked():
    cutting = VideoPacketiser(1024, cipher=VideoCipher(KEY))
    datagrams = cut_frame(cutting, b"\0\0\1\x67" + bytes(3000))
    receiving = VideoDepacketiser(1024, cipher=VideoCipher(KEY))
    for at in (0, 20, 40):
        changed = bytearray(datagrams[0])
        changed[at] ^= 1
        with pytest.raises(VideoError):
            receiving.receive(bytes(changed))
    with pytest.raises(VideoError):
        VideoDepacketiser(1024, cipher=VideoCipher(bytes(16))).receive(datagrams[0])
    assert numbers(receive(receiving, datagrams)) == [1]
    with pytest.raises(VideoError):
        VideoCipher(KEY).open(bytes(10))


@pytest.mark.parametrize("codec", [Codec.HEVC, Codec.AV1])
def test_other_codecs(codec):
    key_unit = b"\0\0\0\1\x46\x01\0\0\1\x40\x01vps" if codec is Codec.HEVC else b"\x12\0obu"
    cutting, receiving = VideoPacketiser(1024), VideoDepacketiser(1024, codec)
    [frame] = receive(receiving, cut_frame(cutting, key_unit, 1))
    assert isinstance(frame, Frame)
    assert frame.idr
    assert frame.data == (b"\0\0\1\x40\x01vps" if codec is Codec.HEVC else key_unit)
    other = b"\0\0\1\x02\x01p" if codec is Codec.HEVC else b"\x12\0obu"
    [frame] = receive(receiving, cut_frame(cutting, other, 2, frame_type=FrameType.P))
    assert isinstance(frame, Frame)
    assert not frame.idr
    assert frame.data == other


@pytest.mark.parametrize("loss", [0.02, 0.05, 0.2])
@pytest.mark.parametrize("encrypted", [False, True])
def test_seeded_losses_never_deliver_anything_wrong(loss, encrypted):
    source = random.Random(int(loss * 100))
    units = [b"\0\0\0\1\x67" + source.randbytes(source.randint(1, 40_000)) for _ in range(60)]
    cipher = VideoCipher(KEY) if encrypted else None
    cutting = VideoPacketiser(256, cipher=cipher)
    receiving = VideoDepacketiser(256, cipher=VideoCipher(KEY) if encrypted else None)
    events: list[DepacketiserEvent] = []
    for number, unit in enumerate(units, 1):
        datagrams = [d for d in cut_frame(cutting, unit, number) if source.random() >= loss]
        source.shuffle(datagrams)
        datagrams += datagrams[: len(datagrams) // 10]
        events += receive(receiving, datagrams)
    frames = [event for event in events if isinstance(event, Frame)]
    assert all(frame.data == units[frame.number - 1] for frame in frames)
    accounted = [n for entry in numbers(events) for n in expand(entry)]
    assert accounted == list(range(1, len(accounted) + 1))
    assert len(accounted) >= 58
    assert len(frames) >= (55 if loss < 0.1 else 1)


def expand(entry: Any) -> list[int]:
    return [entry] if isinstance(entry, int) else list(range(entry[0], entry[1] + 1))


# -- what to do about loss ----------------------------------------------------------------------


def frame(number: int, *, idr: bool = False, kind: int = FrameType.P) -> Frame:
    return Frame(number, kind, idr, b"", 0, 0)


def commands(recovery: LossRecovery, *events: DepacketiserEvent) -> list[Any]:
    found = [command for event in events for command in recovery.receive(event)]
    return [
        command.frame.number if isinstance(command, Deliver) else command.message
        for command in found
    ]


def test_nothing_before_the_first_idr():
    recovery = LossRecovery()
    assert commands(recovery, frame(1), FramesLost(2, 2)) == []
    assert recovery.awaiting
    assert commands(recovery, frame(3, idr=True), frame(4)) == [3, 4]
    assert not recovery.awaiting


def test_decoder_failure_asks_for_an_idr():
    recovery = LossRecovery(reference_invalidation=True)
    commands(recovery, frame(1, idr=True))
    assert recovery.decoder_failed() == [SendMessage(RequestIdr())]
    held = [frame(2, kind=FrameType.AFTER_INVALIDATION), frame(3, idr=True)]
    assert commands(recovery, *held) == [3]


@pytest.mark.parametrize("kind", [FrameType.INTRA_REFRESH, FrameType.AFTER_INVALIDATION])
def test_clean_frames_end_the_wait(kind):
    recovery = LossRecovery(reference_invalidation=True)
    sent = commands(
        recovery, frame(1, idr=True), FramesLost(2, 3), frame(4), frame(5, kind=kind), frame(6)
    )
    assert sent == [1, InvalidateReferenceFrames(2, 3), InvalidateReferenceFrames(2, 4), 5, 6]


@pytest.mark.parametrize("invalidation", [False, True])
def test_requests_that_are_not_answered_are_repeated(invalidation):
    recovery = LossRecovery(reference_invalidation=invalidation)
    commands(recovery, frame(1, idr=True), FramesLost(2, 2))
    sent = commands(recovery, *(frame(n) for n in range(3, 400)))
    assert sent.count(RequestIdr()) == 3
    assert recovery.counters.held_back == 397


def test_counters_and_silence_towards_old_hosts():
    recovery = LossRecovery(fec_status=False)
    status = FecStatus(1, 0, 0, 1, 1, 1, 1, 1, 20, 0, 1)
    sent = commands(recovery, frame(1, idr=True), FramesLost(2, 4), BlockDamaged(status))
    assert sent == [1, RequestIdr()]
    counters = recovery.counters
    assert (counters.delivered, counters.lost, counters.damaged_blocks) == (1, 3, 1)


# -- what the host answers ----------------------------------------------------------------------


def test_first_frame_is_an_idr_and_requests_are_answered_once():
    feedback = EncoderFeedback()
    kinds = [feedback.next_frame(number).type for number in (1, 2)]
    feedback.receive(RequestIdr())
    feedback.receive(RequestIdr())
    feedback.receive(FecStatus(1, 0, 0, 1, 1, 1, 1, 1, 20, 0, 1))
    kinds += [feedback.next_frame(number).type for number in (3, 4)]
    feedback.need_idr()
    kinds += [feedback.next_frame(number).type for number in (5, 6)]
    idr, p = FrameType.IDR, FrameType.P
    assert kinds == [idr, p, idr, p, idr, p]


def test_recorded_invalidation_is_answered_by_one_frame():
    """The recorded client asked for 4-4 to 4-7 until frame 8, the answer, arrived."""
    feedback = EncoderFeedback(reference_invalidation=True)
    for number in range(1, 7):
        feedback.next_frame(number)
    feedback.receive(InvalidateReferenceFrames(4, 4))
    feedback.receive(InvalidateReferenceFrames(4, 6))
    assert feedback.next_frame(7) == FrameRequest(FrameType.AFTER_INVALIDATION, (4, 6))
    feedback.receive(InvalidateReferenceFrames(4, 6))  # sent before frame 7 arrived
    assert feedback.next_frame(8) == FrameRequest(FrameType.P)
    feedback.receive(InvalidateReferenceFrames(4, 7))  # the answer itself was lost
    assert feedback.next_frame(9) == FrameRequest(FrameType.AFTER_INVALIDATION, (4, 7))


def test_idr_answers_invalidation_too():
    feedback = EncoderFeedback(reference_invalidation=True)
    feedback.next_frame(1)
    feedback.receive(InvalidateReferenceFrames(1, 1))
    feedback.receive(RequestIdr())
    assert feedback.next_frame(2) == FrameRequest(FrameType.IDR)
    assert feedback.next_frame(3) == FrameRequest(FrameType.P)


def test_host_that_cannot_invalidate_sends_an_idr():
    feedback = EncoderFeedback()
    feedback.next_frame(1)
    feedback.receive(InvalidateReferenceFrames(1, 1))
    assert feedback.next_frame(2) == FrameRequest(FrameType.IDR)


# -- byte streams -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "rest"),
    [
        (b"\0\0\1\x67x", b"\0\0\1\x67x"),
        (b"\0\0\0\1\x09\xf0\0\0\0\1\x67x", b"\0\0\0\1\x67x"),
        (b"\0\0\1\x09\xf0\0\0\1\x06sei\0\0\1\x41p", b"\0\0\1\x41p"),
        (b"\0\0\1\x09\xf0", b""),
        (b"x\0\0\1", b""),
        (b"", b""),
        (b"\0\0\1", b"\0\0\1"),
        (
            b"\0\0\1\x67s\0\0\1\x06sei\0\0\0\1\x65p\0\0\1\x06x",
            b"\0\0\1\x67s\0\0\0\1\x65p\0\0\1\x06x",
        ),
        (b"\0\0\1\x09" * 100, b"\0\0\1\x09" * 36),  # a hostile host; the search is bounded
    ],
)
def test_prefixes_are_skipped(data, rest):
    assert without_prefix(data, Codec.H264) == rest


def test_idr_needs_a_parameter_set():
    assert is_idr(b"\0\0\1\x67", Codec.H264)
    assert not is_idr(b"\0\0\1\x65", Codec.H264)
    assert not is_idr(b"\x67", Codec.H264)
    assert not is_idr(b"\0\0\1", Codec.H264)
    assert is_idr(b"\0\0\0\1\x40\x01", Codec.HEVC)


@pytest.mark.parametrize(
    ("data", "length"),
    [
        (b"\0\0\0\1\x67sps\0\0\1\x68pps\0\0\0\1\x65slice", 15),
        (b"\0\0\1\x41slice", 0),
        (b"\0\0\1\x67sps", 7),
        (b"", 0),
        (b"no start code", 13),
    ],
)
def test_what_must_fit_the_first_packet(data, length):
    assert prefix_bytes(data, Codec.H264) == length


def test_recorded_parameter_sets_fit_the_first_packet(video, octets, variants):
    for variant in variants.values():
        room = packetiser(variant).first_packet_room
        for unit in access_units(video, octets, variant):
            assert prefix_bytes(unit, Codec.H264) < room
