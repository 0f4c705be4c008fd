"""A host as its client sees it over HTTP: what it is, what it offers, starting and stopping."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from earthshine.net.moonlight import http_client
from earthshine.net.moonlight.errors import ConnectionFailedError
from earthshine.protocols.moonlight import applist, launch, serverinfo
from earthshine.protocols.moonlight.answers import UNAUTHORISED, AnswerRefusedError, parse_answer
from earthshine.protocols.moonlight.launch import (
    LaunchRequest,
    SessionUrl,
    Start,
    StreamKeys,
    choose_start,
)
from earthshine.protocols.moonlight.pairing import Failure, PairingError, Phase
from earthshine.protocols.moonlight.pairing_client import (
    HostPaired,
    PairingClient,
    PairingStopped,
    RequestNeeded,
)
from earthshine.protocols.moonlight.query import UUID_BYTES, build_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from earthshine.protocols.moonlight.applist import App
    from earthshine.protocols.moonlight.certificates import Certificate, Identity
    from earthshine.protocols.moonlight.query import Request
    from earthshine.protocols.moonlight.serverinfo import ServerInfo


class NotPairedError(ConnectionFailedError):
    """The host does not know this client, or this client does not know the host."""


class OtherAppError(ConnectionFailedError):
    """Another application of this client runs on the host; ending it is a person's decision."""

    def __init__(self, app: int) -> None:
        super().__init__(f"application {app} of yours runs on this host; quit it first")
        self.app = app


@dataclass(frozen=True, slots=True)
class Started:
    """Where the stream is, and its keys."""

    url: SessionUrl
    keys: StreamKeys = field(repr=False)
    resumed: bool


class GameHost:
    """One host. ``pinned`` is its certificate, None before pairing.

    All methods raise ConnectionFailedError, AnswerError or AnswerRefusedError.
    """

    def __init__(
        self,
        address: str,
        port: int,
        identity: Identity,
        pinned: Certificate | None,
        entropy: Callable[[int], bytes],
    ) -> None:
        self.address = address
        self.port = port
        self.pinned = pinned
        self._identity = identity
        self._entropy = entropy
        self._https_port: int | None = None

    async def info(self) -> ServerInfo:
        """As clients ask: over HTTPS when paired, over HTTP when that is refused or not so."""
        if self.pinned is not None:
            try:
                port = await self._secure_port()
                body = await self._secure(self._request(serverinfo.PATH), port=port)
                return serverinfo.parse_server_info(body)
            except AnswerRefusedError as error:
                if error.status != UNAUTHORISED:
                    raise
        return await self._public_info()

    async def pair(self, pin: str, *, device_name: str = "earthshine") -> Certificate:
        """Show ``pin`` to whoever sits at the host, first. Returns the host's certificate.

        Raises PairingError with a reason for people.
        """
        await self._public_info()
        client = PairingClient(self._identity, pin, self._entropy, device_name=device_name)
        [step] = client.begin()
        while isinstance(step, RequestNeeded):
            patient = client.phase is Phase.CERTIFICATES
            seconds = http_client.PIN_SECONDS if patient else http_client.REQUEST_SECONDS
            if step.secure and step.certificate is not None:
                body = await http_client.get_secure(
                    self.address,
                    await self._secure_port(),
                    step.request,
                    self._identity,
                    step.certificate,
                    seconds,
                )
            else:
                body = await http_client.get(self.address, self.port, step.request, seconds)
            [step] = client.receive(body)
        if isinstance(step, PairingStopped):
            await self._courtesy(step.unpair)
            raise PairingError(_words(step))
        assert isinstance(step, HostPaired)
        self.pinned = step.certificate
        return step.certificate

    async def apps(self) -> list[App]:
        """What can be started. Raises NotPairedError."""
        return applist.parse_app_list(await self._private(self._request(applist.PATH)))

    async def art(self, app: int) -> bytes:
        """Box art, a PNG. Raises ConnectionFailedError when there is none."""
        wanted = {"appid": str(app), "AssetType": str(applist.BOX_ART), "AssetIdx": "0"}
        return await self._private(self._request(applist.ASSET_PATH, wanted))

    async def start(
        self, request: LaunchRequest, info: ServerInfo, *, replace: bool = False
    ) -> Started:
        """Launch, or resume what runs. ``replace``: end another application of ours first.

        Raises OtherAppError when that would be needed and ``replace`` is false.
        """
        how = choose_start(info, request.app_id)
        if how is Start.CANCEL_THEN_LAUNCH:
            if not replace:
                raise OtherAppError(info.current_app)
            await self.cancel()
        resume = how is Start.RESUME
        wanted = LaunchRequest(
            keys=request.keys,
            resume=resume,
            app_id=request.app_id,
            width=request.width,
            height=request.height,
            fps=request.fps,
            surround=request.surround,
            core_version=request.core_version,
        )
        seconds = http_client.RESUME_SECONDS if resume else http_client.LAUNCH_SECONDS
        body = await self._private(wanted.encode(self._entropy(UUID_BYTES)), seconds)
        url = launch.parse_launch_answer(body, resume=resume, address=self.address)
        return Started(url, request.keys, resume)

    async def cancel(self) -> bool:
        """Quit what runs for this client."""
        request = self._request(launch.CANCEL_PATH)
        body = await self._private(request, http_client.RESUME_SECONDS)
        return launch.parse_cancel_answer(body)

    def fresh_keys(self) -> StreamKeys:
        """Keys for one launch or resume."""
        key_id = int.from_bytes(self._entropy(4), "big", signed=True)
        return StreamKeys(self._entropy(launch.KEY_BYTES), key_id)

    async def _public_info(self) -> ServerInfo:
        body = await http_client.get(self.address, self.port, self._request(serverinfo.PATH))
        info = serverinfo.parse_server_info(body)
        self._https_port = info.https_port
        return info

    async def _secure_port(self) -> int:
        if self._https_port is None:
            await self._public_info()
        assert self._https_port is not None
        return self._https_port

    async def _private(
        self, request: Request, timeout: float = http_client.REQUEST_SECONDS
    ) -> bytes:
        port = await self._secure_port()
        body = await self._secure(request, timeout, port=port)
        if body.lstrip()[:1] == b"<":  # not box art
            try:
                parse_answer(body)
            except AnswerRefusedError as error:
                if error.status == UNAUTHORISED:
                    raise NotPairedError(
                        f"{self.address} does not know this client (any more): pair again"
                    ) from None
                raise
        return body

    async def _secure(
        self, request: Request, timeout: float = http_client.REQUEST_SECONDS, *, port: int
    ) -> bytes:
        if self.pinned is None:
            raise NotPairedError(f"not paired with {self.address}: pair first")
        return await http_client.get_secure(
            self.address, port, request, self._identity, self.pinned, timeout
        )

    async def _courtesy(self, request: Request) -> None:
        try:
            await http_client.get(self.address, self.port, request)
        except ConnectionFailedError:
            return

    def _request(self, path: str, parameters: dict[str, str] | None = None) -> Request:
        return build_request(path, parameters, uuid=self._entropy(UUID_BYTES))


def _words(stopped: PairingStopped) -> str:
    if stopped.failure is Failure.REFUSED and stopped.phase is Phase.CERTIFICATES:
        return "the host refused: another pairing may be in progress, or the PIN was not typed"
    if stopped.failure is Failure.REFUSED:
        return "the host refused: the PIN was probably wrong"
    return f"pairing failed in phase {int(stopped.phase)}: {stopped.failure.value}"
