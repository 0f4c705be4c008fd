"""Codex, the real one, in a session: prompts, an approval, an interrupt, the end."""

from __future__ import annotations

import asyncio
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
ASK = "write the star file"
ASIDE = "and say something about it"
SEVERAL_LINES = "Describe it:\n\n  - its light\n/not a command é 漢"
ENDLESS = "count the stars"
AFTER = "never mind"
LONG = "\n".join(f"line {number} of a long prompt" for number in range(6000))

CONFIGURATION = """
model = "gpt-5.5"
model_provider = "scripted"
check_for_update_on_startup = false

[model_providers.scripted]
name = "scripted"
base_url = "http://127.0.0.1:{port}/v1"
env_key = "SCRIPTED_API_KEY"
wire_api = "responses"

[projects."{work}"]
trust_level = "trusted"

[features]
daemon_auto_start = false

[notice.model_migrations]
"gpt-5.5" = "gpt-6-sol"
"""
PATCH = "*** Begin Patch\n*** Add File: moon.txt\n+earthshine\n*** End Patch\n"


@pytest.fixture(scope="module")
def model() -> ModelApi:
    unconfined = {
        "cmd": "echo sirius > star.txt",
        "sandbox_permissions": "require_escalated",
        "justification": "May I write the star file?",
    }
    return ModelApi(
        {
            WRITE: [Call("apply_patch", PATCH), Say("The moon file is written.")],
            ASK: [Call("exec_command", unconfined), Say("The star file is written.")],
            ASIDE: [Say("Earthshine shows the dark side.")],
            SEVERAL_LINES: [Say("It is pale.")],
            ENDLESS: [Say("One star.\n\nTwo stars.\n\nThree", forever=True)],
            AFTER: [Say("The stars can wait.")],
            "exec": [Say("What shall I execute?")],
            LONG: [Say("That was long.")],
        }
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here(
    root: Path, work: Path, environment: dict[str, str], model: ModelApi
) -> AsyncIterator[Place]:
    home = root / "codex"
    home.mkdir()
    async with serving(model.app) as port:
        (home / "config.toml").write_text(CONFIGURATION.format(port=port, work=work))
        environment |= {"CODEX_HOME": str(home), "SCRIPTED_API_KEY": "none"}
        async with place(root, environment) as running:
            yield running


async def test_a_session_from_first_prompt_to_the_end(here, work, model):
    session = await here.start("codex", work, WRITE)
    screen = session.terminal
    await screen.until("The moon file is written.")
    assert (work / "moon.txt").read_text() == "earthshine\n"
    assert [len(asked.results) for asked in model.about(WRITE)] == [0, 1]

    await session.prompt(SEVERAL_LINES)
    await screen.until("It is pale.")
    assert model.about(SEVERAL_LINES)

    await session.prompt(ENDLESS)
    await screen.until("Two stars.")
    assert not model.abandoned.is_set()
    await session.interrupt()
    async with asyncio.timeout(10):
        await model.abandoned.wait()
    await screen.until("interrupted")
    await session.prompt(AFTER)
    await screen.until("The stars can wait.")

    ended = await session.stop()
    assert (ended["state"], ended["signal"]) == ("exited", 1)
    assert session.kinds == [
        "started",
        *["prompted"] * 3,
        "interrupted",
        "prompted",
        "stopping",
        "exited",
    ]
    assert [event["seq"] for event in session.events] == list(range(1, ended["lastSeq"] + 1))
    prompts = [event["data"]["text"] for event in session.events if event["kind"] == "prompted"]
    assert prompts == [WRITE, SEVERAL_LINES, ENDLESS, AFTER]


@pytest.mark.parametrize(("interrupt", "written"), [(True, False), (False, True)])
async def test_a_prompt_waits_for_the_answer_to_a_question(here, work, interrupt, written):
    """Enter would mean yes. An answer lets the prompt through, and so does turning it down."""
    session = await here.start("codex", work, ASK)
    await session.terminal.until("May I write the star file?", "Yes, proceed")
    await session.prompt(ASIDE)
    assert (await session.reason())["code"] == "asking"
    if interrupt:
        await session.interrupt()
    else:
        await session.type("y")
    await session.terminal.until("Earthshine shows the dark side.")
    assert (work / "star.txt").exists() is written
    assert (await session.view())["reason"] is None


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [("exec", "What shall I execute?"), (LONG, "That was long.")],
    ids=["the name of a subcommand", "too long for an argument"],
)
async def test_a_first_prompt_is_always_a_prompt(here, work, prompt, answer):
    session = await here.start("codex", work, prompt)
    await session.terminal.until(answer)
