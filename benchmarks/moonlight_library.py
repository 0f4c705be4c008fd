"""How much of a core the Moonlight protocol library takes. CPU time, best of several rounds."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import numpy as np

from earthshine.protocols.moonlight import fec
from earthshine.protocols.moonlight.audio import AudioCipher, AudioPacketiser
from earthshine.protocols.moonlight.control_cipher import ControlCipher, IvScheme
from earthshine.protocols.moonlight.depacketiser import VideoDepacketiser
from earthshine.protocols.moonlight.rtsp import Role
from earthshine.protocols.moonlight.video import FrameType, VideoCipher, VideoPacketiser

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

KEY = bytes(range(16))
FPS = 60
ROUNDS = 5


def cpu_seconds(work: Callable[[], object], seconds: float) -> float:
    """CPU time of one call of ``work``: the best round, each long enough to measure."""
    started = time.process_time()
    work()
    once = max(time.process_time() - started, 1e-6)
    repeats = max(1, int(seconds / ROUNDS / once))
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.process_time()
        for _ in range(repeats):
            work()
        best = min(best, (time.process_time() - started) / repeats)
    return best


def host(mbit: int, *, encrypted: bool, fec_percent: int, seconds: float) -> dict[str, float]:
    """Packetise, make parity and encrypt frames of a stream of ``mbit`` Mbit/s at 60 fps."""
    unit = b"\0\0\0\1\x41" + random.Random(1).randbytes(mbit * 1_000_000 // 8 // FPS)
    cipher = VideoCipher(KEY) if encrypted else None
    packetiser = VideoPacketiser(1360, fec_percent=fec_percent, cipher=cipher)
    spent = cpu_seconds(
        lambda: packetiser.packetise(unit, frame=1, frame_type=FrameType.P, timestamp=0), seconds
    )
    return {"us_per_frame": spent * 1e6, "core_percent": spent * FPS * 100}


def client(mbit: int, *, loss: float, seconds: float) -> dict[str, float]:
    """Decrypt, restore and join the same frames."""
    source = random.Random(2)
    unit = b"\0\0\0\1\x67" + source.randbytes(mbit * 1_000_000 // 8 // FPS)
    packetiser = VideoPacketiser(1360, cipher=VideoCipher(KEY))
    frames = []
    for number in range(1, 6):
        cut = packetiser.packetise(unit, frame=number, frame_type=FrameType.IDR, timestamp=0)
        frames.append([bytes(d) for d in cut if source.random() >= loss])

    def work() -> None:
        receiving = VideoDepacketiser(1360, cipher=VideoCipher(KEY))
        for frame in frames:
            for datagram in frame:
                receiving.receive(datagram)

    spent = cpu_seconds(work, seconds) / len(frames)
    return {"us_per_frame": spent * 1e6, "core_percent": spent * FPS * 100}


def encode_row_by_row(data: NDArray[np.uint8], parity_count: int) -> NDArray[np.uint8]:
    """The plain numpy version to compare with: one lookup per parity row and data column."""
    table, inverse = fec._MULTIPLY, fec._INVERSE
    parity = np.zeros((parity_count, data.shape[1]), np.uint8)
    for row in range(parity_count):
        for column in range(len(data)):
            parity[row] ^= table[inverse[(parity_count + column) ^ row]][data[column]]
    return parity


def parity(data: int, count: int, seconds: float) -> dict[str, float]:
    """Encode and recover 1408-byte shards, in Mbit of data per second."""
    shards = np.random.default_rng(1).integers(0, 256, (data, 1408), dtype=np.uint8)
    made = fec.encode(shards, count)
    assert (made == encode_row_by_row(shards, count)).all()
    lost = min(data, count)
    missing = list(range(lost))
    megabits = shards.size * 8 / 1e6
    damaged = shards.copy()
    return {
        "encode_mbit_s": megabits / cpu_seconds(lambda: fec.encode(shards, count), seconds),
        "row_by_row_mbit_s": megabits
        / cpu_seconds(lambda: encode_row_by_row(shards, count), seconds),
        "recover_mbit_s": megabits
        / cpu_seconds(lambda: fec.recover(damaged, missing, made[:lost], missing, count), seconds),
    }


def small(seconds: float) -> dict[str, float]:
    """Sound and control packets, in microseconds each."""
    audio = AudioPacketiser(5, AudioCipher(KEY, 0))
    opus = bytes(60)
    cipher = ControlCipher(KEY, Role.HOST, IvScheme.V2)
    return {
        "audio_packet_us": cpu_seconds(lambda: audio.packetise(opus), seconds) * 1e6,
        "control_seal_us": cpu_seconds(lambda: cipher.seal(opus), seconds) * 1e6,
    }


def run(seconds: float = 0.5) -> dict[str, dict[str, float]]:
    """All of it; ``seconds`` of CPU time per measurement."""
    results: dict[str, dict[str, float]] = {}
    for mbit in (20, 100):
        for encrypted in (False, True):
            name = f"host {mbit} Mbit/s 60 fps, FEC 20 %, {'GCM' if encrypted else 'plain'}"
            results[name] = host(mbit, encrypted=encrypted, fec_percent=20, seconds=seconds)
        for loss in (0.0, 0.02, 0.05):
            results[f"client {mbit} Mbit/s 60 fps, GCM, loss {loss:.0%}"] = client(
                mbit, loss=loss, seconds=seconds
            )
    for data, count in ((8, 2), (40, 8), (152, 31), (200, 40)):
        results[f"FEC {data}+{count}"] = parity(data, count, seconds)
    results["small packets"] = small(seconds)
    return results


def table(found: dict[str, dict[str, float]]) -> str:
    """For people."""
    lines = ["the protocol library on one core, CPU time"]
    for name, values in found.items():
        said = "  ".join(f"{key} {value:,.1f}" for key, value in values.items())
        lines.append(f"{name:42} {said}")
    return "\n".join(lines)
