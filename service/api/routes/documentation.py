"""The OpenAPI document and its page, from files of this service alone and under any path prefix."""

from pathlib import Path
from typing import Any

import fastapi_offline
from fastapi import APIRouter, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.staticfiles import StaticFiles

from service.errors import PathNotFound

_FILES_PATH = "/static-offline-docs"
_FOLDER = Path(fastapi_offline.__file__).parent / "static"
_FILES = StaticFiles(directory=_FOLDER)
_NAMES = frozenset(file.name for file in _FOLDER.iterdir())

router = APIRouter(include_in_schema=False)


@router.get("/openapi.json")
async def show_document(request: Request) -> JSONResponse:
    """Show the OpenAPI document; under a prefix it says so."""
    document: dict[str, Any] = request.app.openapi()
    root = _root_path(request)
    return JSONResponse({**document, "servers": [{"url": root}]} if root else document)


@router.get("/docs", response_class=HTMLResponse)
async def show_page(request: Request) -> HTMLResponse:
    """Show the page on which every call can be tried."""
    files = _root_path(request) + _FILES_PATH
    return get_swagger_ui_html(
        openapi_url=f"{_root_path(request)}/openapi.json",
        title=f"{request.app.title} - Swagger UI",
        swagger_js_url=f"{files}/swagger-ui-bundle.js",
        swagger_css_url=f"{files}/swagger-ui.css",
        swagger_favicon_url=f"{files}/favicon.png",
        swagger_ui_parameters=request.app.swagger_ui_parameters,
    )


@router.get(_FILES_PATH + "/{name}", response_class=Response)
async def show_file(name: str, request: Request) -> Response:
    """Show script, style or icon of the page."""
    if name not in _NAMES:
        raise PathNotFound("There is no such path")
    return await _FILES.get_response(name, request.scope)


def _root_path(request: Request) -> str:
    return request.scope.get("root_path", "").rstrip("/")
