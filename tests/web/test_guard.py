from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from tornado.routing import Rule
from visitor import TOKEN, Site

from edge_detect.web import api, pages, recordings, server
from edge_detect.web.guard import Guarded, Missing

PUBLIC = {pages.Static, pages.Login}
PROBES = {api.Metrics, api.Healthy, api.Ready}
EXAMPLES = {r"/static/(app\.js|events\.js|zones\.js|style\.css|favicon\.svg)": "/static/app.js"} | {
    path: path.replace(recordings.ID, "a-7").replace("\\", "")
    for path, _ in server.ROUTES
    if recordings.ID in path
}


def rules(site: Site) -> list[Rule]:
    """All that Tornado would route, whoever added it."""
    application = server.application(site.web._desk)
    assert len(application.default_router.rules) == 1  # ours; the rest is `Missing`
    return list(application.wildcard_router.rules)


def test_every_route_is_guarded_and_only_these_are_for_everybody(site: Site) -> None:
    handlers = {rule.target for rule in rules(site)}

    assert all(issubclass(handler, Guarded) for handler in handlers)
    assert {handler for handler in handlers if handler.public} == PUBLIC
    assert {handler for handler in handlers if handler.probe} == PROBES


def test_no_handler_lets_in_by_a_way_of_its_own(site: Site) -> None:
    handlers = [rule.target for rule in rules(site)] + [Missing]

    for name in ("_check_address", "_check_origin", "_check_caller"):
        assert {getattr(handler, name) for handler in handlers} == {getattr(Guarded, name)}


@pytest.mark.parametrize("path, handler", server.ROUTES, ids=[path for path, _ in server.ROUTES])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_every_route_asks_for_the_secret(
    guarded: Site, path: str, handler: type[Guarded], method: str
) -> None:
    answer = guarded.ask(EXAMPLES.get(path, path.replace("\\", "")), method)

    refused = answer.status == 401 or (answer.status, answer.headers.get("location")) == (303, "/login")
    assert refused or handler in PUBLIC
    assert re.fullmatch(path, EXAMPLES.get(path, path.replace("\\", "")))


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz"])
def test_probes_are_open_on_this_machine_alone(pages: Callable[..., Site], guarded: Site, path: str) -> None:
    assert pages(token=TOKEN).ask(path).status in (200, 503)
    assert guarded.ask(path).status == 401


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:80", "127.0.0.1", "[::1]:8080", "192.168.1.7", "door.example"]
)
def test_our_own_names_are_known(pages: Callable[..., Site], host: str) -> None:
    assert pages(names=("door.example",)).ask("/api/state", Host=host).status == 200


def test_the_way_in_leads_to_the_page(guarded: Site) -> None:
    answer = guarded.ask("/login")

    assert answer.status == 200
    assert b'<form method="post" action="/login">' in answer.body
    assert guarded.ask("/").headers["location"] == "/login"


def test_without_a_secret_there_is_no_way_in_to_show(site: Site) -> None:
    assert site.ask("/login").headers["location"] == "/"
    assert site.login("x").status == 401


def test_the_page_is_small_and_of_its_own_origin() -> None:
    texts = {name: pages.content(name) for name in pages.FILES}

    assert sum(map(len, texts.values())) <= 60_000
    for name, text in texts.items():
        found = re.findall(rb"(?:https?:)?//[a-z][\w.-]+\.[a-z]{2,}[^\"' )]*", text)
        assert set(found) <= {b"http://www.w3.org/2000/svg"}, name
        assert b"innerHTML" not in text
        assert b" style=" not in text


def test_a_file_that_is_no_page_is_not_served() -> None:
    with pytest.raises(KeyError):
        pages.content("../server.py")
