"""Every combination of codec, encryption, RTSP, FEC blocks and network, and what came of it."""

from __future__ import annotations

import random
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from tests.moonlight_processes import ALL_CASES, NETWORKS, faults, running_arena

SEED = 1


def run(limit: int | None = None) -> dict[str, Any]:
    """All 180 cases, or ``limit`` of them drawn at random."""
    cases = ALL_CASES if limit is None else random.Random(SEED).sample(ALL_CASES, limit)
    rows = []
    with tempfile.TemporaryDirectory() as folder, running_arena(Path(folder)) as arena:
        for index, case in enumerate(cases, 1):
            found = arena.run(case)
            figures = found["figures"]
            rows.append(
                {
                    **vars(case),
                    "faults": faults(case, found),
                    "pictures": found["pictures"],
                    "unreadable": found["unreadable"],
                    "frames_lost": figures["lost"],
                    "packets_recovered": figures["recovered_packets"],
                    "idr_requests": figures["idr_requests"],
                    "delay_ms": found["age_ms"],
                }
            )
            print(f"{index}/{len(cases)} {case}: {rows[-1]['faults'] or 'ok'}", file=sys.stderr)
    return {"cases": rows}


def table(found: dict[str, Any]) -> str:
    """Per codec, number of blocks and network: cases, those right, and what the network did."""
    groups: dict[tuple[str, int, str], list[dict[str, Any]]] = defaultdict(list)
    for row in found["cases"]:
        groups[row["codec"], row["blocks"], row["network"]].append(row)
    head = f"{'codec':6} {'blocks':>6} {'network':10} {'right':>7} {'pictures':>9} {'lost':>5}"
    lines = [
        "GameStream matrix: {encryption none, control, all} x {plain, encrypted RTSP} in each row",
        f"{head} {'recovered':>10} {'IDR asked':>10} {'delay':>7}",
    ]
    order = list(NETWORKS)
    for key in sorted(groups, key=lambda key: (key[0], key[1], order.index(key[2]))):
        rows = groups[key]
        right = sum(not row["faults"] for row in rows)
        delays = sorted(row["delay_ms"] for row in rows if row["delay_ms"] is not None)
        lines.append(
            f"{key[0]:6} {key[1]:>6} {key[2]:10} {f'{right}/{len(rows)}':>7} "
            f"{sum(row['pictures'] for row in rows):>9} "
            f"{sum(row['frames_lost'] for row in rows):>5} "
            f"{sum(row['packets_recovered'] for row in rows):>10} "
            f"{sum(row['idr_requests'] for row in rows):>10} "
            f"{delays[len(delays) // 2] if delays else 0:>4.0f} ms"
        )
    return "\n".join(lines)
