"""The one place where errors become HTTP answers (RFC 9457) and WebSocket close codes."""

from __future__ import annotations

import functools
import logging
import math
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from earthshine.control.errors import (
    AuditUnavailableError,
    ConflictError,
    DialFailedError,
    DomainError,
    GoneError,
    GuacamoleUnavailableError,
    InvalidRequestError,
    NotAllowedError,
    NotFoundError,
    PartMissingError,
    ProviderError,
    RunnerUnavailableError,
    SignInRequiredError,
    TooManyError,
)
from earthshine.control.schema import View

log = logging.getLogger(__name__)
MEDIA_TYPE: Final = "application/problem+json"

STATUS: Final[dict[type[DomainError], int]] = {
    SignInRequiredError: 401,
    NotAllowedError: 403,
    NotFoundError: 404,
    InvalidRequestError: 422,
    ConflictError: 409,
    GoneError: 410,
    TooManyError: 429,
    RunnerUnavailableError: 503,
    AuditUnavailableError: 503,
    DialFailedError: 502,
    ProviderError: 502,
    GuacamoleUnavailableError: 502,
    PartMissingError: 503,
}
CLOSE_CODES: Final[dict[type[DomainError], int]] = {
    SignInRequiredError: 4001,
    NotAllowedError: 4003,
    NotFoundError: 4004,
    GoneError: 4004,
    TooManyError: 4008,
    InvalidRequestError: 4009,
    ConflictError: 4009,
}


class Problem(View):
    """A problem detail (RFC 9457) with a machine-readable `code` and what to do."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    remedy: str | None = None
    errors: list[dict[str, Any]] | None = Field(default=None)
    """For a request that does not fit the schema: where and why."""


ANY_ROUTE: Final = (400, 401, 403, 404, 409, 410, 413, 415, 421, 422, 429, 502, 503)
"""Statuses that any route may answer with."""


def _lookup(table: dict[type[DomainError], int], error: DomainError, default: int) -> int:
    for kind in type(error).__mro__:
        if kind in table:
            return table[kind]
    return default


def close_code(error: DomainError) -> int:
    """The WebSocket close code for a domain error."""
    return _lookup(CLOSE_CODES, error, 1011)


def answer(problem: Problem) -> Response:
    """The HTTP response."""
    headers = {"WWW-Authenticate": "Bearer"} if problem.status == 401 else None
    return JSONResponse(
        problem.model_dump(by_alias=True, exclude_none=True, mode="json"),
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers=headers,
    )


def plain_problem(status: int, detail: str, code: str = "refused") -> Response:
    """A problem that is no domain error: one of the transport."""
    return answer(Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, code=code))


def of(error: DomainError) -> Problem:
    """The problem that a domain error is."""
    return Problem(
        title=error.title,
        status=_lookup(STATUS, error, 500),
        detail=error.detail,
        code=error.code,
        remedy=error.remedy,
    )


async def _on_domain_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, DomainError)
    response = answer(of(error))
    if isinstance(error, TooManyError) and error.retry_after is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    return response


async def _on_validation_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    # What was sent is not repeated: it may hold a secret.
    where = [
        {"where": ".".join(str(part) for part in item["loc"]), "why": item["msg"]}
        for item in error.errors()[:20]
    ]
    return answer(
        Problem(
            title="Invalid request",
            status=422,
            detail="; ".join(f"{item['where']}: {item['why']}" for item in where[:3])[:500],
            code="invalid-request",
            errors=where,
        )
    )


async def _on_http_exception(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
    response = plain_problem(error.status_code, str(error.detail), code)
    response.headers.update(error.headers or {})
    return response


async def _on_fault(request: Request, error: Exception) -> Response:
    log.error("a request failed: %s %s", request.method, request.url.path, exc_info=error)
    return plain_problem(500, "The server made a mistake; its log says which.", "internal")


def _document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, with the problems that any route may answer with.

    Entered here rather than as each route's `responses`: the framework would make a validator for
    every status of every route, which is most of what building the application takes.
    """
    if app.openapi_schema is None:
        document = FastAPI.openapi(app)
        answers = {
            str(status): {
                "description": HTTPStatus(status).phrase,
                "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            }
            for status in ANY_ROUTE
        }
        for path in document["paths"].values():
            for operation in path.values():
                operation["responses"] |= answers
        schemas = document["components"]["schemas"]
        schemas["Problem"] = Problem.model_json_schema(mode="serialization")
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
    return app.openapi_schema or {}


def install(app: FastAPI) -> None:
    """Teach the application to answer with problems, and its document to say so."""
    app.openapi = functools.partial(_document, app)  # type: ignore[method-assign]
    app.add_exception_handler(DomainError, _on_domain_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(Exception, _on_fault)
