"""What people can ask about runners."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pydantic import ValidationError

from earthshine.control.access import Access, Actor, Permission, Role, permits
from earthshine.control.errors import RunnerUnavailableError
from earthshine.control.runners.directory import Runner, RunnerDirectory
from earthshine.control.runners.schemas import AgentView, FolderList, RunnerList, RunnerView
from earthshine.protocols.envelope import ListFolders
from earthshine.protocols.pairing import fingerprint


class RunnerService:
    """Lists runners and looks into their folders."""

    def __init__(
        self,
        access: Access,
        directory: RunnerDirectory,
        running: Callable[[str], int],
        name_of: Callable[[str], Awaitable[str]],
    ) -> None:
        self.access = access
        self._name_of = name_of
        self._directory = directory
        self._running = running

    @permits(Permission.SESSION_LIST)
    async def list(self, actor: Actor) -> RunnerList:
        """The runners that are there for the actor, connected ones first; none for a guest."""
        runners = [runner for runner in self._directory if self.may_see(actor, runner)]
        runners.sort(key=lambda r: (not r.is_connected, r.name, r.id))
        return RunnerList(runners=[await self._view(runner) for runner in runners])

    def may_see(self, actor: Actor, runner: Runner) -> bool:
        """Whether a runner is on the actor's list."""
        if runner.is_removed or actor.role is Role.GUEST:
            return False
        return actor.is_admin or runner.is_for(actor.person_id)

    @permits(Permission.RUNNER_USE)
    async def get(self, actor: Actor, runner_id: str) -> RunnerView:
        """One runner."""
        return await self.view(runner_id)

    @permits(Permission.RUNNER_USE)
    async def folders(self, actor: Actor, runner_id: str, path: str) -> FolderList:
        """The folders inside a folder on the runner."""
        command = ListFolders(request_id="", path=path)
        answer = await self._directory.request(runner_id, None, command)
        try:
            return FolderList.model_validate(answer)
        except ValidationError:
            raise RunnerUnavailableError(
                "The runner's answer makes no sense.",
                remedy="Its version may be another than this server's.",
            ) from None

    def known(self, runner_id: str) -> Runner:
        """The runner. Raises NotFoundError."""
        return self._directory.get(runner_id)

    async def view(self, runner_id: str) -> RunnerView:
        """A runner as people see it. Raises NotFoundError. Not a way in for people: see `get`."""
        return await self._view(self._directory.get(runner_id))

    async def _view(self, runner: Runner) -> RunnerView:
        return RunnerView(
            id=runner.id,
            name=runner.name,
            state="connected" if runner.is_connected else "away",
            since=runner.since,
            hostname=runner.hostname,
            platform=runner.platform,
            version=runner.version,
            home=runner.home,
            capabilities=dict(runner.capabilities),
            agents=[
                AgentView(
                    name=agent.name,
                    label=agent.label,
                    available=agent.detail is None,
                    path=agent.path,
                    detail=agent.detail,
                )
                for agent in runner.agents
            ],
            running_sessions=self._running(runner.id),
            owner_id=runner.owner_id if runner.is_device else None,
            owner_name=await self._name_of(runner.owner_id) if runner.owner_id else None,
            shared=runner.possession.shared,
            credential="device" if runner.is_device else "static-token",
            fingerprint=fingerprint(runner.device_key) if runner.device_key else None,
            paired_at=runner.paired_at,
            address=runner.address,
            revoked=runner.is_revoked,
            revoked_reason=runner.revoked_reason,
        )
