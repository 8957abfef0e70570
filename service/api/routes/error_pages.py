"""Where the ``type`` of a problem leads: what each error means and what to do about it."""

from html import escape

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from service.api.problems import PROBLEMS

router = APIRouter(tags=["health"])


@router.get("/errors", response_class=HTMLResponse)
async def list_errors() -> str:
    """Explain every problem that a response can state."""
    problems = sorted(PROBLEMS.values(), key=lambda problem: problem.status)
    rows = "".join(
        f'<tr id="{problem.slug}"><td>{problem.status}<td><code>{problem.slug}</code>'
        f"<td>{escape(problem.title)}<td>{escape(problem.advice)}"
        for problem in problems
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Errors</title>'
        "<style>:root{color-scheme:light dark}body{font:16px/1.5 system-ui;margin:2rem auto;"
        "max-width:60rem;padding:0 1rem}td,th{padding:.4rem .8rem;text-align:left;"
        "vertical-align:top;border-bottom:1px solid #8884}tr:target{background:#fd04}</style>"
        f"<h1>Errors</h1><table><tr><th>Status<th>Type<th>Title<th>What to do{rows}</table>"
    )
