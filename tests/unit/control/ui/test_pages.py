import httpx
import pytest
from starlette.applications import Starlette

from earthshine.control.ui import pages


@pytest.fixture
def dist(tmp_path, monkeypatch):
    folder = tmp_path / "dist"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>Earthshine</title>")
    (folder / "favicon.svg").write_text("<svg/>")
    (folder / "assets" / "index-abc.js").write_text("1")
    (tmp_path / "secret").write_text("secret")
    monkeypatch.setattr(pages, "DIST", folder)
    return folder


@pytest.fixture
async def client(dist, no_blocking):
    app = Starlette(routes=pages.routes("http://*.preview.localhost:7181"))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://a") as client:
        yield client


@pytest.mark.parametrize("path", ["/", "/sessions/abc", "/sessions/a/b", "/runners", "/settings"])
async def test_the_page_is_never_kept_and_has_a_policy(client, path):
    answer = await client.get(path)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-cache"
    policy = answer.headers["content-security-policy"]
    for rule in (
        "default-src 'none'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self' http://*.preview.localhost:7181",
    ):
        assert rule in policy
    assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0]


async def test_assets_are_kept_for_ever(client):
    answer = await client.get("/assets/index-abc.js")
    assert "immutable" in answer.headers["cache-control"]
    assert "immutable" not in (await client.get("/assets/missing.js")).headers.get(
        "cache-control", ""
    )


async def test_files_beside_the_page(client):
    assert (await client.get("/favicon.svg")).headers["content-type"].startswith("image/svg")


@pytest.mark.parametrize(
    "path",
    ["/missing.txt", "/..%2fsecret", "/%2e%2e/secret", "/assets/../../secret", "/assets",
     "/" + "x" * 300, "/assets/" + "x" * 300, "/a%00b", "/assets/..%2f..%2fsecret"],
    ids=lambda path: path[:20],
)  # fmt: skip
async def test_nothing_else_is_served(client, path):
    answer = await client.get(path)
    assert answer.status_code in (404, 405)
    assert "secret" not in answer.text


async def test_without_a_build_the_page_says_what_to_do(client, dist):
    (dist / "index.html").unlink()
    answer = await client.get("/")
    assert answer.status_code == 503
    assert "make ui" in answer.text
