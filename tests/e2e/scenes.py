"""Realistic content for the fake control plane: a team's machines and agents on an afternoon."""

import time

from tests.e2e.fake_control_plane import FakeControlPlane
from tests.e2e.fake_session import FakeSession, iso

MINUTE = 60
HOUR = 3600


def agent(
    name: str, label: str, path: str | None = None, detail: str | None = None
) -> dict[str, object]:
    return {
        "name": name,
        "label": label,
        "available": detail is None,
        "path": path,
        "detail": detail,
    }


SHELL = agent("shell", "Shell", "/bin/bash")
ANY = agent("command", "Any command")
NO_GEMINI = agent(
    "gemini",
    "Gemini CLI",
    detail="There is no `gemini` on PATH. Install it: `npm install -g @google/gemini-cli`.",
)
NO_OPENCODE = agent(
    "opencode",
    "OpenCode",
    detail="There is no `opencode` on PATH. Install it: `npm install -g opencode-ai`.",
)


def runners(plane: FakeControlPlane) -> None:
    now = time.time()
    plane.add_runner(
        "r1",
        name="workshop",
        hostname="workshop.lan",
        platform="Debian 13 x86_64",
        since=iso(now - 5 * HOUR),
        runningSessions=4,
        agents=[
            agent("claude", "Claude Code", "/home/mira/.local/bin/claude"),
            agent("codex", "Codex", "/home/mira/.local/bin/codex"),
            NO_GEMINI,
            NO_OPENCODE,
            SHELL,
            ANY,
        ],
    )
    plane.add_runner(
        "r2",
        name="home-server",
        hostname="atlas",
        platform="Ubuntu 24.04 x86_64",
        since=iso(now - 26 * HOUR),
        runningSessions=2,
        agents=[
            agent("claude", "Claude Code", "/usr/local/bin/claude"),
            agent("gemini", "Gemini CLI", "/usr/local/bin/gemini"),
            SHELL,
            ANY,
        ],
    )
    plane.add_runner(
        "r3",
        name="gpu-box",
        hostname="gpu-box",
        platform="Debian 12 x86_64",
        state="away",
        since=iso(now - 12 * MINUTE),
        runningSessions=1,
        agents=[agent("codex", "Codex", "/usr/bin/codex"), SHELL, ANY],
    )
    plane.folders = {
        "/home/mira": [
            {"name": name, "path": f"/home/mira/{name}", "isRepository": repository}
            for name, repository in [
                ("notes", False),
                ("orbit-api", True),
                ("src", False),
                ("website", True),
            ]
        ],
        "/home/mira/src": [
            {"name": "lantern", "path": "/home/mira/src/lantern", "isRepository": True},
            {"name": "tidepool", "path": "/home/mira/src/tidepool", "isRepository": True},
        ],
        "/home/mira/orbit-api": [],
        "/": [{"name": "home", "path": "/home", "isRepository": False}],
        "/home": [{"name": "mira", "path": "/home/mira", "isRepository": False}],
    }


TITLE = "Keep rate limits across restarts"
TASK = "The rate limiter forgets its buckets on restart. Keep them in the database, with a test."
MINUS = "\x1b[48;2;74;32;36m\x1b[38;2;255;214;214m-        "
PLUS = "\x1b[48;2;28;62;40m\x1b[38;2;214;255;224m+        "
DIM, BOLD, OFF = "\x1b[2m", "\x1b[1m", "\x1b[0m"
GREEN, RED, YELLOW, CYAN, GREY = "\x1b[32m", "\x1b[31m", "\x1b[33m", "\x1b[36m", "\x1b[90m"


def turn(cols: int) -> str:
    """A coding agent's turn, as such programs draw it."""
    rule = "─" * (cols - 2)
    lines = [
        f"{GREY}╭{rule}╮{OFF}",
        f"{GREY}│{OFF} {YELLOW}✻{OFF} {BOLD}Agent{OFF}  {GREY}~/orbit-api{OFF}".ljust(cols + 25)
        + f"\r\x1b[{cols - 1}C{GREY}│{OFF}",
        f"{GREY}╰{rule}╯{OFF}",
        "",
        f"{GREY}>{OFF} {TASK}",
        "",
        f"{GREEN}●{OFF} I will look at how the limiter keeps its state first.",
        "",
        f"{GREEN}●{OFF} {BOLD}Read{OFF}(src/limits/bucket.py)",
        f"  {GREY}└  148 lines{OFF}",
        "",
        f'{GREEN}●{OFF} {BOLD}Search{OFF}(pattern: "TokenBucket\\(", path: "src")',
        f"  {GREY}└  Found 3 files{OFF}",
        "",
        f"{GREEN}●{OFF} The buckets live in a dict on the middleware: a restart hands out a full",
        "  bucket. I will store them beside the accounts and load them on the first request.",
        "",
        f"{GREEN}●{OFF} {BOLD}Update{OFF}(src/limits/bucket.py)",
        f"  {GREY}└  {OFF}Updated with 11 additions and 4 removals",
        f"     {GREY}41{OFF}      def take(self, key: str, now: float) -> bool:",
        f"     {GREY}42{OFF} {MINUS}bucket = self._buckets.setdefault(key, Bucket(size)) {OFF}",
        f"     {GREY}42{OFF} {PLUS}bucket = self._store.load(key) or Bucket(size)       {OFF}",
        f"     {GREY}43{OFF} {PLUS}bucket.refill(now)                                   {OFF}",
        f"     {GREY}44{OFF}          if bucket.tokens < 1:",
        f"     {GREY}45{OFF}              return False",
        "",
        f"{GREEN}●{OFF} {BOLD}Bash{OFF}(pytest -q tests/limits)",
        f"  {GREY}└  {OFF}{GREEN}..................{OFF}                              [100%]",
        f"     {GREEN}18 passed{OFF} in 0.84s",
        "",
        f"{CYAN}✢ Writing the migration…{OFF} {GREY}(42s · ↓ 2.1k tokens · esc to interrupt){OFF}",
        "",
        f"{GREY}{'─' * cols}{OFF}",
        f"{GREY}>{OFF} ",
        f"{GREY}{'─' * cols}{OFF}",
        f"  {GREY}preview on http://localhost:5173/ · ? for shortcuts{OFF}",
    ]
    return "\r\n".join(lines) + "\x1b[2A\r\x1b[2C"


def at_work(plane: FakeControlPlane) -> FakeSession:
    """The session that the pictures show."""
    now = time.time()
    session = plane.add_session(
        "limiter",
        agent="claude",
        title=TITLE,
        folder="/home/mira/orbit-api-limiter",
        worktree={"repository": "/home/mira/orbit-api", "branch": "limits/persist-buckets"},
        prompt="The rate limiter forgets its buckets on restart.",
        cols=112,
        rows=40,
        createdAt=iso(now - 4 * MINUTE),
        startedAt=iso(now - 4 * MINUTE),
    )
    plane.append(
        session,
        "started",
        {
            "agent": "claude",
            "argv": ["claude"],
            "pid": 4242,
            "folder": session.view["folder"],
            "cols": 112,
            "rows": 40,
            "branch": "limits/persist-buckets",
        },
    )
    plane.append(
        session,
        "prompted",
        {
            "text": TASK,
            "by": "mira",
            "commandId": "c1",
        },
    )
    session.on_resized = lambda it: b"\x1b[2J\x1b[3J\x1b[H" + turn(it.view["cols"]).encode()
    text = turn(112).encode()
    for start in range(0, len(text), 400):
        plane.append(session, "output", text[start : start + 400])
    return session


def sessions(plane: FakeControlPlane) -> FakeSession:
    now = time.time()

    def add(session_id: str, age: float, quiet: float | None, **view: object) -> None:
        plane.add_session(
            session_id,
            createdAt=iso(now - age),
            startedAt=iso(now - age),
            lastOutputAt=None if quiet is None else iso(now - quiet),
            **view,
        )

    shown = at_work(plane)
    add(
        "s2",
        18 * MINUTE,
        95,
        agent="codex",
        title="Port the importer to the streaming parser",
        folder="/home/mira/src/tidepool",
    )
    add(
        "s3",
        41 * MINUTE,
        1,
        agent="claude",
        title="Find out why the nightly build is slow",
        folder="/srv/build/orbit",
        runnerId="r2",
        runnerName="home-server",
        worktree={"repository": "/srv/build/orbit", "branch": "agent/nightly-profile"},
    )
    add(
        "s4",
        2 * HOUR,
        13 * MINUTE,
        agent="codex",
        title="Train the small reranker again with the June data",
        folder="/data/reranker",
        runnerId="r3",
        runnerName="gpu-box",
        runnerConnected=False,
    )
    add("s5", 3 * HOUR, 2 * HOUR, agent="shell", title="shell on workshop", folder="/home/mira")
    add(
        "s6",
        30,
        None,
        agent="gemini",
        title="Translate the settings page into Czech",
        folder="/home/mira/website",
        runnerId="r2",
        runnerName="home-server",
        state="queued",
    )
    add(
        "s7",
        5 * HOUR,
        4 * HOUR,
        agent="claude",
        title="Add pagination to the audit log",
        folder="/home/mira/orbit-api",
        state="exited",
        exitCode=0,
        endedAt=iso(now - 4 * HOUR),
    )
    add(
        "s8",
        6 * HOUR,
        5.5 * HOUR,
        agent="command",
        title="npm run e2e",
        folder="/home/mira/website",
        command=["npm", "run", "e2e"],
        state="exited",
        exitCode=1,
        endedAt=iso(now - 5.5 * HOUR),
    )
    add(
        "s9",
        26 * HOUR,
        None,
        agent="opencode",
        title="Sketch the new onboarding",
        folder="/home/mira/website",
        state="failed",
        reason={
            "code": "agent-missing",
            "detail": "OpenCode is not installed on workshop.",
            "remedy": "Install it with `npm install -g opencode-ai`, then start the session again.",
        },
        endedAt=iso(now - 26 * HOUR),
    )
    return shown


def trust(plane: FakeControlPlane) -> None:
    """People, passkeys, shares and an afternoon of the audit log."""
    now = time.time()
    it = plane.trust
    it.account["passkeys"] = [
        {
            "id": "k1",
            "name": "Firefox on Linux",
            "createdAt": iso(now - 30 * 24 * HOUR),
            "lastUsedAt": iso(now - 2 * HOUR),
        },
        {
            "id": "k2",
            "name": "Blue security key",
            "createdAt": iso(now - 3 * 24 * HOUR),
            "lastUsedAt": None,
        },
    ]
    it.secrets["me"] = [
        {
            "name": "ANTHROPIC_API_KEY",
            "createdAt": iso(now - 9 * 24 * HOUR),
            "lastUsedAt": iso(now - 4 * MINUTE),
            "runnerId": None,
        }
    ]
    it.shares["people"] = [
        {
            "personId": "p2",
            "name": "tomasz",
            "role": "controller",
            "expiresAt": None,
            "guest": False,
        },
        {
            "personId": "g7",
            "name": "Noor from design",
            "role": "viewer",
            "expiresAt": iso(now + 20 * HOUR),
            "guest": True,
        },
    ]
    plane.runners["r2"] |= {"ownerId": "p2", "ownerName": "tomasz", "shared": True}
    plane.runners["r3"] |= {
        "revoked": True,
        "revokedReason": "Its credential was used from two machines at once.",
    }
    plane.add_runner(
        "r4",
        name="ci-runner",
        ownerId=None,
        ownerName=None,
        shared=True,
        credential="static-token",
        fingerprint=None,
        pairedAt=None,
        agents=[SHELL],
    )
    stranger = {"personId": None, "personName": "", "address": "203.0.113.77"}
    limiter = {"sessionId": "limiter", "runnerId": "r1"}
    it.record("set-up")
    it.record("signed-in", details={"method": "passkey"})
    it.record("sign-in-refused", "root", details={"method": "password"}, **stranger)
    it.record("runner-paired", "workshop", runnerId="r1", details={"fingerprint": "7c1e 9b40"})
    it.record("person-added", "p2", details={"role": "member"})
    it.record("session-started", TITLE, **limiter)
    it.record("prompted", TITLE, details={"text": TASK}, **limiter)
    it.record("session-shared", "tomasz", details={"role": "controller", "until": None}, **limiter)
    it.record("typed", details={"bytes": 412, "from": iso(now - 60), "until": iso(now)}, **limiter)
    it.record("token-reused", "gpu-box", runnerId="r3", **stranger)
    it.record("secret-used", "ANTHROPIC_API_KEY", **limiter)
