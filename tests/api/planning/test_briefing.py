"""Briefings over HTTP: what nobody may see is not in them, what is said is text, and an exercise is marked as one."""

from __future__ import annotations

import io
from typing import Any

import httpx
import pytest
from matplotlib import image

import web
from tests.api.planning.asking import AREA, ASK, LATER, WEST, Clients, add, at, ended, feature

needs_page = pytest.mark.skipif(web.assets() is None, reason="the page was not built")


async def briefing(
    client: httpx.AsyncClient, f: str = "html", title: str | None = None, **question: Any
) -> Any:
    params = {"f": f} | ({} if title is None else {"title": title})
    return await client.post(ASK, params=params, json={"area": AREA, **question})


@needs_page
async def test_what_is_not_shared_is_not_in_a_briefing(clients: Clients) -> None:
    await add(clients["ems"], "ems.secret", "coverage", feature("hush", WEST, name="Hush"))
    await clients["ems"].delete("/collections/ems.secret/shares/all")
    assert "Hush" in (await briefing(clients["ems"])).text
    page = (await briefing(clients["cfd"])).text
    assert "Hush" not in page
    assert "secret" not in page


async def test_who_may_not_ask_gets_no_briefing_either(clients: Clients) -> None:
    assert (await briefing(clients["public"])).status_code == 401
    assert (await briefing(clients["viewer"], "png")).status_code == 403


@pytest.mark.parametrize(
    ("f", "title"), [("html", "x" * 201), ("png", "two\nlines"), ("json", "The Loop"), ("csv", "The Loop")]
)
async def test_a_title_is_a_line_and_only_a_briefing_has_one(clients: Clients, f: str, title: str) -> None:
    refused = await briefing(clients["cfd"], f, title)
    assert (refused.status_code, refused.json()["code"]) == (400, "query.title")


@needs_page
async def test_what_is_said_is_text_and_the_page_is_none_of_ours(clients: Clients) -> None:
    fire = clients["cfd"]
    evil = "<script>alert(1)</script>"
    await add(
        fire,
        "cfd.units",
        "units",
        feature("u", at(-87.65, 41.88), reach_m=900, callsign=evil, status="on_scene"),
    )
    answer = await briefing(fire, title="<img src=x onerror=alert(1)>", where={"status": ["available"]})
    assert "&lt;script&gt;alert(1)" in answer.text
    assert "<script>alert" not in answer.text
    assert "&lt;img src=x" in answer.text
    assert "<img src=x" not in answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-disposition"].startswith('attachment; filename="coverage-')
    assert answer.headers["content-security-policy"].startswith("sandbox allow-scripts; default-src 'none'")
    assert "allow-same-origin" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


@needs_page
async def test_the_briefing_of_a_job_is_guarded_as_well(clients: Clients) -> None:
    asked = await clients["cfd"].post(ASK, params={"f": "html"}, json={"area": AREA}, headers=LATER)
    job = await ended(clients["cfd"], asked.json())
    result = await clients["cfd"].get(f"/jobs/{job['id']}/result")
    assert result.headers["content-disposition"].startswith('attachment; filename="coverage-')
    assert "sandbox" in result.headers["content-security-policy"]


@needs_page
async def test_an_exercise_is_marked_on_the_page_the_picture_and_the_files(clients: Clients) -> None:
    fire = clients["cfd"]
    await add(fire, "cfd.played", "units", feature("u", at(-87.65, 41.88), reach_m=900), status="exercise")
    page, picture = (
        await briefing(fire, layers=["cfd.played"]),
        await briefing(fire, "png", layers=["cfd.played"]),
    )
    assert page.text.count("exercise — not real") == 2
    strip = image.imread(io.BytesIO(picture.content))[5, 5, :3]
    assert list(strip) == pytest.approx([0.7, 0.0, 0.11], abs=0.01)
    for answer in (page, picture):
        assert answer.headers["content-disposition"].startswith('attachment; filename="EXERCISE-coverage-')


@needs_page
async def test_a_briefing_says_what_the_answer_says(clients: Clients) -> None:
    fire = clients["cfd"]
    await add(fire, "cfd.units", "units", feature("u", at(-87.65, 41.88), reach_m=900))
    answer = (await fire.post(ASK, json={"area": AREA})).json()
    page = (await fire.post(ASK, params={"f": "html"}, json={"run": answer["run"]})).text
    assert answer["run"] in page
    assert f"({100 * answer['gap_km2'] / answer['area_km2']:.1f} %) are not covered" in page
