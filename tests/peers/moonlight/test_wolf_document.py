"""Wolf's API of our host against its own document: schemathesis makes the requests up."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.moonlight_processes import running_host

pytestmark = [pytest.mark.pair, pytest.mark.timeout(180)]
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance"
CHECKS += ",response_schema_conformance"
ENDLESS = "/api/v1/events"
SECONDS = "8"
FAULT = "the host failed"


@asynccontextmanager
async def port_of(path: Path) -> AsyncIterator[int]:
    """The socket as a port of loopback: schemathesis knows no UNIX sockets."""

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(path)
        await asyncio.gather(copy(reader, back), copy(there, writer))

    server = await asyncio.start_server(carry, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_wolfs_api_does_what_its_document_says(tmp_path: Path) -> None:
    configuration = tmp_path / "schemathesis.toml"
    # 500 is how Wolf refuses; faults are told apart by their words and by the host's log.
    configuration.write_text(
        '[checks]\nnot_a_server_error.expected-statuses = ["2xx", "4xx", 500, 501, 503]\n'
    )
    path = tmp_path / "wolf.sock"
    with running_host(tmp_path, wolf=str(path)) as host:
        async with port_of(path) as port:
            process = await asyncio.create_subprocess_exec(
                str(Path(sys.executable).with_name("schemathesis")),
                *("--config-file", str(configuration)),
                "run",
                f"http://127.0.0.1:{port}/api/v1/openapi-schema",
                *("--checks", CHECKS),
                *("--seed", "20", "--no-shrink", "--max-time", SECONDS),
                *("--phases", "examples,coverage,fuzzing"),
                *("--exclude-path", ENDLESS),
                *("--generation-database", "none"),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                cwd=tmp_path,
            )
            out = (await process.communicate())[0].decode()
        log = host.log.read_text()
    assert process.returncode == 0, out.partition("= FAILURES =")[2][:6000] or out[-3000:]
    (cases,) = re.findall(r"(\d+) generated", out)
    assert int(cases) > 100, out
    assert FAULT not in out
    assert "Traceback" not in log, log[-3000:]
    print(f"{cases} requests")
