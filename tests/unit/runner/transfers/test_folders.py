"""Sessions' folders for files: nothing leads out of them, nothing is lost or overwritten."""

import os
import stat

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from earthshine.runner.transfers.folders import FileError, FileFolders, write
from earthshine.runner.transfers.settings import FileSettings


@pytest.fixture
def folders(tmp_path):
    made = FileFolders(tmp_path / "state", FileSettings(max_file=1000, max_total=2500))
    made.prepare("s1", str(tmp_path))
    return made


def put(folders, name, data=b"content", *, replace=False, session="s1"):
    unfinished = folders.begin(session, name, len(data), replace=replace)
    write(unfinished, data)
    folders.finish(session, unfinished, replace=replace)


def names(folders):
    return [entry.name for entry in folders.list("s1").files]


def entries(folders):
    return sorted(path.name for path in folders.path("s1").iterdir())


def test_a_file_comes_and_goes(folders):
    put(folders, "a.txt")
    file, size = folders.read("s1", "a.txt")
    with file:
        assert (file.read(), size) == (b"content", 7)
    assert stat.S_IMODE((folders.path("s1") / "a.txt").stat().st_mode) == 0o600


def test_nothing_is_overwritten_without_saying(folders):
    put(folders, "a", b"old")
    with pytest.raises(FileError, match="already") as refused:
        folders.begin("s1", "a", 3, replace=False)
    assert refused.value.code == "exists"
    put(folders, "a", b"new", replace=True)
    assert (folders.path("s1") / "a").read_bytes() == b"new"


def test_two_at_once_under_one_name_do_not_overwrite_each_other(folders):
    first = folders.begin("s1", "a", 1, replace=False)
    second = folders.begin("s1", "a", 1, replace=False)
    write(first, b"1")
    write(second, b"2")
    folders.finish("s1", first, replace=False)
    with pytest.raises(FileError, match="already"):
        folders.finish("s1", second, replace=False)
    assert entries(folders) == ["a"]
    assert (folders.path("s1") / "a").read_bytes() == b"1"


def test_what_does_not_come_to_an_end_leaves_nothing(folders):
    unfinished = folders.begin("s1", "a", 900, replace=False)
    write(unfinished, b"half")
    assert names(folders) == []
    folders.discard("s1", unfinished)
    folders.discard("s1", unfinished)
    assert entries(folders) == []
    put(folders, "b", bytes(1000))  # and its room is free again


def test_what_a_killed_runner_left_is_swept(folders, tmp_path):
    left = folders.begin("s1", "a", 10, replace=False)
    left.file.close()
    os.close(left.folder)
    assert len(entries(folders)) == 1
    FileFolders(tmp_path / "state", FileSettings()).sweep()
    assert entries(folders) == []


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/b", "..", "", ".earthshine-x", "a\0"])
def test_names_do_not_lead_elsewhere(folders, name):
    for attempt in (
        lambda: folders.begin("s1", name, 1, replace=True),
        lambda: folders.read("s1", name),
    ):
        with pytest.raises(FileError) as refused:
            attempt()
        assert refused.value.code == "bad-name"


@pytest.mark.parametrize("session", ["", "..", "../s1", "S1", "s1/"])
def test_sessions_do_not_lead_elsewhere(folders, session):
    with pytest.raises(FileError):
        folders.list(session)


def test_links_are_not_followed(folders, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (folders.path("s1") / "link").symlink_to(secret)
    (folders.path("s1") / "folder").mkdir()
    os.mkfifo(folders.path("s1") / "pipe")
    assert names(folders) == []
    assert folders.list("s1").unlisted == 3
    for name in ("link", "folder", "pipe"):
        with pytest.raises(FileError):
            folders.read("s1", name)
    put(folders, "link", b"mine", replace=True)  # takes the link's place
    assert secret.read_text() == "secret"
    assert not (folders.path("s1") / "link").is_symlink()
    with pytest.raises(FileError):
        put(folders, "folder", replace=True)


def test_a_folder_that_became_a_link_is_none(folders, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    folders.path("s1").rmdir()
    folders.path("s1").symlink_to(elsewhere)
    with pytest.raises(FileError, match="no folder"):
        put(folders, "a")
    assert list(elsewhere.iterdir()) == []


def test_limits_are_said(folders):
    with pytest.raises(FileError, match="this machine takes"):
        folders.begin("s1", "large", 1001, replace=False)
    kept = folders.begin("s1", "a", 1000, replace=False)
    other = folders.begin("s1", "b", 1000, replace=False)
    with pytest.raises(FileError, match="more than"):
        folders.begin("s1", "c", 501, replace=False)
    folders.discard("s1", other)
    folders.discard("s1", kept)
    put(folders, "c", bytes(501))


def test_switched_off(tmp_path):
    off = FileFolders(tmp_path, FileSettings(enabled=False))
    assert off.prepare("s1", str(tmp_path)) is None
    with pytest.raises(FileError, match="takes and gives no files"):
        off.list("s1")


def test_in_the_working_folder_where_git_does_not_see_it(tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    own = FileSettings(in_working_folder=True)
    path = FileFolders(tmp_path / "state", own).prepare("s1", str(work))
    assert path == work / ".earthshine" / "s1"
    assert (work / ".earthshine" / ".gitignore").read_text() == "*\n"
    again = FileFolders(tmp_path / "state", own)  # another runner finds it
    put(again, "a")
    assert path is not None
    assert (path / "a").exists()
    again.forget("s1")
    assert not path.exists()


def test_the_session_is_deleted(folders):
    put(folders, "a")
    folders.forget("s1")
    with pytest.raises(FileError, match="no folder"):
        folders.list("s1")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=30))
def test_whatever_the_name_the_file_lies_in_the_folder(folders, name):
    outside = {p for p in folders.path("s1").parent.parent.rglob("*") if p.is_file()}
    try:
        put(folders, name, replace=True)
    except FileError:
        return
    made = {p for p in folders.path("s1").parent.parent.rglob("*") if p.is_file()} - outside
    assert all(p.parent == folders.path("s1") for p in made)
    assert (folders.path("s1") / name).read_bytes() == b"content"
    (folders.path("s1") / name).unlink()
