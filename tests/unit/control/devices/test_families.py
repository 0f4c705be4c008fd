"""Refresh tokens: which one is what."""

from datetime import UTC, datetime, timedelta

import pytest

from earthshine.control.devices import families
from earthshine.control.devices.families import (
    MAX_RETRIES,
    REFRESH_LIFE,
    RETRY_LIFE,
    Family,
    Verdict,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Story:
    """A family as time goes by; `use` presents a token and gives what follows."""

    def __init__(self):
        self.id = families.new_family_id()
        self.first = families.new_token(self.id, 1)
        digest = families.token_hash(self.first)
        self.family = Family(
            self.id, 1, digest, None, taken=False, retries=0, rotated_at=NOW,
            expires_at=NOW + REFRESH_LIFE,
        )  # fmt: skip

    def judge(self, token, after=timedelta(0)):
        return families.judge(self.family, token, NOW + after)

    def use(self, token, after=timedelta(0)):
        verdict = self.judge(token, after)
        fresh = families.new_token(self.id, self.family.generation + 1)
        values = families.rotated(self.family, verdict, fresh, NOW + after)
        self.family = Family(id=self.id, **values)
        return verdict, fresh

    def take(self):
        fields = {name: getattr(self.family, name) for name in Family.__slots__}
        self.family = Family(**(fields | {"taken": True}))


def test_each_token_replaces_the_one_before():
    story = Story()
    token = story.first
    for _ in range(5):
        verdict, token = story.use(token)
        assert verdict is Verdict.CURRENT
        story.take()


def test_a_used_token_gives_itself_away_once_the_next_one_has_arrived():
    story = Story()
    _, second = story.use(story.first)
    story.take()
    assert story.judge(story.first) is Verdict.REUSED
    _, _ = story.use(second)
    assert story.judge(story.first) is Verdict.REUSED, "however old it is"


def test_a_lost_answer_is_no_theft():
    story = Story()
    _, lost = story.use(story.first)
    verdict, second = story.use(story.first)
    assert verdict is Verdict.LOST_ANSWER
    assert story.judge(lost) is Verdict.REUSED, "what was lost must not turn up elsewhere"
    assert story.judge(second) is Verdict.CURRENT


def test_answers_do_not_get_lost_for_ever():
    story = Story()
    story.use(story.first)
    for _ in range(MAX_RETRIES):
        assert story.use(story.first)[0] is Verdict.LOST_ANSWER
    assert story.judge(story.first) is Verdict.REUSED


def test_nor_for_longer_than_a_day():
    story = Story()
    story.use(story.first)
    assert story.judge(story.first, RETRY_LIFE - timedelta(seconds=1)) is Verdict.LOST_ANSWER
    assert story.judge(story.first, RETRY_LIFE) is Verdict.REUSED


def test_a_retry_does_not_begin_the_day_again():
    story = Story()
    story.use(story.first)
    story.use(story.first, RETRY_LIFE - timedelta(seconds=1))
    assert story.judge(story.first, RETRY_LIFE) is Verdict.REUSED


def test_who_stays_away_too_long_must_pair_again():
    story = Story()
    assert story.judge(story.first, REFRESH_LIFE) is Verdict.EXPIRED
    _, second = story.use(story.first, REFRESH_LIFE - timedelta(seconds=1))
    assert story.judge(second, REFRESH_LIFE) is Verdict.CURRENT, "each use begins it anew"


@pytest.mark.parametrize(
    "token",
    ["", ".", "..", "x.1.y", "{id}.1", "{id}.9.secret", "{id}.-1.x", "{id}.²\u0663.x",
     "{id}.1.x.y", "{id}.99999999999999999999.x", "\ud800"],
)  # fmt: skip
def test_what_was_never_a_token_is_unknown(token):
    story = Story()
    story.use(story.first)
    assert story.judge(token.replace("{id}", story.id)) is Verdict.UNKNOWN
    assert families.judge(None, token, NOW) is Verdict.UNKNOWN
