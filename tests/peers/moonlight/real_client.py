"""A process around the PyPI package moonlight-python (the C library inside): one command, JSON out.

    real_client.py FOLDER PORT pair PIN | list | stream APP FRAMES [CODEC] | quit

Runs in an environment of its own and imports nothing of Earthshine. `stream` prints one line per
picture: the clock read from its barcode and the clock now, both in ms.
"""

import json
import sys
import time
from pathlib import Path

import moonlight_python  # type: ignore[import-not-found]
import numpy as np
from moonlight_python import decoder
from moonlight_python.discovery import connect_to_server  # type: ignore[import-not-found]
from moonlight_python.http_client import NvHTTP  # type: ignore[import-not-found]

decoder.CODEC_NAMES["av1"] = "libdav1d"  # the plain name is a hardware decoder

BLOCKS, BITS = 24, 22


def read(picture: "np.ndarray") -> "int | None":
    luma = picture.mean(axis=2)
    rows, columns = luma.shape
    width, tall = columns // BLOCKS, max(16, rows // 10) & ~1
    middle = luma[tall // 4 : tall - tall // 4]
    bits = [
        int(middle[:, b * width + width // 4 : (b + 1) * width - width // 4].mean() > 127)
        for b in range(BLOCKS)
    ]
    value = int("".join(map(str, bits[:BITS])), 2)
    check = 1
    for at in range(0, BITS, 2):
        check ^= value >> at & 3
    return value if bits[BITS:] == [check >> 1, check & 1] else None


def say(**found: object) -> None:
    print(json.dumps(found), flush=True)


def main() -> None:
    folder, port, command, *rest = sys.argv[1:]
    client = moonlight_python.MoonlightClient(config_dir=folder)
    if command == "pair":
        client._server = connect_to_server("127.0.0.1", client._identity, int(port))
        client.pair(pin=rest[0])
        Path(folder, "host.pem").write_bytes(client._server.server_cert_pem)
        say(paired=True)
        return
    # As moonlight-qt does, and this package forgets: the host's certificate outlives the process,
    # so that /serverinfo is asked over HTTPS and says what runs.
    pinned = Path(folder, "host.pem").read_bytes()
    server = client._server = connect_to_server("127.0.0.1", client._identity, int(port))
    server.server_cert_pem = pinned
    client._http = NvHTTP(
        "127.0.0.1",
        client._identity,
        http_port=int(port),
        https_port=server.https_port,
        server_cert_pem=pinned,
    )
    if command == "list":
        say(apps=[[app.id, app.name] for app in client.apps()])
    elif command == "quit":
        client.quit_app()
        say(quit=True)
    elif command == "stream":
        app, frames = rest[0], int(rest[1])
        codec = rest[2] if len(rest) > 2 else "h264"
        settings = {"width": 640, "height": 360, "fps": 30, "bitrate_kbps": 4000}
        begun = time.monotonic()
        with client.stream(app=app, codec=codec, **settings):
            audio = client._stream_manager.subscribe_audio()
            for count, frame in enumerate(client.frames(), 1):
                now = time.monotonic_ns() // 1_000_000 % (1 << BITS)
                say(
                    clock=read(frame.data),
                    now=now,
                    number=frame.frame_number,
                    since=time.monotonic() - begun,
                )
                if count == frames:
                    break
            heard = [audio.get(timeout=1.0) for _ in range(50)]
            chunks = [chunk.data for chunk in heard if chunk is not None]
            if chunks:
                samples = np.concatenate(chunks)
                loudest = [
                    float(np.argmax(np.abs(np.fft.rfft(samples[:, c]))) * 48000 / len(samples))
                    for c in range(samples.shape[1])
                ]
                say(tones=loudest)
        say(stopped=True)


main()
