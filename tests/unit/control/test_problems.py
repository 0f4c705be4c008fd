import inspect

import httpx
import pytest
from fastapi import FastAPI

from earthshine.control import errors, problems
from earthshine.control.errors import DialFailedError, DomainError

DOMAIN = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, DomainError) and kind is not DomainError
]


def make(kind):
    if kind is DialFailedError:
        return kind("what failed", stage="ask", remedy="do this")
    return kind("what failed", remedy="do this")


@pytest.mark.parametrize("kind", DOMAIN)
def test_every_domain_error_has_a_status_and_says_what_to_do(kind):
    problem = problems.of(make(kind))
    assert 400 <= problem.status < 600
    assert problem.status != 500
    assert (problem.detail, problem.remedy) == ("what failed", "do this")
    assert problem.code == kind.code != "internal"
    assert problems.close_code(make(kind)) in (1011, *range(4001, 4013))


def test_an_error_derived_from_another_is_answered_like_it():
    class Special(errors.NotFoundError):
        code = "special"

    assert problems.of(Special("x")).status == 404
    assert problems.close_code(Special("x")) == 4004
    assert problems.of(DomainError("x")).status == 500


@pytest.fixture
async def client(no_blocking):
    app = FastAPI()
    problems.install(app)

    @app.get("/fault")
    async def fault():
        raise ZeroDivisionError("a secret detail")

    @app.get("/number/{number}")
    async def number(number: int):
        raise errors.ConflictError(f"not {number}")

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://a") as client:
        yield client


async def test_a_mistake_of_ours_tells_nothing_of_itself(client):
    answer = await client.get("/fault")
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal"
    assert "secret" not in answer.text


async def test_answers_are_problem_details(client):
    for path, status in (("/number/1", 409), ("/number/x", 422), ("/missing", 404)):
        answer = await client.get(path)
        assert answer.status_code == answer.json()["status"] == status
        assert answer.headers["content-type"] == "application/problem+json"
    assert (await client.post("/fault")).status_code == 405
    assert (await client.post("/fault")).headers["allow"] == "GET"
    assert (await client.get("/number/x")).json()["errors"][0]["where"] == "path.number"
