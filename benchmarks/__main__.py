"""Run all benchmarks, print a table and JSON, record both with the machine's description.

python -m benchmarks [--quick] [--record [--as LABEL]] [NAME...]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import (
    desktop,
    idle_runners,
    moonlight,
    moonlight_desktop,
    moonlight_library,
    moonlight_matrix,
    replay,
    revdial,
    terminal,
)
from earthshine import __version__

SSH = {"terminal", "replay", "reverse_dial"}
"""Those that measure beside sshd."""
RESULTS = Path(__file__).parent / "results"
Run = Callable[[], dict[str, Any]]
BENCHMARKS: dict[str, tuple[Run, Run, Callable[[dict[str, Any]], str]]] = {
    "terminal": (terminal.run, lambda: terminal.run(1), terminal.table),
    "replay": (replay.run, lambda: replay.run(1), replay.table),
    "desktop": (desktop.run, desktop.quick, desktop.table),
    "idle_runners": (idle_runners.run, lambda: idle_runners.run(200), idle_runners.table),
    "moonlight": (moonlight.run, lambda: moonlight.run(1), moonlight.table),
    "moonlight_library": (
        moonlight_library.run,
        lambda: moonlight_library.run(0.1),
        moonlight_library.table,
    ),
    "moonlight_desktop": (
        moonlight_desktop.run,
        lambda: moonlight_desktop.run(4.0, 2),
        moonlight_desktop.table,
    ),
    "moonlight_matrix": (
        moonlight_matrix.run,
        lambda: moonlight_matrix.run(20),
        moonlight_matrix.table,
    ),
    "reverse_dial": (revdial.run, lambda: revdial.run(1), revdial.table),
}


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    ssh = subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=False)
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "load_average": [round(load, 1) for load in os.getloadavg()],
        "memory_GB": round(memory / 1e9, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "earthshine": __version__,
        "ssh": ssh.stderr.strip(),
    }


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="benchmarks")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="one round of each")
    parser.add_argument("--record", action="store_true", help="write to benchmarks/results")
    parser.add_argument("--as", dest="label", default="", help="added to the name of the record")
    options = parser.parse_args()
    unknown = set(options.names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"there is no benchmark called {', '.join(sorted(unknown))}")
    names = options.names or list(BENCHMARKS)
    if SSH & set(names) and shutil.which("sshd", path="/usr/sbin:/usr/bin") is None:
        print("sshd is not installed: apt-get install openssh-server", file=sys.stderr)
        return 1
    found: dict[str, Any] = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": machine(),
    }
    tables = []
    for name in names:
        full, quick, table = BENCHMARKS[name]
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        found[name] = (quick if options.quick else full)()
        tables.append(table(found[name]))
    text = "\n\n".join(tables)
    print(json.dumps(found, indent=2))
    print()
    print(text)
    if options.record:
        RESULTS.mkdir(exist_ok=True)
        stem = RESULTS / "-".join(filter(None, (found["date"], options.label)))
        stem.with_suffix(".json").write_text(json.dumps(found, indent=2) + "\n")
        where = found["machine"]
        header = f"{where['cpu']}, {where['cores']} cores, Linux {where['kernel']}, "
        header += f"load average {where['load_average'][0]} when it began\n\n"
        stem.with_suffix(".txt").write_text(header + text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
