"""GameStream over loopback, as processes: delay, first picture, control under load, CPU.

The picture is drawn and encoded by the tests' synthetic desktop (libx264, one thread), which is
part of delay and CPU. Delay is from drawing the clock to reading it in the decoded picture.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import psutil

from tests.moonlight_processes import PIN, ROOT, HostProcess, Talker, running_host

STREAMS: dict[str, dict[str, Any]] = {
    "720p60, moving pattern, 10 Mbit/s": {
        "app": 7, "size": (1280, 720), "fps": 60, "kbps": 10_000, "pictures": 300,
    },
    "360p60, noise at fixed quality": {
        "app": 9, "size": (640, 360), "fps": 60, "kbps": 60_000, "pictures": 300,
    },
}  # fmt: skip
REAL = ROOT / "tests" / "peers" / "moonlight"


def run(rounds: int = 3) -> dict[str, Any]:
    """Each stream with and without encryption; then launches, resumes, and the real client."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with running_host(root, noise=True) as host:
            viewer = Talker(
                root / "viewer.log",
                "tests.moonlight_viewer",
                str(root),
                "127.0.0.1",
                str(host.port),
                PIN,
            )
            try:
                return {
                    "streams": _streams(host, viewer, rounds),
                    "first_picture": _starts(viewer, 7 * rounds),
                    "real_client": _real_client(root, host, rounds),
                }
            finally:
                viewer.stop()


def _streams(host: HostProcess, viewer: Talker, rounds: int) -> list[dict[str, Any]]:
    process = psutil.Process(host.process.pid)
    rows = []
    for name, wanted in STREAMS.items():
        for encryption in (0, 7):
            found, cores = [], []
            for _ in range(rounds):
                before = sum(process.cpu_times()[:2])
                one = viewer(**wanted, encryption=encryption, quit=True, seconds=60)
                spent = sum(process.cpu_times()[:2]) - before
                found.append(one)
                cores.append(spent / one["figures"]["seconds"])
            figures = [one["figures"] for one in found]
            rows.append(
                {
                    "stream": name,
                    "encrypted": bool(encryption),
                    "delay_p50_ms": statistics.median(one["age_ms"] for one in found),
                    "delay_p95_ms": statistics.median(one["age_p95_ms"] for one in found),
                    "mbit_s": round(
                        statistics.median(f["bitrate_kbps"] for f in figures) / 1000, 1
                    ),
                    "frames": sum(f["frames"] for f in figures),
                    "lost": sum(f["lost"] for f in figures),
                    "recovered_packets": sum(f["recovered_packets"] for f in figures),
                    "control_rtt_ms": max(f["round_trip_ms"] for f in figures),
                    "host_cores": round(statistics.median(cores), 2),
                }
            )
    return rows


def _starts(viewer: Talker, times: int) -> dict[str, Any]:
    """From asking /serverinfo to the first whole frame."""
    launches, resumes = [], []
    for _ in range(times):
        launches.append(viewer(pictures=5)["first_frame_ms"])
        for last in (False, True):
            one = viewer(pictures=5, quit=last)
            assert one["resumed"]
            resumes.append(one["first_frame_ms"])
    return {"launch": spread(launches), "resume": spread(resumes)}


def spread(times: list[float]) -> dict[str, int]:
    """Of times in ms."""
    return {
        "count": len(times),
        "p50_ms": round(statistics.median(times)),
        "p95_ms": round(sorted(times)[len(times) * 95 // 100]),
        "worst_ms": round(max(times)),
    }


def said(found: dict[str, Any]) -> str:
    """Both spreads, for people."""
    return "first picture: " + ", ".join(
        f"{name} {one['p50_ms']} / {one['p95_ms']} ms (worst {one['worst_ms']} of {one['count']})"
        for name, one in found.items()
    )


def _real_client(root: Path, host: HostProcess, rounds: int) -> dict[str, Any] | None:
    """The C library's delay to the picture, if it is installed (scripts/moonlight-client)."""
    python = REAL / ".venv" / "bin" / "python"
    if not python.exists():
        return None
    command = [str(python), str(REAL / "real_client.py"), str(root / "real"), str(host.port)]
    subprocess.run([*command, "pair", PIN], check=True, capture_output=True, timeout=60)
    ages: list[int] = []
    for _ in range(rounds):
        done = subprocess.run(
            [*command, "stream", "Pattern", "100"], check=True, capture_output=True, timeout=90
        )
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith(b"{")]
        ages += [line["now"] - line["clock"] for line in lines if line.get("clock") is not None]
    return {
        "pictures": len(ages),
        "delay_p50_ms": statistics.median(ages),
        "delay_p95_ms": sorted(ages)[len(ages) * 95 // 100],
    }


def table(found: dict[str, Any]) -> str:
    """For people."""
    head = f"{'stream':36} {'enc':>4} {'delay p50/p95':>14} {'Mbit/s':>7} {'frames':>7} {'lost':>5}"
    lines = [
        "GameStream, host and own client on one machine",
        f"{head} {'RTT ms':>7} {'cores':>6}",
    ]
    for row in found["streams"]:
        delay = f"{row['delay_p50_ms']:.0f} / {row['delay_p95_ms']:.0f} ms"
        lines.append(
            f"{row['stream']:36} {'yes' if row['encrypted'] else 'no':>4} {delay:>14} "
            f"{row['mbit_s']:>7} {row['frames']:>7} {row['lost']:>5} "
            f"{row['control_rtt_ms']:>7} {row['host_cores']:>6}"
        )
    lines.append(said(found["first_picture"]))
    real = found["real_client"]
    if real is not None:
        lines.append(
            f"client of the C library, 360p30: delay {real['delay_p50_ms']:.0f} / "
            f"{real['delay_p95_ms']:.0f} ms over {real['pictures']} pictures"
        )
    return "\n".join(lines)
