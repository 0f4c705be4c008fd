"""`scripts/fuzz [TARGET ...] [--seconds N]`: atheris, one process for each target.

Without targets all of them, N seconds each. Findings and the growing corpus lie in build/fuzz.
Exits with 1 if anything but a documented error came out.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLACE = ROOT / "build" / "fuzz"
MAX_BYTES = 8192
UNIT_SECONDS = 10
"""One input may not take longer."""
MEMORY_MB = 1024


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("targets", nargs="*")
    options.add_argument("--seconds", type=int, default=60)
    options.add_argument("--one", help=argparse.SUPPRESS)
    chosen, rest = options.parse_known_args()
    if chosen.one:
        fuzz(chosen.one, [*chosen.targets, *rest])
        return 0
    from tests.fuzz.targets import TARGETS

    failed = []
    total = 0
    for name in chosen.targets or TARGETS:
        corpus = PLACE / "corpus" / name
        corpus.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(TARGETS[name].seeds()):
            (corpus / f"seed-{number}").write_bytes(seed[:MAX_BYTES])
        done = subprocess.run(
            [
                *(sys.executable, "-m", __spec__.name, "--one", name, str(corpus)),
                f"-max_total_time={chosen.seconds}",
                f"-max_len={MAX_BYTES}",
                f"-timeout={UNIT_SECONDS}",
                f"-rss_limit_mb={MEMORY_MB}",
                f"-artifact_prefix={PLACE}/{name}-",
                "-print_final_stats=1",
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        found = re.search(r"number_of_executed_units: (\d+)", done.stdout)
        runs = int(found.group(1)) if found else 0
        total += runs
        covered = re.findall(r"cov: (\d+)", done.stdout)
        print(f"{name:16} {runs:>10} runs, coverage {covered[-1] if covered else '?'}", flush=True)
        if done.returncode:
            failed.append(name)
            print(done.stdout[-4000:])
    print(f"{total} runs in all; failed: {', '.join(failed) or 'none'}")
    return 1 if failed else 0


def fuzz(name: str, arguments: list[str]) -> None:
    """In a process of its own: libFuzzer does not return."""
    import atheris  # type: ignore[import-untyped]

    with atheris.instrument_imports(include=["earthshine"]):
        from tests.fuzz.targets import TARGETS
    atheris.Setup([name, *arguments], TARGETS[name].run)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
