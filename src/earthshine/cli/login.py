"""`earthshine login` and `logout`: the device flow (RFC 8628)."""

from __future__ import annotations

import contextlib
import platform
import sys
import time
from typing import Any, Final
from urllib.parse import urlsplit

import click
import httpx

from earthshine.cli import logins
from earthshine.cli.client import (
    EXIT_NOT_ALLOWED,
    EXIT_UNAVAILABLE,
    Access,
    Api,
    fail,
    words,
)
from earthshine.control.access import Scope
from earthshine.control.settings import is_loopback

SCOPES: Final = [scope.value for scope in Scope if scope is not Scope.ADMIN]
MAX_LABEL: Final = 64


@click.command()
@click.argument("url")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice([scope.value for scope in Scope]),
    help="What the token may be used for; may be given again [all but admin].",
)
@click.option("--allow-plain-http", is_flag=True, help="Also where others can read along.")
def login(*, url: str, scopes: tuple[str, ...], allow_plain_http: bool) -> None:
    """Sign this machine in to a server, by confirming a code in a browser elsewhere."""
    url = url.rstrip("/")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        fail(f"{url} is no address of a server: begin with https://")
    if parts.scheme == "http" and not is_loopback(parts.hostname) and not allow_plain_http:
        fail(
            "without TLS everybody on the way could read the token: use https://, or "
            "--allow-plain-http if the network is yours"
        )
    with httpx.Client(base_url=f"{url}/api/v1", timeout=30) as client:
        body = {
            "clientName": f"earthshine on {platform.node() or 'a machine'}"[:MAX_LABEL],
            "scopes": list(scopes) or SCOPES,
        }
        flow = _ask(client, "/device-flow", body)
        if isinstance(flow, str):
            fail(flow, EXIT_UNAVAILABLE)
        _show(flow)
        granted = _wait(client, flow)
    store = logins.save(logins.Login(url, granted["token"]))
    where = "the keyring" if store == "keyring" else "a file that only you can read"
    click.echo(f"Signed in to {url} as {granted['person']}. The token is in {where}.")


def _show(flow: dict[str, Any]) -> None:
    click.echo("Open this address in a browser where you are signed in:\n")
    click.secho(f"    {flow['verificationUri']}\n", bold=True)
    click.echo("and enter this code:\n")
    click.secho(f"    {flow['userCode']}\n", bold=True)
    if sys.stdout.isatty():
        import segno

        segno.make(flow["verificationUriComplete"]).terminal(compact=True)
    click.echo(f"Waiting; the code lasts {flow['expiresIn'] // 60} minutes. Ctrl-C gives up.")


def _wait(client: httpx.Client, flow: dict[str, Any]) -> dict[str, Any]:
    """The token, once somebody has approved."""
    interval = float(flow["interval"])
    deadline = time.monotonic() + flow["expiresIn"]
    while time.monotonic() < deadline:
        time.sleep(interval)
        try:
            answer = client.post("/device-flow/token", json={"deviceCode": flow["deviceCode"]})
        except httpx.TransportError:
            continue  # it may come back in time
        if answer.is_success:
            granted: dict[str, Any] = answer.json()
            return granted
        problem = _problem(answer)
        if problem.get("code") == "slow-down":
            interval = float(answer.headers.get("retry-after", interval + 5))
        elif problem.get("code") != "authorization-pending":
            fail(words(problem, answer.status_code), EXIT_NOT_ALLOWED)
    return fail("nobody confirmed the code in time; start again", EXIT_NOT_ALLOWED)


def _ask(client: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any] | str:
    try:
        answer = client.post(path, json=body)
    except httpx.TransportError as error:
        return f"{client.base_url.host} does not answer: {error}"
    problem = _problem(answer)
    if not answer.is_success:
        return words(problem, answer.status_code)
    return problem if "deviceCode" in problem else "there is no Earthshine at this address"


def _problem(answer: httpx.Response) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        found = answer.json()
        if isinstance(found, dict):
            return found
    return {}


@click.command()
def logout() -> None:
    """End this machine's sign-in, and forget its token."""
    kept = logins.load()
    logins.forget()
    if kept is None:
        click.echo("This machine is not signed in anywhere.")
        return
    try:
        Api(Access(kept.url, kept.token)).call("POST", "/sign-out")
    except click.ClickException as error:
        click.echo(f"The token is forgotten here, but {error.message}", err=True)
        click.echo("End it under Settings, or it lasts until it expires.", err=True)
        return
    click.echo(f"Signed out of {kept.url}.")
