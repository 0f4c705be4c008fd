"""`earthshine audit` against a running server, and against its database when it has stopped."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.world import World, running_world, wait_for

COMMAND = [sys.executable, "-m", "earthshine.cli", "audit"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("audit")) as it:
        for n in range(3):
            session = it.api(
                "POST", "/sessions", {"agent": "command", "command": ["sleep", "600"]}
            )["id"]
            it.api("POST", f"/sessions/{session}/prompt", {"text": f"prompt {n}"})
            it.api("POST", f"/sessions/{session}/kill", {})
        yield it


def audit(
    world: World, *arguments: str, code: int = 0, **more: Any
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*COMMAND, *arguments],
        env=world.environment(EARTHSHINE_STATE_DIR=str(world.state)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **more,
    )
    assert done.returncode == code, (done.stdout, done.stderr)
    return done


@pytest.fixture(scope="module")
def export(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "audit.jsonl"
    assert "records; head " in audit(world, "export", "--out", str(path)).stderr
    return path


def changed(export: Path, change: Any, name: str = "changed") -> str:
    lines = export.read_text().splitlines(keepends=True)
    path = export.with_name(f"{name}.jsonl")
    path.write_text("".join(change(lines)))
    return str(path)


def test_what_the_server_exports_is_sound(world: World, export: Path) -> None:
    assert export.stat().st_mode & 0o777 == 0o600
    report = json.loads(audit(world, "verify", str(export), "--json").stdout)
    assert report["ok"]
    assert report["records"] == len(export.read_text().splitlines()) - 1
    assert audit(world, "verify").stdout.startswith(f"{report['records']} records, nothing is")
    assert audit(world, "verify", "-", input=export.read_text()).returncode == 0
    assert audit(world, "export").stdout == export.read_text()


def test_what_was_altered_removed_reordered_or_cut_is_named(world: World, export: Path) -> None:
    def findings(change: Any) -> list[tuple[str, int]]:
        done = audit(world, "verify", changed(export, change), "--json", code=1)
        return [(p["finding"], p["seq"]) for p in json.loads(done.stdout)["problems"]]

    def alter(lines: list[str]) -> list[str]:
        assert any("prompt 1" in line for line in lines)
        return [line.replace("prompt 1", "prompt 9") for line in lines]

    count = len(export.read_text().splitlines()) - 1
    (altered,) = findings(alter)
    assert altered[0] == "altered"
    assert findings(lambda lines: lines[:2] + lines[3:]) == [("removed", 3)]
    assert findings(lambda lines: [*lines[:3], lines[4], lines[3], *lines[5:]]) == [
        ("reordered", 4)
    ]
    assert findings(lambda lines: [*lines[:-2], lines[-1]]) == [("truncated", count)]
    assert findings(lambda lines: lines[:-1]) == [("incomplete", count + 1)]
    words = audit(world, "verify", changed(export, alter), code=1).stdout
    assert f"altered: record {altered[1]} was altered" in words


def test_an_earlier_export_or_head_shows_that_the_chain_was_made_anew(
    world: World, export: Path
) -> None:
    from earthshine.control.audit import chain

    def anew(lines: list[str]) -> list[str]:
        """What somebody with the database can make: a chain that holds."""
        head, made = chain.Head(), []
        for line in lines[:-1]:
            record = json.loads(line.replace("prompt 1", "prompt 9"))
            fields = {k: v for k, v in record.items() if k not in ("hash", "previous", "seq")}
            sealed, head = chain.append(fields, head)
            made.append(sealed.line().decode() + "\n")
        return [*made, chain.head_line(head).decode() + "\n"]

    forged = changed(export, anew, "forged")
    audit(world, "verify", forged)
    done = audit(world, "verify", forged, "--against", str(export), "--json", code=1)
    (problem,) = json.loads(done.stdout)["problems"]
    assert problem["finding"] == "rewritten"
    number = 1 + next(
        i for i, line in enumerate(export.read_text().splitlines()) if "prompt 1" in line
    )
    assert problem["seq"] == number
    noted = wait_for(lambda: _heads_logged(world), 10, "heads in the server's log")
    last = json.loads(export.read_text().splitlines()[-1])["head"]
    head = f"{last['seq']}:{last['hash']}"
    assert "rewritten" in audit(world, "verify", forged, "--head", head, code=1).stdout
    audit(world, "verify", str(export), "--head", head, "--head", noted[0])
    audit(world, "verify", "--against", str(export))


def _heads_logged(world: World) -> list[str]:
    words = [line.partition("audit log head ")[2] for line in world.control.output().splitlines()]
    return [word.partition('"')[0] for word in words if word]


def test_the_documents_few_lines_of_code_check_it(export: Path) -> None:
    document = Path(__file__).parents[2] / "docs" / "protocols" / "audit-log.md"
    code = document.read_text().partition("```python\n")[2].partition("```")[0]

    def run(lines: list[str]) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code],
            input="".join(lines),
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        return done.stderr

    lines = export.read_text().splitlines(keepends=True)
    assert run(lines) == ""
    assert "cut short" in run(lines[:-1])
    assert "missing at the end" in run([*lines[:-2], lines[-1]])
    assert "not what stood behind record 1" in run([lines[0], *lines[2:]])
    assert "was altered" in run([line.replace("prompt 1", "prompt 9") for line in lines])


def test_usage_and_what_cannot_be_read(world: World, export: Path, tmp_path: Path) -> None:
    assert (
        "both"
        in audit(
            world, "verify", str(export), "--against", str(export), "--head", "1:x", code=2
        ).stderr
    )
    assert "SEQ:HASH" in audit(world, "verify", str(export), "--head", "x", code=2).stderr
    audit(world, "verify", str(tmp_path / "nosuch"), code=6)
    assert "no database" in audit(world, "export", "--state-dir", str(tmp_path), code=6).stderr
    empty = f"sqlite+aiosqlite:///{tmp_path}/new.db"
    assert "cannot be read" in audit(world, "export", "--database", empty, code=6).stderr
    junk = tmp_path / "junk"
    junk.write_text("junk")
    done = audit(world, "verify", str(export), "--against", str(junk), code=6)
    assert "no export to compare with" in done.stderr
    assert "unreadable" in audit(world, "verify", str(junk), code=1).stdout
    out = tmp_path / "missing" / "out"
    assert "cannot be written" in audit(world, "export", "--out", str(out), code=1).stderr


def test_the_database_is_read_without_a_server(world: World, export: Path, tmp_path: Path) -> None:
    copy = tmp_path / "state"
    copy.mkdir()
    source = sqlite3.connect(world.state / "earthshine.db")
    target = sqlite3.connect(copy / "earthshine.db")
    with target:
        source.backup(target)
    source.close()
    audit(world, "verify", "--state-dir", str(copy), "--against", str(export))
    with target:
        target.execute("DROP TRIGGER audit_records_no_update")
        target.execute("UPDATE audit_records SET subject = 'x' WHERE seq = 4")
    target.close()
    done = audit(world, "verify", "--state-dir", str(copy), "--json", code=1)
    assert [(p["finding"], p["seq"]) for p in json.loads(done.stdout)["problems"]] == [
        ("altered", 4)
    ]
    out = tmp_path / "out.jsonl"
    audit(world, "export", "--state-dir", str(copy), "--out", str(out))
    assert "record 4" in audit(world, "verify", str(out), code=1).stdout
    shutil.rmtree(copy)


def test_what_was_answered_is_recorded_even_if_the_server_is_killed_then(
    world: World, tmp_path: Path
) -> None:
    session = world.api("POST", "/sessions", {"agent": "command", "command": ["sleep", "600"]})[
        "id"
    ]
    world.api("POST", f"/sessions/{session}/prompt", {"text": "the last words"})
    world.control.stop(signal.SIGKILL)
    out = tmp_path / "killed.jsonl"
    audit(world, "export", "--state-dir", str(world.state), "--out", str(out))
    audit(world, "verify", str(out))
    assert "the last words" in out.read_text().splitlines()[-2]
    world.start_control()
    world.wait_runner()
    world.api("POST", f"/sessions/{session}/kill", {})


def test_typing_is_recorded_when_the_server_stops(world: World) -> None:
    session = world.api("POST", "/sessions", {"agent": "command", "command": ["cat"]})["id"]
    world.api("POST", f"/sessions/{session}/input", {"data": "aGVsbG8N"})
    assert world.control.stop() == 0
    world.start_control()
    world.wait_runner()
    (typed,) = [
        record
        for record in world.api("GET", f"/audit?session={session}")["records"]
        if record["kind"] == "typed"
    ]
    assert typed["details"]["bytes"] == len(b"hello\r")
    assert "hello" not in json.dumps(typed)
    world.api("POST", f"/sessions/{session}/kill", {})


def test_it_goes_on_where_it_was_after_a_restart(world: World, export: Path) -> None:
    assert world.control.stop() == 0
    world.start_control()
    world.wait_runner()
    session = world.api("POST", "/sessions", {"agent": "command", "command": ["true"]})["id"]
    world.wait_state(session, "exited")
    done = audit(world, "verify", "--against", str(export), "--json")
    assert json.loads(done.stdout)["records"] > len(export.read_text().splitlines()) - 1
    heads = _heads_logged(world)
    assert len(heads) >= 3
    audit(world, "verify", *[part for head in heads for part in ("--head", head)])
