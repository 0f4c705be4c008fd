"""What people can ask about runners."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import ValidationError

from earthshine.control.access import Access, Actor, Permission, permits
from earthshine.control.errors import RunnerUnavailableError
from earthshine.control.runners.directory import Runner, RunnerDirectory
from earthshine.control.runners.schemas import AgentView, FolderList, RunnerList, RunnerView
from earthshine.protocols.envelope import ListFolders


class RunnerService:
    """Lists runners and looks into their folders."""

    def __init__(
        self, access: Access, directory: RunnerDirectory, running: Callable[[str], int]
    ) -> None:
        self.access = access
        self._directory = directory
        self._running = running

    @permits(Permission.MEMBER)
    async def list(self, actor: Actor) -> RunnerList:  # noqa: ARG002
        """All runners, connected ones first."""
        runners = sorted(self._directory, key=lambda r: (not r.is_connected, r.name, r.id))
        return RunnerList(runners=[self._view(runner) for runner in runners])

    @permits(Permission.RUNNER_USE)
    async def get(self, actor: Actor, runner_id: str) -> RunnerView:  # noqa: ARG002
        """One runner."""
        return self.view(runner_id)

    @permits(Permission.RUNNER_USE)
    async def folders(self, actor: Actor, runner_id: str, path: str) -> FolderList:  # noqa: ARG002
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

    def view(self, runner_id: str) -> RunnerView:
        """A runner as people see it. Raises NotFoundError."""
        return self._view(self._directory.get(runner_id))

    def _view(self, runner: Runner) -> RunnerView:
        return RunnerView(
            id=runner.id,
            name=runner.name,
            state="connected" if runner.is_connected else "away",
            since=runner.since,
            hostname=runner.hostname,
            platform=runner.platform,
            version=runner.version,
            home=runner.home,
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
        )
