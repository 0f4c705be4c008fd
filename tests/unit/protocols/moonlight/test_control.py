"""Control messages and input: every recorded packet opened, read, written and sealed again."""

from typing import Any

import pytest

from earthshine.protocols.moonlight import control, input_queue
from earthshine.protocols.moonlight import input as inputs
from earthshine.protocols.moonlight.control import (
    ControlError,
    FecStatus,
    HdrMetadata,
    HdrMode,
    InputMessage,
    InvalidateReferenceFrames,
    UnknownMessage,
    decode_client_message,
    decode_host_message,
    encode_message,
    route,
)
from earthshine.protocols.moonlight.control_cipher import (
    ControlCipher,
    ControlCipherError,
    IvScheme,
)
from earthshine.protocols.moonlight.enet import Delivery
from earthshine.protocols.moonlight.input import (
    Button,
    Contact,
    ControllerMoved,
    ControllerState,
    InputError,
    KeyEvent,
    Modifier,
    MotionType,
    MouseButton,
    MouseButtonEvent,
    MouseMoved,
    MousePlaced,
    Scrolled,
    TextTyped,
    UnknownInput,
    decode_input,
    encode_input,
)
from earthshine.protocols.moonlight.rtsp import Role

KEY = bytes(range(16))
DELIVERIES = {
    "SEND_RELIABLE": Delivery.RELIABLE,
    "SEND_UNRELIABLE": Delivery.UNRELIABLE,
    "SEND_UNSEQUENCED": Delivery.UNSEQUENCED,
}


@pytest.fixture(scope="module")
def sessions(recording):
    return {session["name"]: session for session in recording("enet_control.json")["sessions"]}


def packets(session: Any, direction: str) -> list[tuple[Any, Any, bytes]]:
    """(control entry, ENet command, packet) in order of first sending, without repeats."""
    found: dict[int, tuple[Any, Any, bytes]] = {}
    for datagram in session["datagrams"]:
        data = bytes.fromhex(datagram["hex"])
        for entry in datagram.get("control", []) if datagram["dir"] == direction else []:
            command = datagram["commands"][entry["command_index"]]
            start = command["data_offset"]
            found.setdefault(
                entry["seq"], (entry, command, data[start : start + command["data_length"]])
            )
    return [found[number] for number in sorted(found)]


def scheme(session: Any) -> IvScheme:
    return IvScheme.V2 if session["iv_scheme"] == "v2" else IvScheme.LEGACY


ALL = ["v2", "legacy", "host_terminate", "host_terminate_error", "retransmit", "loss_feedback"]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("direction", ["c2h", "h2c"])
def test_every_packet_opens_and_is_sealed_alike(name, direction, sessions):
    session = sessions[name]
    sender, receiver = (Role.CLIENT, Role.HOST) if direction == "c2h" else (Role.HOST, Role.CLIENT)
    key = bytes.fromhex(session["rikey"])
    sealing = ControlCipher(key, sender, scheme(session))
    opening = ControlCipher(key, receiver, scheme(session))
    for entry, _, packet in packets(session, direction):
        plain = bytes.fromhex(entry["plain"])
        assert opening.open(packet) == plain
        assert sealing.seal(plain) == packet


@pytest.mark.parametrize("name", ALL)
def test_every_message_is_read_and_written_back(name, sessions):
    for direction, decode in (("c2h", decode_client_message), ("h2c", decode_host_message)):
        for entry, _, _ in packets(sessions[name], direction):
            plain = bytes.fromhex(entry["plain"])
            message = decode(plain)
            assert not isinstance(message, UnknownMessage)
            assert encode_message(message) == plain
            assert message.type == int(entry["type"], 16)


@pytest.mark.parametrize("name", ALL)
def test_messages_take_the_recorded_channel(name, sessions):
    for entry, command, _ in packets(sessions[name], "c2h"):
        message = decode_client_message(bytes.fromhex(entry["plain"]))
        expected = (command["channel"], DELIVERIES[command["command"]])
        assert route(message, starting=entry["seq"] < 2) == expected


# How the recordings call the fields of each kind, in the order of our attributes.
FIELDS: dict[str, tuple[type, list[str]]] = {
    "mouse_relative": (MouseMoved, ["dx", "dy"]),
    "mouse_absolute": (MousePlaced, ["x", "y", "width", "height"]),
    "mouse_button": (MouseButtonEvent, ["button", "down"]),
    "keyboard": (KeyEvent, ["vk", "down", "modifiers", "flags"]),
    "scroll": (Scrolled, ["amount"]),
    "hscroll": (inputs.ScrolledSideways, ["amount"]),
    "controller": (
        ControllerState,
        ["number", "mask", "buttons", "lt", "rt", "lx", "ly", "rx", "ry"],
    ),
    "controller_arrival": (
        inputs.ControllerArrived,
        ["number", "type", "capabilities", "buttons"],
    ),
    "controller_motion": (ControllerMoved, ["number", "type", "x", "y", "z"]),
    "controller_battery": (inputs.ControllerBattery, ["number", "state", "percent"]),
    "controller_touch": (
        inputs.ControllerTouched,
        ["number", "event", "pad", "id", "x", "y", "pressure"],
    ),
    "touch": (
        inputs.Touched,
        ["event", "id", "x", "y", "pressure", "major", "minor", "rotation"],
    ),
    "pen": (
        inputs.PenMoved,
        ["event", "tool", "buttons", "x", "y", "pressure", "rotation", "tilt", "major", "minor"],
    ),
    "haptics_enable": (inputs.HapticsEnabled, ["on"]),
}


def event_of(meaning: str, fields: dict[str, Any]) -> inputs.InputEvent:
    if meaning == "utf8":
        return TextTyped(bytes.fromhex(fields["utf8_hex"]).decode())
    kind, names = FIELDS[meaning]
    event = kind(*(fields[name] for name in names))
    assert isinstance(event, inputs.InputEvent)
    return event


@pytest.mark.parametrize("name", ["v2", "legacy"])
def test_input_means_what_the_client_was_told(name, sessions):
    seen = set()
    for entry, _, _ in packets(sessions[name], "c2h"):
        message = decode_client_message(bytes.fromhex(entry["plain"]))
        if isinstance(message, InputMessage):
            expected = event_of(entry["meaning"], entry["fields"])
            assert message.event == expected
            assert encode_message(InputMessage(expected)) == bytes.fromhex(entry["plain"])
            seen.add(entry["meaning"])
    assert seen == {*FIELDS, "utf8"}


@pytest.mark.parametrize("name", ["v2", "legacy"])
def test_client_calls_become_the_recorded_events(name, sessions):
    """What was given to the client, as our events, split and merged the way clients do."""
    calls = [call for call in sessions[name]["client_calls"] if call["name"] in {*FIELDS, "utf8"}]
    recorded = [
        decode_client_message(bytes.fromhex(entry["plain"]))
        for entry, _, _ in packets(sessions[name], "c2h")
    ]
    sent = [message.event for message in recorded if isinstance(message, InputMessage)]
    kinds = ("keyboard", "mouse_button", "mouse_absolute", "scroll", "hscroll", "touch", "pen")
    for kind in kinds:
        expected = [event_of(kind, call["args"]) for call in calls if call["name"] == kind]
        assert [e for e in sent if type(e) is FIELDS[kind][0]] == expected
    text = "".join(
        bytes.fromhex(call["args"]["utf8_hex"]).decode() for call in calls if call["name"] == "utf8"
    )
    assert [e for e in sent if isinstance(e, TextTyped)] == list(input_queue.split_text(text))
    moves = [event_of("mouse_relative", c["args"]) for c in calls if c["name"] == "mouse_relative"]
    total = [sum(getattr(m, axis) for m in moves) for axis in ("dx", "dy")]
    wiggled = [e for e in sent if isinstance(e, MouseMoved)]
    assert [sum(getattr(m, axis) for m in wiggled) for axis in ("dx", "dy")] == total


def test_host_messages_mean_what_the_client_saw(sessions):
    for name in ("v2", "legacy", "retransmit"):
        saw = sessions[name]["client_saw"]
        heard = [
            decode_host_message(bytes.fromhex(entry["plain"]))
            for entry, _, _ in packets(sessions[name], "h2c")
        ]
        assert [describe(message) for message in heard] == [
            {key: value for key, value in event.items() if key != "_line"} for event in saw
        ]


def describe(message: control.Message) -> dict[str, Any]:
    """Our message in the words of the recordings."""
    match message:
        case control.Rumble(controller, low, high):
            return {"ev": "rumble", "controller": controller, "low": low, "high": high}
        case control.TriggerRumble(controller, left, right):
            return {"ev": "trigger_rumble", "controller": controller, "left": left, "right": right}
        case control.MotionRequest(controller, rate, sensor):
            return {
                "ev": "motion_request",
                "controller": controller,
                "motion_type": sensor,
                "rate": rate,
            }
        case control.SetLed(controller, red, green, blue):
            return {"ev": "led", "controller": controller, "rgb": [red, green, blue]}
        case control.AdaptiveTriggers():
            return {
                "ev": "adaptive_triggers",
                "controller": message.controller,
                "flags": message.flags,
                "type_left": message.left_type,
                "type_right": message.right_type,
                "left": message.left.hex(),
                "right": message.right.hex(),
            }
        case HdrMode(enabled, None):
            return {"ev": "hdr", "on": int(enabled)}
        case HdrMode(enabled, HdrMetadata() as data):
            return {
                "ev": "hdr",
                "on": int(enabled),
                "primaries": [list(data.red), list(data.green), list(data.blue)],
                "white": list(data.white),
                "max_lum": data.max_luminance,
                "min_lum": data.min_luminance,
                "max_cll": data.max_content_light,
                "max_fall": data.max_frame_average_light,
                "max_full_frame": data.max_full_frame_luminance,
            }
    raise AssertionError(message)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("host_terminate", control.GRACEFUL), ("host_terminate_error", control.PROTECTED_CONTENT)],
)
def test_termination(name, reason, sessions):
    [(entry, _, _)] = packets(sessions[name], "h2c")
    assert decode_host_message(bytes.fromhex(entry["plain"])) == control.Termination(reason)


def test_loss_feedback(sessions):
    heard = [
        decode_client_message(bytes.fromhex(entry["plain"]))
        for entry, _, _ in packets(sessions["loss_feedback"], "c2h")
    ]
    invalidated = [m for m in heard if isinstance(m, InvalidateReferenceFrames)]
    assert [(m.first, m.last) for m in invalidated] == [(4, 4), (4, 5), (4, 6), (4, 7)]
    status = [m for m in heard if isinstance(m, FecStatus)]
    assert status[0] == FecStatus(4, 43, 33, 4, 9, 2, 5, 2, 20, 0, 1)


# -- messages without a recording -----------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        control.LossStatistics(3, 77),
        control.LongTermReferenceAcknowledged(9, 1),
        InvalidateReferenceFrames(0, control.MAX_FRAME),
        UnknownMessage(0x0999, b"abc"),
    ],
)
def test_client_messages_survive(message):
    assert decode_client_message(encode_message(message)) == message


@pytest.mark.parametrize(
    "message",
    [control.OldTermination(7), HdrMode(True), HdrMode(False), UnknownMessage(1, b"")],
)
def test_host_messages_survive(message):
    assert decode_host_message(encode_message(message)) == message


def test_hdr_without_metadata_is_read_as_that():
    short = HdrMode.TYPE.to_bytes(2, "little") + b"\7\0" + b"\1abcdef"
    assert decode_host_message(short) == HdrMode(True)


def test_loss_statistics_layout():
    expected = "01022000" + "03000000" + "32000000" + "e8030000" + "4d00000000000000"
    expected += "00000000" + "00000000" + "14000000"
    assert encode_message(control.LossStatistics(3, 77)).hex() == expected


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\x02\x03\x02",
        b"\x02\x03\x03\x00\x00\x00",
        b"\x02\x03\xff\xff" + bytes(0xFFFF),
        b"\x01\x03\x17\x00" + bytes(23),
        encode_message(InvalidateReferenceFrames(0, 0))[:4] + b"\xff" * 24,
        b"\x02\x55\x05\x00" + bytes(5),
        b"\x09\x01\x00\x00",
    ],
)
def test_malformed_client_messages_are_refused(packet):
    with pytest.raises(ControlError):
        decode_client_message(packet)


@pytest.mark.parametrize(
    "packet",
    [
        b"\x0b\x01\x01\x00\x00",
        b"\x0e\x01\x00\x00",
        b"\x03\x55\x02\x00\x00\x00",
        b"\x00\x01\x01\x00a",
    ],
)
def test_malformed_host_messages_are_refused(packet):
    with pytest.raises(ControlError):
        decode_host_message(packet)


def test_values_that_do_not_fit_are_refused():
    with pytest.raises(ControlError):
        encode_message(control.Rumble(0, 70000, 0))
    with pytest.raises(ControlError):
        encode_message(control.Termination(-1))
    with pytest.raises(ControlError):
        encode_message(UnknownMessage(5, bytes(2000)))


# -- the cipher -----------------------------------------------------------------------------------


@pytest.mark.parametrize("iv_scheme", list(IvScheme))
def test_packets_may_overtake_each_other_but_come_once(iv_scheme):
    client = ControlCipher(KEY, Role.CLIENT, iv_scheme)
    host = ControlCipher(KEY, Role.HOST, iv_scheme)
    sent = [client.seal(bytes([n])) for n in range(100)]
    order = [5, 3, 4, 0, 99, 98, 1]
    assert [host.open(sent[n]) for n in order] == [bytes([n]) for n in order]
    for n in order:
        with pytest.raises(ControlCipherError, match="before"):
            host.open(sent[n])


def test_very_old_packets_are_refused():
    client = ControlCipher(KEY, Role.CLIENT, IvScheme.V2)
    host = ControlCipher(KEY, Role.HOST, IvScheme.V2)
    sent = [client.seal(b"") for _ in range(4200)]
    host.open(sent[4199])
    host.open(sent[4199 - 4095])
    with pytest.raises(ControlCipherError, match="before"):
        host.open(sent[50])


@pytest.mark.parametrize("at", [0, 2, 4, 8, 24, -1])
def test_changed_packets_are_refused_and_change_nothing(at):
    packet = bytearray(ControlCipher(KEY, Role.CLIENT, IvScheme.V2).seal(b"plain text"))
    host = ControlCipher(KEY, Role.HOST, IvScheme.V2)
    packet[at] ^= 1
    with pytest.raises(ControlCipherError):
        host.open(bytes(packet))
    packet[at] ^= 1
    assert host.open(bytes(packet)) == b"plain text"


def test_wrong_key_scheme_direction_and_size_are_refused():
    packet = ControlCipher(KEY, Role.CLIENT, IvScheme.V2).seal(b"x")
    for other in (
        ControlCipher(bytes(16), Role.HOST, IvScheme.V2),
        ControlCipher(KEY, Role.HOST, IvScheme.LEGACY),
        ControlCipher(KEY, Role.CLIENT, IvScheme.V2),
    ):
        with pytest.raises(ControlCipherError):
            other.open(packet)
    host = ControlCipher(KEY, Role.HOST, IvScheme.V2)
    for size in (0, 7, 23, 5000):
        with pytest.raises(ControlCipherError):
            host.open(bytes(size))
    with pytest.raises(ControlCipherError):
        host.seal(bytes(3000))


# -- input ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "packet"),
    [
        (KeyEvent(0x41, True, Modifier.SHIFT), "0000000a 03000000 00 4180 01 0000"),
        (MouseMoved(300, -5), "00000008 07000000 012c fffb"),
        (MousePlaced(100, 200, 1280, 720), "0000000e 05000000 0064 00c8 0000 04ff 02cf"),
        (Scrolled(60), "0000000a 0a000000 003c 003c 0000"),
        (
            ControllerState(0, 1, Button.A, 10, 20, 1000, -1000, 3, -4),
            "0000001e 0c000000 1a00 0000 0100 1400 0010 0a 14 e803 18fc 0300 fcff 9c00 0000 5500",
        ),
    ],
)
def test_input_layouts(event, packet):
    assert encode_input(event) == bytes.fromhex(packet)
    assert decode_input(bytes.fromhex(packet)) == event


def test_high_buttons_travel_in_the_second_word():
    state = ControllerState(15, 0x8000, Button.MISC | Button.PADDLE1 | Button.Y)
    assert decode_input(encode_input(state)) == state


@pytest.mark.parametrize(
    "packet",
    [
        "",
        "00000004",
        "00000005 07000000",
        "00000007 07000000 000000",
        "00000009 07000000 0000000000",
        "00000005 08000000 06",
        "00000005 08000000 00",
        "00000005 17000000 ff",
        "00000004 17000000",
        "00000025 17000000" + "61" * 33,
        "0000000e 05000000 0000 0000 0000 ffff 0000",
        "00000014 06000055 01 03 0000 00000000 00000000 00000000",
        "00000014 06000055 01 01 0000 0000c07f 00000000 00000000",
        "00000014 06000055 01 01 0000 0000807f 00000000 00000000",
        "00000014 06000055 10 01 0000 00000000 00000000 00000000",
        "00000020 02000055 08 00 0000 00000000" + "00000000" * 5,
        "0000001e 0c000000 1a00 1000" + "00" * 22,
        "000000ff 07000000" + "00" * 251,
    ],
)
def test_malformed_input_is_refused(packet):
    with pytest.raises(InputError):
        decode_input(bytes.fromhex(packet))


def test_unknown_input_is_kept_apart():
    event = decode_input(bytes.fromhex("00000006 99000055 abcd"))
    assert event == UnknownInput(0x55000099, b"\xab\xcd")
    assert encode_input(event).hex() == "0000000699000055abcd"
    assert route(InputMessage(event)) == (0, Delivery.RELIABLE)


@pytest.mark.parametrize(
    "event",
    [
        MouseMoved(40000, 0),
        MousePlaced(0, 0, 40000, 1),
        TextTyped(""),
        TextTyped("x" * 33),
        ControllerState(0, 1, left_trigger=256),
        KeyEvent(0x10000, True),
        inputs.Touched(Contact.DOWN, -1, 0.0, 0.0),
    ],
)
def test_input_that_does_not_fit_is_refused(event):
    with pytest.raises(InputError):
        encode_input(event)


def test_key_codes_are_one_byte():
    event = decode_input(bytes.fromhex("0000000a 03000000 00 41ff f1 0000"))
    assert event == KeyEvent(0x41, True, Modifier.SHIFT)


def test_large_moves_are_split():
    steps = list(input_queue.split_move(100_000, -40_000))
    assert sum(step.dx for step in steps) == 100_000
    assert sum(step.dy for step in steps) == -40_000
    assert all(encode_input(step) for step in steps)
    assert list(input_queue.split_move(0, 0)) == []


def test_waiting_events_are_merged():
    key = KeyEvent(0x41, True)
    merged = input_queue.coalesce(
        [
            MouseMoved(1, 2),
            MouseMoved(3, 4),
            key,
            MouseMoved(30000, 0),
            MouseMoved(30000, 0),
            MousePlaced(1, 1, 10, 10),
            MousePlaced(2, 2, 10, 10),
            ControllerState(0, 1, Button.A),
            ControllerState(0, 1, Button.A, left_x=5),
            ControllerState(0, 1),
            ControllerState(1, 3),
            ControllerMoved(0, MotionType.GYROSCOPE, 1, 1, 1),
            ControllerMoved(0, MotionType.GYROSCOPE, 2, 2, 2),
            ControllerMoved(0, MotionType.ACCELEROMETER, 3, 3, 3),
            MouseButtonEvent(MouseButton.LEFT, True),
            MouseButtonEvent(MouseButton.LEFT, True),
        ]
    )
    assert merged == [
        MouseMoved(4, 6),
        key,
        MouseMoved(30000, 0),
        MouseMoved(30000, 0),
        MousePlaced(2, 2, 10, 10),
        ControllerState(0, 1, Button.A, left_x=5),
        ControllerState(0, 1),
        ControllerState(1, 3),
        ControllerMoved(0, MotionType.GYROSCOPE, 2, 2, 2),
        ControllerMoved(0, MotionType.ACCELEROMETER, 3, 3, 3),
        MouseButtonEvent(MouseButton.LEFT, True),
        MouseButtonEvent(MouseButton.LEFT, True),
    ]
