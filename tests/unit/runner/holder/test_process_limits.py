"""A holder at the limit of its spool or of the disk, and secrets it must not show."""

import errno
import os
import resource
import time

import pytest

from earthshine.protocols import events
from earthshine.protocols.envelope import Input
from earthshine.protocols.events import Kind
from earthshine.runner.holder import place
from earthshine.runner.holder import process as holder
from earthshine.runner.holder.messages import Acked, Condition
from earthshine.runner.spool.segments import segments
from earthshine.runner.spool.writer import MIN_LIMIT
from tests.unit.runner.holder.held_agent import (
    WAIT,
    WRITE_ALL,
    python,
    stream,
)


def test_at_the_limit_the_oldest_becomes_one_gap(held):
    held.start(python(WRITE_ALL.format(1500)), spool_limit=MIN_LIMIT)
    assert held.end().exit_code == 0
    size = sum(segment.path.stat().st_size for segment in segments(held.folder / place.SPOOL))
    assert size <= MIN_LIMIT
    gap, *rest = held.log()
    detail = events.detail(gap, events.Gap)
    assert (detail.first_seq, detail.reason) == (1, "spool-limit")
    printed = stream(1500)
    kept = b"".join(event.data for event in rest if event.kind == Kind.OUTPUT)
    assert detail.bytes + len(kept) == len(printed)
    assert printed.endswith(kept)
    assert len(kept) > MIN_LIMIT // 2


def test_an_agent_can_be_paused_at_the_limit_instead(held, wait_until):
    held.start(python(WRITE_ALL.format(600)), spool_limit=MIN_LIMIT, overflow="pause")
    line = held.line()
    while (condition := line.hear(Condition)) == Condition(code="ok"):
        pass
    assert isinstance(condition, Condition)
    assert condition.code == "spool-full"
    assert condition.remedy
    received, seq = bytearray(), 0
    while True:
        fresh = [event for event in held.log() if event.seq > seq]
        assert all(event.kind != Kind.GAP for event in fresh)
        received += b"".join(event.data for event in fresh if event.kind == Kind.OUTPUT)
        if fresh:
            seq = fresh[-1].seq
            if fresh[-1].kind == Kind.EXITED:
                break
            line.say(Acked(seq=seq))
    assert bytes(received) == stream(600)


def test_a_full_disk_pauses_the_agent_and_loses_nothing(held):
    held.start(python(f"{WAIT}{WRITE_ALL.format(300)}sys.exit(6)"))
    held.until_printed(b"ready")
    line = held.line()
    assert line.hear() == Condition(code="ok")
    # No byte of a file beyond this can be written: the kernel's stand-in for a full disk.
    resource.prlimit(held.holder_pid, resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    line.say(Input(data=b"x"))
    condition = line.hear(Condition)
    assert isinstance(condition, Condition)
    assert condition.code == "disk-error"
    assert "paused" in condition.detail
    assert len(held.output()) < 200_000
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.prlimit(held.holder_pid, resource.RLIMIT_FSIZE, unlimited)
    assert line.hear(Condition) == Condition(code="ok")
    assert held.end().exit_code == 6
    assert held.output() == b"ready" + stream(300)


def test_a_disk_that_is_full_at_the_end_delays_the_end(held):
    held.start(["sh", "-c", "read x; exit 6"])
    size = segments(held.folder / place.SPOOL)[0].path.stat().st_size
    line = held.line()
    assert line.hear() == Condition(code="ok")
    resource.prlimit(held.holder_pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    line.say(Input(data=b"\r"))
    condition = line.hear(Condition)
    assert isinstance(condition, Condition)
    assert condition.code == "disk-error"
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.prlimit(held.holder_pid, resource.RLIMIT_FSIZE, unlimited)
    assert held.end().exit_code == 6
    assert held.output() == b"\r\n"


@pytest.mark.parametrize(
    ("number", "code"),
    [(errno.ENOSPC, "disk-full"), (errno.EDQUOT, "disk-full"), (errno.EIO, "disk-error")],
)
def test_what_is_wrong_with_the_disk_is_said_in_words(number, code):
    condition = holder._disk(OSError(number, ""))
    assert condition.code == code
    assert os.strerror(number) in condition.detail


# --- secrets -------------------------------------------------------------------------------------

SECRET = "sk-test-0123456789"


def with_secret(held, argv, **other):
    """Start an agent whose environment holds a secret."""
    environment = held.spec(argv).environment | {"API_KEY": SECRET}
    return held.start(argv, environment=environment, redact=["API_KEY"], **other)


def test_a_secret_that_the_agent_prints_is_redacted(held):
    code = f"os.write(1, b'<{SECRET}>'); os.write(1, os.environ['API_KEY'].encode()[:5])\n"
    with_secret(held, python(code))
    held.end()
    assert held.output() == b"<[redacted API_KEY]>sk-te", "and what only began like one is not lost"


def test_the_beginning_of_a_secret_is_shown_when_nothing_follows(held):
    with_secret(held, python("os.write(1, b'key: sk-test'); os.read(0, 1)\n"))
    assert held.until_printed(b"sk-test") == b"key: sk-test"


def test_a_short_beginning_does_not_wait_for_a_longer_ones_time(held):
    code = "os.write(1, b'sk-test-0'); time.sleep(0.05); os.write(1, b'<s'); os.read(0, 1)\n"
    with_secret(held, python(f"{WAIT}import time; {code}"))
    held.until_printed(b"ready")
    begun = time.monotonic()
    held.line().say(Input(data=b"x"))
    assert held.until_printed(b"<s") == b"readysk-test-0<s"
    assert time.monotonic() - begun < 0.9, "a second is for the longer one"


def test_much_output_with_secrets_in_it_is_whole(held):
    """Their replacements make it longer than one entry may be."""
    with_secret(held, python(f"d = b'{SECRET}' * 20000\nwhile d: d = d[os.write(1, d):]\n"))
    held.end()
    between = held.output().split(b"[redacted API_KEY]")
    assert len(between) == 20_001
    # Where this machine let the agent pause within one, its first few bytes went out.
    assert all(len(part) < 8 and SECRET.encode().startswith(part) for part in between)


def test_a_secret_is_redacted_on_a_full_disk_too(held):
    code = f"{WAIT}d = b'x' * 400000 + b'{SECRET}'\nwhile d: d = d[os.write(1, d):]\n"
    with_secret(held, python(code))
    held.until_printed(b"ready")
    line = held.line()
    assert line.hear() == Condition(code="ok")
    resource.prlimit(held.holder_pid, resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    line.say(Input(data=b"\r"))
    condition = line.hear(Condition)
    assert isinstance(condition, Condition)
    assert condition.code == "disk-error"
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.prlimit(held.holder_pid, resource.RLIMIT_FSIZE, unlimited)
    held.end()
    assert held.output() == b"ready" + b"x" * 400_000 + b"[redacted API_KEY]"


def test_what_describes_a_holder_holds_no_secret(held):
    spec = held.spec(["x"], environment={"API_KEY": SECRET}, redact=["API_KEY"])
    assert SECRET not in repr(spec)
