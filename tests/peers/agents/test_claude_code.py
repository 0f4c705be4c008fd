"""Claude Code, the real one, in a session: prompts, an approval, an interrupt, the end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.peers.agents.model_api import Call, ModelApi, Say
from tests.peers.agents.place import Place, place
from tests.peers.revdial_world import serving

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(600),  # the first test may have to install the agents
]

WRITE = "write the moon file"
ASIDE = "and say something about it"
SEVERAL_LINES = "Describe it:\n\n  - its light\n/not a command é 漢"
ENDLESS = "count the stars"
AFTER = "never mind"
LONG = "\n".join(f"line {number} of a long prompt" for number in range(6000))
ASK_BEFORE_EDITS = ("--permission-mode", "default")
KEY = "a-key-that-only-the-scripted-model-knows"


@pytest.fixture(scope="module")
def model(work: Path) -> ModelApi:
    write = Call("Write", {"file_path": str(work / "moon.txt"), "content": "earthshine\n"})
    return ModelApi(
        {
            WRITE: [write, Say("The moon file is written.")],
            ASIDE: [Say("Earthshine shows the dark side.")],
            SEVERAL_LINES: [Say("It is pale.")],
            ENDLESS: [Say("One star.\n\nTwo stars.\n\nThree", forever=True)],
            AFTER: [Say("The stars can wait.")],
            "update": [Say("Nothing to bring up to date.")],
            LONG: [Say("That was long.")],
        }
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here(
    root: Path, work: Path, environment: dict[str, str], model: ModelApi
) -> AsyncIterator[Place]:
    home = root / "claude"
    home.mkdir()
    # As after a person's first start: the key accepted, the folder trusted.
    known = {
        "hasCompletedOnboarding": True,
        "customApiKeyResponses": {"approved": [KEY[-20:]], "rejected": []},
        "projects": {str(work): {"hasTrustDialogAccepted": True}},
    }
    (home / ".claude.json").write_text(json.dumps(known))
    async with serving(model.app) as port:
        environment |= {
            "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{port}",
            "ANTHROPIC_API_KEY": KEY,
            "CLAUDE_CONFIG_DIR": str(home),
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
        }
        async with place(root, environment) as running:
            yield running


async def test_a_session_from_first_prompt_to_the_end(here, work, model, eventually):
    session = await here.start("claude", work, WRITE, *ASK_BEFORE_EDITS)
    screen = session.terminal
    await screen.until("Do you want to create moon.txt?")
    assert not (work / "moon.txt").exists()

    # Enter would now mean yes: a prompt has to wait, and the session says so.
    await session.prompt(ASIDE)
    assert (await session.reason())["code"] == "asking"
    assert not (work / "moon.txt").exists()

    await session.type("1")
    await screen.until("The moon file is written.")
    assert (work / "moon.txt").read_text() == "earthshine\n"
    assert [len(asked.results) for asked in model.about(WRITE)] == [0, 1]
    await eventually(lambda: model.was_told(ASIDE))
    assert (await session.view())["reason"] is None

    await session.prompt(SEVERAL_LINES)
    await screen.until("It is pale.")

    await session.prompt(ENDLESS)
    await screen.until("Two stars.")
    assert not model.abandoned.is_set()
    await session.interrupt()
    async with asyncio.timeout(10):
        await model.abandoned.wait()
    await screen.until("Interrupted")
    await session.prompt(AFTER)
    await screen.until("The stars can wait.")

    ended = await session.stop()
    assert ended["state"] == "exited"
    # A stop sends SIGHUP and SIGTERM; it is the agent's affair which one it heeds first.
    assert ended["exitCode"] in {128 + 1, 128 + 15}
    assert session.kinds == [
        "started",
        *["prompted"] * 4,
        "interrupted",
        "prompted",
        "stopping",
        "exited",
    ]
    assert [event["seq"] for event in session.events] == list(range(1, ended["lastSeq"] + 1))
    prompts = [event["data"]["text"] for event in session.events if event["kind"] == "prompted"]
    assert prompts == [WRITE, ASIDE, SEVERAL_LINES, ENDLESS, AFTER]
    assert model.unknown == []


async def test_prompts_that_come_together_stay_apart(here, work):
    session = await here.start("claude", work, "", *ASK_BEFORE_EDITS)
    await session.terminal.until("? for shortcuts")
    await session.prompt(SEVERAL_LINES)
    await session.prompt(AFTER)
    await session.terminal.until("It is pale.", "The stars can wait.")


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [("update", "Nothing to bring up to date."), (LONG, "That was long.")],
    ids=["the name of a subcommand", "too long for an argument"],
)
async def test_a_first_prompt_is_always_a_prompt(here, work, prompt, answer):
    session = await here.start("claude", work, prompt, *ASK_BEFORE_EDITS)
    await session.terminal.until(answer)
