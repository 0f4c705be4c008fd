"""Problems as the fake control plane answers them (RFC 9457)."""

from starlette.responses import JSONResponse, Response


def problem(
    status: int, code: str, detail: str, remedy: str = "", retry_after: int | None = None
) -> Response:
    """An answer that says what failed and what to do."""
    return JSONResponse(
        {
            "type": "about:blank",
            "title": detail,
            "status": status,
            "detail": detail,
            "code": code,
            "remedy": remedy,
        },
        status_code=status,
        media_type="application/problem+json",
        headers={} if retry_after is None else {"retry-after": str(retry_after)},
    )
