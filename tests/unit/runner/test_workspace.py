import asyncio
import os
import subprocess

import pytest

from earthshine.protocols.envelope import Worktree
from earthshine.runner import workspace
from earthshine.runner.workspace import WorkspaceError

pytestmark = pytest.mark.usefixtures("no_blocking")


def git(folder, *arguments):
    subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True)


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("repository")
    git(folder, "init", "-q", "-b", "main")
    (folder / "file").write_text("first")
    git(folder, "add", ".")
    git(folder, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "first")
    git(folder, "tag", "v1")
    return folder


def tree(repository, branch="topic", base=""):
    return Worktree(repository=str(repository), branch=branch, base=base)


async def refused(folder, worktree, target):
    with pytest.raises(WorkspaceError) as caught:
        await workspace.prepare(folder, worktree, target)
    return caught.value


async def test_an_existing_folder(tmp_path):
    place = await workspace.prepare(str(tmp_path), None, tmp_path / "x")
    assert (place.folder, place.branch) == (tmp_path, None)


async def test_the_home_folder_is_the_default(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert (await workspace.prepare(None, None, tmp_path / "x")).folder == tmp_path
    (tmp_path / "src").mkdir()
    assert (await workspace.prepare("~/src", None, tmp_path / "x")).folder == tmp_path / "src"


@pytest.mark.parametrize(
    ("folder", "code"),
    [
        ("/no/such", "folder-missing"),
        ("relative", "folder-invalid"),
        ("/etc/passwd", "folder-missing"),
        ("a\0b", "folder-invalid"),
        ("/a\0b", "folder-missing"),
        ("/" + "x" * 5000, "folder-missing"),
    ],
)
async def test_a_folder_that_cannot_be_used(tmp_path, folder, code):
    error = await refused(folder, None, tmp_path / "x")
    assert error.code == code
    assert error.remedy


@pytest.mark.skipif(os.getuid() == 0, reason="root may enter any folder")
async def test_a_folder_that_is_forbidden(tmp_path):
    tmp_path.chmod(0)
    assert (await refused(str(tmp_path), None, tmp_path / "x")).code == "folder-forbidden"
    tmp_path.chmod(0o700)


async def test_a_fresh_worktree_on_a_branch_of_its_own(repository, tmp_path):
    target = tmp_path / "deep" / "tree"
    place = await workspace.prepare(None, tree(repository, "fresh", "v1"), target)
    assert (place.folder, place.branch) == (target, "fresh")
    assert (target / "file").read_text() == "first"
    again = await workspace.prepare(None, tree(repository, "fresh", "v1"), target)
    assert again == place, "a repeated start"


@pytest.mark.parametrize(
    ("branch", "base", "words"),
    [("main", "", "main"), ("x", "no-such-base", "no-such-base"), ("a..b", "", "a..b")],
)
async def test_what_git_refuses_is_said_in_its_words(repository, tmp_path, branch, base, words):
    error = await refused(None, tree(repository, branch, base), tmp_path / "t")
    assert error.code == "worktree-failed"
    assert words in error.detail
    assert not (tmp_path / "t").exists()


async def test_what_is_no_repository(tmp_path):
    error = await refused(None, tree(tmp_path), tmp_path / "t")
    assert error.code == "worktree-failed"
    assert (await refused(None, tree("/no/such"), tmp_path / "t")).code == "folder-missing"


async def test_a_machine_without_git(repository, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (await refused(None, tree(repository), tmp_path / "t")).code == "git-missing"


async def test_git_that_does_not_end(repository, tmp_path, monkeypatch):
    (tmp_path / "git").write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(workspace, "GIT_TIMEOUT", 0.1)
    error = await refused(None, tree(repository), tmp_path / "t")
    assert "in time" in error.detail


async def test_a_clean_worktree_is_removed_and_one_with_work_stays(repository, tmp_path):
    clean, dirty = tmp_path / "clean", tmp_path / "dirty"
    for target in (clean, dirty):
        await workspace.prepare(None, tree(repository, target.name), target)
    (dirty / "new").write_text("work")
    await workspace.discard(clean)
    await workspace.discard(dirty)
    await workspace.discard(tmp_path / "never-was")
    assert not clean.exists()
    assert (dirty / "new").read_text() == "work"


async def test_folders_are_listed_hidden_ones_last(tmp_path, monkeypatch):
    for name in ("b", "A", ".hidden", "repo"):
        (tmp_path / name).mkdir()
    (tmp_path / "repo" / ".git").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "link")
    listing = await workspace.list_folders(str(tmp_path))
    assert [folder["name"] for folder in listing["folders"]] == ["A", "b", "repo", ".hidden"]
    assert [f["name"] for f in listing["folders"] if f["isRepository"]] == ["repo"]
    assert (listing["path"], listing["parent"]) == (str(tmp_path), str(tmp_path.parent))
    assert (await workspace.list_folders("/"))["parent"] is None
    monkeypatch.setattr(workspace, "MAX_FOLDERS", 2)
    listing = await workspace.list_folders(str(tmp_path))
    assert (len(listing["folders"]), listing["truncated"]) == (2, True)
    with pytest.raises(WorkspaceError):
        await workspace.list_folders("/no/such")
    await asyncio.sleep(0)
