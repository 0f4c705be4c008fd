"""The table for people."""

from __future__ import annotations

import statistics
from typing import Any


def table(found: dict[str, Any]) -> str:
    """One block for each scene, then the first picture."""
    width, height = found["size"]
    lines = [f"A {width}x{height} desktop in Chromium {found['chromium']}"]
    contenders = found["contenders"]
    scenes = next(iter(contenders.values()))["scenes"] if contenders else {}
    head = (
        f"{'':28} {'delay p50/p95':>15} {'last frame':>11} {'exact':>8} {'kB/s':>7}"
        f" {'frames':>9} {'cores':>6}"
    )
    for scene in scenes:
        lines += ["", f"{scene:28}{head[28:]}"]
        for name, one in contenders.items():
            row = one["scenes"][scene]
            delay = f"{_ms(row['delay_p50_ms'])} / {_ms(row['delay_p95_ms'])}"
            lines.append(
                f"{name:28} {delay:>15} {_ms(row['last_frame_ms']):>11}"
                f" {_ms(row['exact_ms']):>8} {row['kB_s']:>7}"
                f" {row['frames_seen']:>4}/{row['frames_drawn']:<4} {row['cores']:>6}"
            )
    lines += [
        "",
        f"{'first current picture, ms':28} {'opened':>15} {'refreshed, median / worst':>28}",
    ]
    for name, one in contenders.items():
        again = one["refreshed_ms"]
        both = f"{statistics.median(again):.0f} / {max(again)}"
        lines.append(f"{name:28} {one['opened_ms']:>15} {both:>28}")
    lines += [f"{name}: not measured: {reason}" for name, reason in found["missing"].items()]
    lines.append("")
    lines.append(
        "delay, last frame, exact: milliseconds; exact: every pixel as on the display, -: not"
    )
    lines.append(
        "within 3 s. cores: everything but the browser and the scene. guacd's tunnel to the"
    )
    lines.append("browser is Earthshine's, and its CPU is not counted.")
    return "\n".join(lines)


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
