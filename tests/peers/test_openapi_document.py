"""The API against its own document: schemathesis makes requests up, with and without credentials.

No request ends in a fault of the server, in a status or in a body that the document does not know.
502 and 503 are answers that it knows: no runner is connected here.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.world import World

pytestmark = [pytest.mark.pair, pytest.mark.timeout(420)]
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_schema_conformance,response_headers_conformance"
)
ENDS_THE_CREDENTIALS = "/api/v1/(sign-out|me/sign-ins.*|people/.*)"
ENDLESS = "/api/v1/sessions/{session_id}/events/stream"
SECONDS = os.environ.get("EARTHSHINE_TEST_SCHEMATHESIS_SECONDS", "20")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("document"))
    try:
        world.start_control()
        yield world
    finally:
        world.close()


@pytest.mark.parametrize("credentials", ["none", "admin"])
def test_the_api_does_what_its_document_says(
    world: World, credentials: str, tmp_path: Path, record_property: object
) -> None:
    configuration = tmp_path / "schemathesis.toml"
    configuration.write_text(
        '[checks]\nnot_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", 502, 503]\n'
    )
    arguments = (
        ["--header", f"Authorization: Bearer {world.token}"] if credentials == "admin" else []
    )
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("schemathesis")),
            *("--config-file", str(configuration)),
            "run",
            f"{world.url}/api/v1/openapi.json",
            *("--checks", CHECKS),
            *("--seed", "20", "--no-shrink", "--max-time", SECONDS),
            *("--phases", "examples,coverage,fuzzing"),
            *("--exclude-path-regex", ENDS_THE_CREDENTIALS),
            *("--exclude-path", ENDLESS),
            *("--generation-database", "none"),
            *arguments,
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    said = done.stdout.partition("= FAILURES =")[2][:6000] + done.stderr[-2000:]
    assert done.returncode == 0, said
    (cases,) = re.findall(r"(\d+) generated", done.stdout)
    assert int(cases) > 200, done.stdout
    print(f"{cases} requests with {credentials} credentials")
    assert world.control.is_running()
    assert "Traceback" not in world.control.output()


def test_what_was_left_out_is_little(world: World) -> None:
    """The operations that are excluded above, named."""
    document = world.api("GET", "/openapi.json")
    left_out = [
        path
        for path in document["paths"]
        if re.search(ENDS_THE_CREDENTIALS, path) or path == ENDLESS
    ]
    assert len(left_out) < len(document["paths"]) / 8, json.dumps(left_out)
