"""Rule by rule: what a machine's owner wrote, and what a control plane may then do."""

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from earthshine.protocols.envelope import AgentOffer, Start, Worktree
from earthshine.protocols.revdial import parse_destination
from earthshine.runner.policy.rules import (
    MAX_ENTRIES,
    NOT_OFFERED,
    Policy,
    PolicyError,
    PolicyRefusedError,
    Rules,
)

FILE = Path("/etc/earthshine/runner-policy.toml")


def policy(**rules):
    return Policy(Rules(**rules), FILE)


def start(**other):
    values: dict[str, Any] = {
        "request_id": "1",
        "agent": "claude",
        "argv": [],
        "folder": "/",
        "worktree": None,
        "prompt": "",
        "by": "mia",
        "cols": 80,
        "rows": 24,
    }
    return Start(**(values | other))


def refused(call, *arguments):
    """The rule that refused; the words name it and the file."""
    with pytest.raises(PolicyRefusedError) as error:
        call(*arguments)
    assert error.value.code == "refused-by-policy"
    assert f"(`{error.value.rule}` in {FILE})" in error.value.detail
    assert error.value.remedy
    return error.value.rule


def test_without_a_file_everything_that_the_user_could_do():
    free = Policy()
    command = start(agent="command", argv=["/bin/sh"], prompt="x", by="", folder=None)
    assert free.check_start(command, 1000) == msgspec.structs.replace(command, folder="~")
    free.check_program(command, "/bin/sh")
    free.check_typing("anybody")
    free.check_person("")
    free.check_destination(parse_destination("localhost:22"))
    offers = [AgentOffer(name="claude", label="Claude", path="/bin/claude")]
    assert free.offers(offers) == offers
    assert free.viewers_answer


def test_without_a_file_other_machines_are_out_of_reach_all_the_same():
    for text in ("10.0.0.1:80", "db.internal:5432", "unix:/run/docker.sock", "169.254.169.254:80"):
        with pytest.raises(PolicyRefusedError, match="destinations"):
            Policy().check_destination(parse_destination(text))


def test_agents():
    rules = policy(agents=["claude"])
    rules.check_start(start(), 0)
    for name in ("codex", "shell", "command", "Claude", ""):
        assert refused(rules.check_start, start(agent=name, argv=["ls"]), 0) == "agents"
    offers = [AgentOffer(name=n, label=n, path=f"/bin/{n}") for n in ("claude", "codex")]
    kept, gone = rules.offers(offers)
    assert kept == offers[0]
    assert (gone.path, gone.detail) == (None, NOT_OFFERED)
    assert refused(policy(agents=[]).check_start, start(), 0) == "agents"


def test_arguments_can_turn_an_agent_into_anything():
    rules = policy(agents=["shell", "command"], arguments=False)
    rules.check_start(start(agent="shell"), 0)
    rules.check_start(start(agent="command", argv=["ls", "-l"]), 0)
    assert refused(rules.check_start, start(agent="shell", argv=["-c", "x"]), 0) == "arguments"


@pytest.mark.parametrize(
    ("pattern", "asked", "program", "allowed"),
    [
        ("make", "make", "/usr/bin/make", True),
        ("make", "make2", "/usr/bin/make2", False),
        ("make", "/tmp/evil/make", "/tmp/evil/make", False),  # another program of that name
        ("make", "./make", "./make", False),
        ("git*", "git-lfs", "/usr/bin/git-lfs", True),
        ("/usr/bin/make", "make", "/usr/bin/make", True),
        ("/usr/bin/make", "make", "/opt/bin/make", False),
        ("/opt/tools/*", "/opt/tools/lint", "/opt/tools/lint", True),
        ("/opt/tools/*", "/opt/tools/sub/lint", "/opt/tools/sub/lint", False),
        ("/opt/tools/*", "/opt/tools/../../bin/sh", "/opt/tools/../../bin/sh", False),
        ("/opt/tools/*/*/*/*", "/opt/tools/../../bin/sh", "/opt/tools/../../bin/sh", False),
        ("tools/*", "tools/lint", "tools/lint", False),
        ("~/bin/x", "~/bin/x", os.path.expanduser("~/bin/x"), True),
        ("*", "/bin/sh", "/bin/sh", False),
        ("*", "sh", "/bin/sh", True),
    ],
)
def test_commands(pattern, asked, program, allowed):
    rules = policy(commands=[pattern])
    command = start(agent="command", argv=[asked])
    rules.check_start(command, 0)
    if allowed:
        rules.check_program(command, program)
    else:
        assert refused(rules.check_program, command, program) == "commands"


def test_commands_can_be_off():
    values: list[list[str] | bool] = [False, []]
    for value in values:
        rules = policy(commands=value)
        assert refused(rules.check_start, start(agent="command", argv=["ls"]), 0) == "commands"
        rules.check_start(start(), 0)
        rules.check_program(start(), "/usr/bin/claude")
        offer = AgentOffer(name="command", label="Any command")
        assert rules.offers([offer])[0].detail == NOT_OFFERED


@pytest.fixture
def tree(tmp_path):
    """`work` is allowed; a link in it leads out, a link outside leads in."""
    (tmp_path / "work" / "repo").mkdir(parents=True)
    (tmp_path / "workshop").mkdir()
    (tmp_path / "secret").mkdir()
    (tmp_path / "work" / "out").symlink_to("../secret")
    (tmp_path / "work" / "loop").symlink_to("loop")
    (tmp_path / "in").symlink_to("work/repo")
    return tmp_path


@pytest.mark.parametrize(
    ("path", "leads"),
    [
        ("work", "work"),
        ("work/", "work"),
        ("work/repo", "work/repo"),
        ("work/repo/..", "work"),
        ("in", "work/repo"),
        ("work/not/yet", "work/not/yet"),
        ("workshop", None),  # begins with the same letters
        (".", None),
        ("secret", None),
        ("work/../secret", None),
        ("work/repo/../../secret", None),
        ("work/out", None),
        ("work/out/..", None),  # the parent of where the link leads
        ("in/../../../etc", None),
        ("work/\0", None),
        ("../../../../../etc", None),
    ],
)
def test_path_traversal_out_of_the_folders(tree, path, leads):
    rules = policy(folders=[str(tree / "work")])
    command = start(folder=f"{tree}/{path}")
    repository = start(worktree=Worktree(repository=f"{tree}/{path}", branch="b"))
    if leads is None:
        assert refused(rules.check_start, command, 0) == "folders"
        assert refused(rules.check_start, repository, 0) == "folders"
        assert refused(rules.folder, f"{tree}/{path}") == "folders"
    else:
        assert rules.check_start(command, 0).folder == f"{tree}/{leads}"
        worktree = rules.check_start(repository, 0).worktree
        assert worktree is not None
        assert worktree.repository == f"{tree}/{leads}"


def test_an_allowed_folder_may_itself_be_a_link(tree):
    rules = policy(folders=[str(tree / "in")])
    assert rules.folder(str(tree / "work" / "repo")) == str(tree / "work" / "repo")
    assert rules.folder(str(tree / "in")) == str(tree / "work" / "repo")
    assert refused(rules.folder, str(tree / "work")) == "folders"


def test_no_folder_means_home_or_the_first_that_is_allowed(tree, monkeypatch):
    monkeypatch.setenv("HOME", str(tree / "work" / "repo"))
    rules = policy(folders=[str(tree / "workshop"), "~"])
    assert rules.folder(None) == str(tree / "work" / "repo")
    rules = policy(folders=[str(tree / "workshop")])
    assert rules.folder("") == str(tree / "workshop")
    assert refused(policy(folders=[]).folder, None) == "folders"
    assert rules.folder("relative") == "relative", "which is refused as no full path"


def test_a_list_of_folders_shows_no_way_out(tree):
    rules = policy(folders=[str(tree / "work")])
    top = {"path": str(tree / "work"), "parent": str(tree), "folders": []}
    assert rules.listing(top)["parent"] is None
    inner = {"path": str(tree / "work/repo"), "parent": str(tree / "work"), "folders": []}
    assert rules.listing(inner) == inner
    assert Policy().listing(top) == top
    assert rules.listing({**top, "parent": None})["parent"] is None


part = st.sampled_from(
    ["..", ".", "", "repo", "out", "loop", "work", "in", "secret", "~", "\0", "x"]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(parts=st.lists(part | st.text(max_size=5), max_size=12), absolute=st.booleans())
def test_no_path_escapes(tree, parts, absolute):
    """Whatever is asked: what comes back is inside, or is no full path."""
    rules = policy(folders=[str(tree / "work")])
    path = (f"{tree}/" if absolute else "") + "/".join(parts)
    try:
        found = rules.folder(path)
    except PolicyRefusedError:
        return
    if Path(os.path.expanduser(found)).is_absolute():
        assert Path(os.path.realpath(found)).is_relative_to(tree / "work")
    else:
        assert found == path, "not expanded, not resolved: refused by whoever uses it"


def test_people():
    rules = policy(people=["mia"])
    rules.check_start(start(), 0)
    rules.check_person("mia")
    rules.check_typing("mia")
    for name in ("otto", "", "Mia", "mia "):
        assert refused(rules.check_start, start(by=name), 0) == "people"
        assert refused(rules.check_person, name) == "people"
        assert refused(rules.check_typing, name) == "people"
    assert not rules.viewers_answer


def test_a_machine_for_watching_only():
    rules = policy(input=False)
    rules.check_start(start(), 0)
    rules.check_person("mia")
    assert refused(rules.check_start, start(prompt="do it"), 0) == "input"
    assert refused(rules.check_typing, "mia") == "input"
    assert not rules.viewers_answer


def test_a_number_of_sessions():
    rules = policy(max_sessions=2)
    rules.check_start(start(), 1)
    assert refused(rules.check_start, start(), 2) == "max_sessions"
    assert refused(policy(max_sessions=0).check_start, start(), 0) == "max_sessions"


@pytest.mark.parametrize(
    ("destination", "rule"),
    [
        ("localhost:3000", None),
        ("127.0.0.1:3000", None),
        ("[::1]:8000", None),
        ("127.0.0.1:8999", None),
        ("127.0.0.1:7999", "ports"),
        ("localhost:22", "ports"),
        ("db.internal:5432", None),
        ("db.internal:5433", "destinations"),
        ("db.internal.evil.example:5432", "destinations"),
        ("10.0.0.1:3000", "destinations"),
        ("localhost.evil.example:3000", "destinations"),
        ("unix:/run/app.sock", None),
        ("unix:/run/docker.sock", "destinations"),
        ("127.0.0.1:9", None),  # written out
    ],
)
def test_ports_and_destinations(destination, rule):
    rules = policy(
        ports=[3000, "8000-8999"],
        destinations=["DB.internal:5432", "unix:/run/app.sock", "127.0.0.1:9"],
    )
    if rule is None:
        rules.check_destination(parse_destination(destination))
    else:
        assert refused(rules.check_destination, parse_destination(destination)) == rule


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"ports": [0]}, "`ports` contains 0"),
        ({"ports": ["9-8"]}, "`ports` contains '9-8'"),
        ({"ports": ["1-70000"]}, "`ports`"),
        ({"ports": ["*"]}, "`ports`"),
        ({"ports": [-1]}, "`ports`"),
        ({"ports": ["3000 "]}, "`ports`"),
        ({"destinations": ["0.0.0.0:80"]}, "`destinations` contains '0.0.0.0:80'"),
        ({"destinations": ["*:80"]}, "`destinations`"),
        ({"destinations": ["db.internal"]}, "`destinations`"),
        ({"folders": ["work"]}, "`folders` contains 'work': begin it with / or ~"),
        ({"folders": [""]}, "`folders`"),
        ({"folders": ["/a\0"]}, "`folders`"),
        ({"max_sessions": -1}, "`max_sessions` is less than 0"),
        ({"people": ["x"] * (MAX_ENTRIES + 1)}, "`people` has more than"),
    ],
)
def test_a_wildcard_destination_and_other_rules_that_make_no_sense(rules, words):
    with pytest.raises(PolicyError) as error:
        policy(**rules)
    assert words in str(error.value)
    assert str(FILE) in str(error.value)


def test_every_rule_is_told_in_words():
    told = dict(policy(agents=[], ports=[1], people=["mia"], commands=False).describe())
    assert set(told) == {field.name for field in msgspec.structs.fields(Rules)}
    assert (told["agents"], told["ports"], told["people"]) == ("none", "1", "mia")
    assert told["commands"] == "none"
    assert all(words for _, words in Policy().describe())
