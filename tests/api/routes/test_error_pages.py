"""The page that the ``type`` of every problem leads to."""

import re
from html import unescape

from service.api.problems import PROBLEMS
from tests.api.clients import SHARED_LOOP, Client

pytestmark = SHARED_LOOP

ROW = re.compile(r'<tr id="([^"]+)"><td>(\d+)<td><code>([^<]+)</code><td>([^<]+)<td>([^<]+)')


async def test_every_problem_is_explained_where_its_type_leads(client: Client) -> None:
    response = await client.get("/errors")

    rows = ROW.findall(unescape(response.text))
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    expected = [
        (problem.slug, str(problem.status), problem.slug, problem.title, problem.advice)
        for problem in PROBLEMS.values()
    ]
    assert sorted(rows) == sorted(expected)
    assert [row[1] for row in rows] == sorted(row[1] for row in rows)


async def test_the_type_of_a_problem_leads_to_the_page(client: Client) -> None:
    kind = (await client.get("/nowhere")).json()["type"]
    path, _, anchor = kind.partition("#")

    assert f'id="{anchor}"' in (await client.get(path)).text
