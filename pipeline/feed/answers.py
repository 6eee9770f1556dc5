"""What every route of the feed answers with: one shape for errors."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pipeline.errors import GoldfeedError, RequestError


def error_answer(error: GoldfeedError) -> JSONResponse:
    """`{"error": {"code": ..., "message": ...}}`, the shape that OData prescribes, for all routes."""
    status, code = (error.status, error.code) if isinstance(error, RequestError) else (500, "InternalError")
    body = {"error": {"code": code, "message": error.sentence()}}
    headers = {"OData-Version": "4.0"} | ({"Retry-After": "5"} if status == 503 else {})
    return JSONResponse(body, status, headers)


async def on_error(request: Request, error: Exception) -> Response:
    """Starlette's handler for the tree of errors."""
    assert isinstance(error, GoldfeedError)
    return error_answer(error)


def internal_error() -> RequestError:
    """What is said of a mistake of ours."""
    return RequestError(
        "something went wrong on our side", status=500, code="InternalError", do="see the log of the service"
    )
