"""`earthshine session start|list|attach|send|stop|logs`."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import Iterator
from typing import Any

import click
import httpx

from earthshine.cli.client import EXIT_UNAVAILABLE, Access, Api, fail


@click.group()
def session() -> None:
    """Start, list and steer sessions."""


@session.command()
@click.option("--agent", default="shell", help="claude, codex, gemini, opencode, shell, command.")
@click.option("--runner", help="Runner id or name; any that can when left out.")
@click.option("--folder", help="Working folder on the runner.")
@click.option("--worktree", metavar="REPOSITORY", help="Work in a fresh git worktree of this.")
@click.option("--branch", default="", help="Branch of the worktree.")
@click.option("--prompt", default="", help="What the agent is to do.")
@click.option("--title", default="")
@click.option("--attach", "attach_now", is_flag=True, help="Attach the terminal at once.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.argument("command", nargs=-1)
def start(
    *,
    agent: str,
    runner: str | None,
    folder: str | None,
    worktree: str | None,
    branch: str,
    prompt: str,
    title: str,
    attach_now: bool,
    as_json: bool,
    command: tuple[str, ...],
) -> None:
    """Start an agent; COMMAND is a program for `--agent command`, else extra arguments."""
    api = Api()
    body: dict[str, Any] = {
        "agent": "command" if command and agent == "shell" else agent,
        "runnerId": _runner_id(api, runner) if runner else None,
        "folder": folder,
        "worktree": {"repository": worktree, "branch": branch} if worktree else None,
        "prompt": prompt,
        "title": title,
        "command": list(command),
    }
    view = api.call("POST", "/sessions", body)
    if as_json:
        click.echo(json.dumps(view, indent=2))
    else:
        click.echo(view["id"])
    if view["state"] == "failed":
        reason = view["reason"]
        fail(f"{reason['detail']}; {reason.get('remedy') or ''}".rstrip("; "))
    if attach_now:
        _attach(api.access, view["id"])


@session.command(name="list")
@click.option("--state", type=click.Choice(["active", "ended", "all"]), default="active")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(*, state: str, as_json: bool) -> None:
    """List sessions, newest first."""
    sessions = api_sessions(Api(), state)
    if as_json:
        click.echo(json.dumps(list(sessions), indent=2))
        return
    for view in sessions:
        ended = "" if view["exitCode"] is None else f" ({view['exitCode']})"
        click.echo(
            f"{view['id']}  {view['state'] + ended:<12} {view['agent']:<9} "
            f"{view['runnerName']:<16} {view['title']}"
        )


def api_sessions(api: Api, state: str) -> Iterator[dict[str, Any]]:
    """All pages."""
    cursor = None
    while True:
        page = api.call("GET", "/sessions", state=state, cursor=cursor)
        yield from page["sessions"]
        cursor = page.get("nextCursor")
        if cursor is None:
            return


@session.command()
@click.argument("session_id")
def attach(session_id: str) -> None:
    """Use a session's terminal here. Ctrl-] then d leaves; the agent goes on."""
    _attach(Api().access, session_id)


def _attach(access: Access, session_id: str) -> None:
    from earthshine.cli.attach import attach as run

    raise SystemExit(asyncio.run(run(access, session_id)))


@session.command()
@click.argument("session_id")
@click.argument("text")
@click.option("--raw", is_flag=True, help="Type TEXT as it is (\\n is Enter), not as a prompt.")
def send(*, session_id: str, text: str, raw: bool) -> None:
    """Give the agent a prompt, or type into its terminal."""
    if raw:
        data = text.encode().decode("unicode_escape").encode("latin-1")
        body = {"data": base64.b64encode(data).decode()}
        Api().call("POST", f"/sessions/{session_id}/input", body)
    else:
        Api().call("POST", f"/sessions/{session_id}/prompt", {"text": text})


@session.command()
@click.argument("session_id")
@click.option("--kill", is_flag=True, help="Do not ask first.")
def stop(*, session_id: str, kill: bool) -> None:
    """End the agent."""
    Api().call("POST", f"/sessions/{session_id}/{'kill' if kill else 'stop'}", {})


@session.command()
@click.argument("session_id")
def interrupt(session_id: str) -> None:
    """Interrupt what the agent is doing."""
    Api().call("POST", f"/sessions/{session_id}/interrupt", {})


@session.command()
@click.argument("session_id")
@click.option("-f", "--follow", is_flag=True, help="Go on until the session ends.")
@click.option("--after", default=0, help="Begin behind this entry.")
@click.option("--json", "as_json", is_flag=True, help="Print entries as JSON lines.")
def logs(*, session_id: str, follow: bool, after: int, as_json: bool) -> None:
    """Print what the terminal printed."""
    api = Api()
    entries = _follow(api, session_id, after) if follow else _pages(api, session_id, after)
    try:
        for entry in entries:
            if as_json:
                click.echo(json.dumps(entry))
            elif entry["kind"] == "output":
                sys.stdout.buffer.write(base64.b64decode(entry["data"]))
                sys.stdout.buffer.flush()
    except BrokenPipeError:
        sys.stderr.close()  # whoever read has had enough


def _pages(api: Api, session_id: str, after: int) -> Iterator[dict[str, Any]]:
    while True:
        page = api.call("GET", f"/sessions/{session_id}/events", after=after, limit=1000)
        if not page["events"]:
            return
        yield from page["events"]
        after = page["events"][-1]["seq"]


def _follow(api: Api, session_id: str, after: int) -> Iterator[dict[str, Any]]:
    """Server-sent events, resumed after a break."""
    api.call("GET", f"/sessions/{session_id}")  # an unknown id ends here, in words
    url = f"{api.access.url}/api/v1/sessions/{session_id}/events/stream"
    failures = 0
    while True:
        headers = api.access.headers | {"Last-Event-ID": str(after)}
        try:
            with httpx.stream("GET", url, headers=headers, timeout=40) as response:
                response.raise_for_status()
                kind = ""
                for line in response.iter_lines():
                    name, _, value = line.partition(": ")
                    if name == "event":
                        kind = value
                    elif name == "data" and kind == "end":
                        return
                    elif name == "data":
                        entry = json.loads(value)
                        after = entry["seq"]
                        failures = 0
                        yield entry
        except httpx.HTTPStatusError as error:
            fail(f"the server answered {error.response.status_code}", EXIT_UNAVAILABLE)
        except httpx.TransportError as error:
            failures += 1
            if failures > 30:
                fail(f"the connection is lost: {error}", EXIT_UNAVAILABLE)
        _pause(failures)


def _pause(failures: int) -> None:
    import random
    import time

    time.sleep(min(10, 0.2 * 2 ** min(failures, 6)) * (0.5 + random.random() / 2))  # noqa: S311


def _runner_id(api: Api, name: str) -> str:
    runners = api.call("GET", "/runners")["runners"]
    found = [runner["id"] for runner in runners if name in (runner["id"], runner["name"])]
    if found:
        return str(found[0])
    return fail(f"there is no runner called {name}; see the list in the UI")
