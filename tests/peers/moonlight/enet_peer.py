"""A process around pyenet (the C library of ENet): one command, one JSON line out per event.

    enet_peer.py client PORT DATA MESSAGES | server MESSAGES

The client sends MESSAGES on several channels, some in fragments, waits for as many
echoes, and leaves.
The server prints its port, echoes what comes and ends when the client leaves.
"""

import json
import sys
import time

import enet  # type: ignore[import-not-found]

CHANNELS = 48
PATIENCE = 20.0


def say(**found: object) -> None:
    print(json.dumps(found), flush=True)


def service(host: "enet.Host", until: float) -> "enet.Event | None":
    while time.monotonic() < until:
        event = host.service(0)  # a longer wait would hold Python's lock
        if event.type != enet.EVENT_TYPE_NONE:
            return event
        time.sleep(0.001)
    return None


def client(port: int, data: int, messages: int) -> None:
    host = enet.Host(None, 1, CHANNELS, 0, 0)
    peer = host.connect(enet.Address(b"127.0.0.1", port), CHANNELS, data)
    until = time.monotonic() + PATIENCE
    heard = 0
    while (event := service(host, until)) is not None:
        if event.type == enet.EVENT_TYPE_CONNECT:
            say(connected=True)
            for number in range(messages):
                body = b"%d:" % number + b"x" * (number * 37 % 2000)
                peer.send(number % CHANNELS, enet.Packet(body, enet.PACKET_FLAG_RELIABLE))
        elif event.type == enet.EVENT_TYPE_RECEIVE:
            heard += 1
            if heard == messages:
                say(heard=heard)
                peer.disconnect()
        elif event.type == enet.EVENT_TYPE_DISCONNECT:
            say(disconnected=True)
            return


def server(messages: int) -> None:
    host = enet.Host(enet.Address(b"127.0.0.1", 0), 4, CHANNELS, 0, 0)
    say(port=host.address.port)
    until = time.monotonic() + PATIENCE
    heard = 0
    while (event := service(host, until)) is not None:
        if event.type == enet.EVENT_TYPE_CONNECT:
            say(connected=event.data)
        elif event.type == enet.EVENT_TYPE_RECEIVE:
            heard += 1
            event.peer.send(0, enet.Packet(event.packet.data, enet.PACKET_FLAG_RELIABLE))
            if heard == messages:
                say(heard=heard)
        elif event.type == enet.EVENT_TYPE_DISCONNECT:
            say(disconnected=True)
            return


if sys.argv[1] == "client":
    client(*map(int, sys.argv[2:]))
else:
    server(int(sys.argv[2]))
