"""`earthshine moonlight`: a GameStream client without a window, and who may come to our host."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

import click
from platformdirs import user_data_path

from earthshine.cli.client import EXIT_NOT_ALLOWED, EXIT_NOT_FOUND, EXIT_UNAVAILABLE, fail
from earthshine.net.moonlight.client.decoding import Picture, VideoDecoder
from earthshine.net.moonlight.client.host import GameHost, NotPairedError
from earthshine.net.moonlight.client.known import KnownHost, KnownHosts, KnownHostsError
from earthshine.net.moonlight.client.stream import ClientStream, StreamOver
from earthshine.net.moonlight.errors import ConnectionFailedError
from earthshine.net.moonlight.identities import CLIENT_NAME, IdentityError, load_identity
from earthshine.protocols.moonlight.answers import AnswerRefusedError
from earthshine.protocols.moonlight.applist import App
from earthshine.protocols.moonlight.errors import MoonlightError
from earthshine.protocols.moonlight.handshake import Wishes
from earthshine.protocols.moonlight.input_queue import split_text
from earthshine.protocols.moonlight.launch import STEREO, SURROUND_51, SURROUND_71, LaunchRequest
from earthshine.protocols.moonlight.pairing import PairingError
from earthshine.protocols.moonlight.query import HTTP_PORT
from earthshine.protocols.moonlight.sdp import Codec, Encryption

REPORT_SECONDS: Final = 1.0
DECODE_FLUSH: Final = 5.0
_CODECS: Final = {"h264": Codec.H264, "hevc": Codec.HEVC, "av1": Codec.AV1}
_ENCRYPTION: Final = {
    "none": Encryption.NONE,
    "all": Encryption.VIDEO | Encryption.AUDIO,
}
_SOUND: Final = {"stereo": STEREO, "5.1": SURROUND_51, "7.1": SURROUND_71}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Place:
    """A host, and where this client keeps what it knows."""

    address: str
    port: int
    known: KnownHosts
    host: GameHost


class _HostType(click.ParamType):  # type: ignore[type-arg]
    name = "HOST[:PORT]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        if isinstance(value, tuple):
            return value
        text = str(value)
        if text.startswith("["):
            address, _, rest = text[1:].partition("]")
            port = rest.removeprefix(":")
        elif text.count(":") == 1:
            address, _, port = text.partition(":")
        else:
            address, port = text, ""
        number = int(port) if port.isascii() and port.isdigit() else HTTP_PORT
        if not address or (port and not port.isdigit()) or not 1 <= number <= 65535:
            self.fail(f"{text} is not HOST or HOST:PORT", param, ctx)
        return address, number


host_argument = click.argument("host", type=_HostType())
folder_option = click.option(
    "--folder",
    type=click.Path(path_type=Path),
    help="Where this client's certificate and paired hosts are kept.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def moonlight() -> None:
    """Be a Moonlight client: pair with a GameStream host, start an app on it, measure the stream.

    Speaks what Sunshine and Wolf speak; proved against Earthshine's own host so far.
    """


@moonlight.command()
@host_argument
@click.option("--pin", help="Four digits to type at the host; made up when left out.")
@folder_option
@json_option
def pair(*, host: tuple[str, int], pin: str | None, folder: Path | None, as_json: bool) -> None:
    """Pair with HOST. Type the PIN there; this waits up to five minutes."""
    place = _place(host, folder)
    chosen = pin or f"{secrets.randbelow(10_000):04d}"
    if not pin:
        click.echo(f"Type this PIN at the host: {chosen}", err=True)

    async def work() -> None:
        certificate = await place.host.pair(chosen)
        name = (await place.host.info()).hostname
        known = KnownHost(place.address, place.port, certificate, name)
        await asyncio.to_thread(place.known.add, known)
        if as_json:
            click.echo(json.dumps({"paired": True, "name": name}))
        else:
            click.echo(f"paired with {name}")

    _run(work())


@moonlight.command()
@click.argument("pin", required=False)
@click.option("--client", help="Address of the client, when several wait.")
@click.option(
    "--socket",
    "path",
    type=click.Path(path_type=Path),
    help="The host's API [this machine's runner's].",
)
@json_option
def accept(*, pin: str | None, client: str | None, path: Path | None, as_json: bool) -> None:
    """Let a client in that waits at this machine's own host: type the PIN that it shows.

    Without PIN this lists who waits.
    """
    from earthshine.runner.desktops.wolf.client import WolfClient, WolfError

    where = path or _own_socket()

    async def work() -> None:
        async with WolfClient(where) as wolf:
            waiting = [one for one in await wolf.pending_pairs() if client in (None, one.client_ip)]
            if pin is None:
                rows = [{"client": one.client_ip} for one in waiting]
                text = "\n".join(one.client_ip for one in waiting) or "nobody waits"
                click.echo(json.dumps(rows) if as_json else text)
                return
            if len(waiting) != 1:
                words = "nobody waits for a PIN" if not waiting else "several clients wait"
                fail(f"{words}: start pairing at the client, or name it with --client")
            await wolf.pair(waiting[0].pair_secret, pin)
            click.echo(json.dumps({"accepted": waiting[0].client_ip}) if as_json else "accepted")

    try:
        asyncio.run(work())
    except WolfError as error:
        _end(error, EXIT_UNAVAILABLE if error.status == 0 else 1)


@moonlight.command(name="list")
@host_argument
@folder_option
@json_option
def list_(*, host: tuple[str, int], folder: Path | None, as_json: bool) -> None:
    """List what HOST offers; the one that runs is marked."""
    place = _place(host, folder)

    async def work() -> None:
        info = await place.host.info()
        apps = await place.host.apps()
        if as_json:
            rows = [
                {"id": app.id, "title": app.title, "running": app.id == info.current_app}
                for app in apps
            ]
            click.echo(json.dumps({"name": info.hostname, "apps": rows}, indent=2))
            return
        for app in apps:
            mark = "*" if app.id == info.current_app else " "
            click.echo(f"{mark} {app.id:>10}  {app.title}")

    _run(work())


@moonlight.command(name="quit")
@host_argument
@folder_option
@json_option
def quit_(*, host: tuple[str, int], folder: Path | None, as_json: bool) -> None:
    """End what runs for this client on HOST."""
    place = _place(host, folder)

    async def work() -> None:
        done = await place.host.cancel()
        if as_json:
            click.echo(json.dumps({"cancelled": done}))
        elif not done:
            fail("the host did not end it", EXIT_UNAVAILABLE)

    _run(work())


@moonlight.command()
@host_argument
@click.option("--app", help="Title or id [what runs already, else the first].")
@click.option("--size", default="1280x720", show_default=True, metavar="WIDTHxHEIGHT")
@click.option("--fps", default=60, show_default=True, type=click.IntRange(1, 240))
@click.option(
    "--bitrate",
    default=10_000,
    show_default=True,
    type=click.IntRange(500, 300_000),
    help="kbit/s, parity included.",
)
@click.option("--codec", default="h264", show_default=True, type=click.Choice(list(_CODECS)))
@click.option("--sound", default="stereo", show_default=True, type=click.Choice(list(_SOUND)))
@click.option(
    "--encryption",
    default="all",
    show_default=True,
    type=click.Choice(list(_ENCRYPTION)),
    help="Of pictures and sound; control always is.",
)
@click.option("--seconds", type=float, help="How long; until interrupted when left out.")
@click.option("--type", "text", default="", help="Type this text once the stream runs.")
@click.option("--replace", is_flag=True, help="End another app of this client that runs there.")
@click.option("--quit", "quit_after", is_flag=True, help="End the app afterwards.")
@click.option("--headless", is_flag=True, help="Show no window: the only way there is so far.")
@click.option("--decode/--no-decode", default=True, help="Decode pictures, or only receive them.")
@folder_option
@json_option
def stream(*, host: tuple[str, int], folder: Path | None, **options: Any) -> None:
    """Launch or resume an app on HOST, watch it without a window, and say what was measured."""
    if not options["headless"]:
        fail("there is no window to show the stream in: add --headless to measure it", 2)
    _run(_stream(_place(host, folder), options))


async def _stream(place: Place, options: dict[str, Any]) -> None:
    width, height = _size(options["size"])
    info = await place.host.info()
    app = _chosen(await place.host.apps(), options["app"], info.current_app)
    surround = _SOUND[options["sound"]]
    keys = place.host.fresh_keys()
    request = LaunchRequest(
        keys,
        app_id=app.id,
        width=width,
        height=height,
        fps=options["fps"],
        surround=surround,
        core_version=1,
    )
    started = await place.host.start(request, info, replace=options["replace"])
    codec = _CODECS[options["codec"]]
    wishes = Wishes(
        width,
        height,
        options["fps"],
        options["bitrate"],
        codecs=frozenset({codec, Codec.H264}),
        channels=surround.channels,
        channel_mask=surround.mask,
        encryption=_ENCRYPTION[options["encryption"]],
        reference_invalidation=True,
    )
    viewer = _Viewer(asyncio.get_running_loop(), decode=options["decode"])
    over: StreamOver | None = None
    async with ClientStream(
        place.address, started, wishes, entropy=secrets.token_bytes, on_frame=viewer.frame
    ) as running:
        viewer.running = running
        viewer.begin(running.setup.announce.codec)
        for event in split_text(options["text"]):
            running.send(event)
        over = await _until_over(running, viewer, options)
    await asyncio.to_thread(viewer.close)
    if options["quit_after"]:
        await place.host.cancel()
    found = running.figures.as_json() | {
        "app": app.title,
        "resumed": started.resumed,
        "codec": running.setup.announce.codec.name.lower(),
        "decoded": viewer.pictures,
        "decode_failures": viewer.failures,
        "ended": None if over is None else over.words,
    }
    if options["as_json"]:
        click.echo(json.dumps(found, indent=2))
    else:
        for name, value in found.items():
            click.echo(f"{name:>20}  {value}")
    if over is not None and not over.graceful:
        fail(over.words, EXIT_UNAVAILABLE)


class _Viewer:
    """Decodes, if wanted, and asks for an IDR when decoding fails."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, decode: bool) -> None:
        self.running: ClientStream | None = None
        self._loop = loop
        self._decode = decode
        self._decoder: VideoDecoder | None = None
        self._early: list[Any] = []

    @property
    def pictures(self) -> int:
        return 0 if self._decoder is None else self._decoder.pictures

    @property
    def failures(self) -> int:
        return 0 if self._decoder is None else self._decoder.failures

    def begin(self, codec: Codec) -> None:
        if self._decode:
            self._decoder = VideoDecoder(codec, self._shown, self._failed)
            for frame in self._early:
                self._decoder.put(frame)
        self._early.clear()

    def frame(self, frame: Any) -> None:
        if self._decoder is not None:
            self._decoder.put(frame)
        elif self._decode:
            self._early.append(frame)  # between the handshake and `begin`: one turn of the loop

    def close(self) -> None:
        if self._decoder is not None:
            self._decoder.close()

    def _shown(self, _: Picture) -> None:
        return

    def _failed(self) -> None:
        if self.running is not None:
            self._loop.call_soon_threadsafe(self.running.request_idr)


async def _until_over(
    running: ClientStream, viewer: _Viewer, options: dict[str, Any]
) -> StreamOver | None:
    loop = asyncio.get_running_loop()
    deadline = None if options["seconds"] is None else loop.time() + options["seconds"]
    last_bytes, last_frames = 0, 0
    while deadline is None or loop.time() < deadline:
        left = REPORT_SECONDS if deadline is None else min(REPORT_SECONDS, deadline - loop.time())
        try:
            async with asyncio.timeout(max(left, 0)):
                return await running.over()
        except TimeoutError:
            figures = running.figures
        if not options["as_json"] and sys.stderr.isatty():
            rate = (figures.video_bytes - last_bytes) * 8 / 1000 / REPORT_SECONDS
            frames = (figures.frames - last_frames) / REPORT_SECONDS
            click.echo(
                f"\r{frames:5.1f} fps {rate:8.0f} kbit/s  lost {figures.lost}  "
                f"rtt {figures.round_trip_ms} ms  decoded {viewer.pictures}   ",
                nl=False,
                err=True,
            )
        last_bytes, last_frames = figures.video_bytes, figures.frames
    return None


def _own_socket() -> Path:
    from earthshine.cli import configuration
    from earthshine.runner.desktops.moonlight_host.configuration import WOLF_SOCKET
    from earthshine.runner.settings import RunnerSettings

    settings = configuration.load(RunnerSettings, "runner", {})
    return settings.moonlight.wolf_socket or settings.state_dir / "moonlight" / WOLF_SOCKET


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit()) or min(int(width), int(height)) < 16:
        fail(f"{text} is not a size like 1280x720", 2)
    return int(width), int(height)


def _chosen(apps: list[App], wanted: str | None, running: int) -> App:
    if not apps:
        fail("the host offers nothing", EXIT_NOT_FOUND)
    if wanted is None:
        return next((app for app in apps if app.id == running), apps[0])
    found = next((app for app in apps if wanted in (app.title, str(app.id))), None)
    if found is None:
        names = ", ".join(app.title for app in apps)
        fail(f"the host has no app {wanted}; it has: {names}", EXIT_NOT_FOUND)
    return found


def _place(host: tuple[str, int], folder: Path | None) -> Place:
    where = folder or user_data_path("earthshine") / "moonlight-client"
    try:
        identity = load_identity(where, CLIENT_NAME, datetime.now(UTC))
        known = KnownHosts(where)
    except (IdentityError, KnownHostsError) as error:
        fail(str(error))
    address, port = host
    paired = known.find(address, port)
    pinned = None if paired is None else paired.certificate
    return Place(
        address, port, known, GameHost(address, port, identity, pinned, secrets.token_bytes)
    )


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except NotPairedError as error:
        _end(error, EXIT_NOT_ALLOWED)
    except (AnswerRefusedError, PairingError) as error:
        _end(error, 1)
    except (ConnectionFailedError, MoonlightError, KnownHostsError) as error:
        _end(error, EXIT_UNAVAILABLE)
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _end(error: Exception, code: int) -> NoReturn:
    fail(str(error), code)
