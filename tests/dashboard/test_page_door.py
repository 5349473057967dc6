"""Who may ask the page for what, at the level of HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from edgestream.dashboard.operator import Operator, read_token
from edgestream.dashboard.places import Places
from edgestream.dashboard.routes import application
from edgestream.dashboard.watches import Watches
from edgestream.models import open_store
from stream.settings import Settings
from xas.errors import Reject

TOKEN = "a token of an operator that nobody guesses"
HERE = "http://127.0.0.1:8050"
ACTIONS = ("", "/promote", "/rollback", "/requeue", "/hold")


def client_of(folder: Path, token: str | None, address: str = HERE) -> TestClient:
    places = Places(
        url="redis://127.0.0.1:1", out=folder, models=str(folder / "models"), settings=Settings()
    )
    app = application(places, Operator(places, token), ["page.example"], Watches(places))
    return TestClient(app, base_url=address)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with client_of(tmp_path, TOKEN) as made:
        yield made


def promotion(client: TestClient, **headers: str) -> int:
    """The answer to asking for fe-k@1 as ``trial``."""
    body = {"name": "fe-k", "version": 1, "alias": "trial"}
    answer = client.post("/api/operator/promote", json=body, headers=headers)
    return answer.status_code


def aliases(folder: Path) -> dict[str, int]:
    return open_store(folder / "models").aliases("fe-k")


def test_every_answer_forbids_scripts_frames_and_other_sites(client: TestClient) -> None:
    for path in ("/", "/static/main.js", "/api/references", "/nothing", "/api/runs/..%2f/window"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in headers


def test_the_page_itself_has_no_inline_script_or_style(client: TestClient) -> None:
    page = client.get("/").text
    assert "<style" not in page
    assert "style=" not in page
    assert page.count("<script") == page.count("<script src=") == 2
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8050", "127.0.0.1.evil.example", "localhost@evil", ""]
)
def test_a_name_that_somebody_else_led_here_is_refused(client: TestClient, host: str) -> None:
    answer = client.get("/api/references", headers={"host": host})
    assert answer.status_code == 403
    assert "--allow-host" in answer.text


@pytest.mark.parametrize(
    "host", ["localhost:8050", "127.0.0.1", "[::1]:8050", "192.168.1.7:80", "PAGE.example"]
)
def test_addresses_and_allowed_names_are_answered(client: TestClient, host: str) -> None:
    assert client.get("/api/references", headers={"host": host}).status_code == 200


def test_the_operator_with_token_and_origin_promotes(tmp_path: Path, client: TestClient) -> None:
    assert promotion(client, **{"x-operator-token": TOKEN, "origin": HERE}) == 200
    assert aliases(tmp_path)["trial"] == 1


@pytest.mark.parametrize("origin", ["", "null", "http://evil.example", "http://127.0.0.1:9999"])
def test_another_site_changes_nothing_even_with_the_token(
    tmp_path: Path, client: TestClient, origin: str
) -> None:
    headers = {"x-operator-token": TOKEN} | ({"origin": origin} if origin else {})
    assert promotion(client, **headers) == 403
    assert "trial" not in aliases(tmp_path)


@pytest.mark.parametrize("token", ["", "x", TOKEN[:-1], TOKEN + "x", "tökén"])
def test_no_other_token_changes_anything(tmp_path: Path, client: TestClient, token: str) -> None:
    for action in ACTIONS:
        answer = client.post(
            f"/api/operator{action}",
            json={"name": "fe-k", "version": 1, "run": "md"},
            headers={"x-operator-token": token.encode(), "origin": HERE},
        )
        assert answer.status_code == 401
    assert "trial" not in aliases(tmp_path)


@pytest.mark.parametrize("token", ["", "None", TOKEN])
def test_without_a_token_of_its_own_the_page_is_read_only(tmp_path: Path, token: str) -> None:
    with client_of(tmp_path, None) as client:
        assert promotion(client, **{"x-operator-token": token, "origin": HERE}) == 403
        assert client.get("/api/references").json()["operator"] is False


def test_another_site_cannot_make_the_page_work(client: TestClient) -> None:
    asked = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
    assert client.get("/api/references", headers=asked).status_code == 403
    assert client.get("/", headers=asked | {"sec-fetch-mode": "navigate"}).status_code == 200


def test_changes_are_not_made_by_get(client: TestClient) -> None:
    for action in ACTIONS:
        answer = client.get(f"/api/operator{action}", headers={"x-operator-token": TOKEN})
        assert answer.status_code == 405


@pytest.mark.parametrize(
    "run", ["..", "..%2F..%2Fetc%2Fpasswd", ".hidden", "a%00b", "a" * 65, "%2Fetc%2Fpasswd"]
)
def test_only_names_of_runs_are_looked_for(client: TestClient, run: str) -> None:
    for path in ("window?first=0&end=1", "frames/0", "comparison?with=run:x", "dead-letters"):
        assert client.get(f"/api/runs/{run}/{path}").status_code in (400, 404)


@pytest.mark.parametrize("name", ["../secret.xdi", "/etc/passwd", "secret.txt"])
def test_only_measured_files_of_the_folder_are_read(
    tmp_path: Path, client: TestClient, name: str
) -> None:
    (tmp_path.parent / "secret.xdi").write_text("1 2\n")
    (tmp_path / "secret.txt").write_text("1 2\n")
    answer = client.get(f"/api/runs/md/comparison?with=measured:{name}")
    assert answer.status_code in (400, 503)
    assert client.get("/api/references").json()["measured"] == []


def test_a_body_that_is_too_large_is_refused(client: TestClient) -> None:
    answer = client.post(
        "/api/runs/md/comparison", content=b"1 2\n" * 2_000_000, headers={"origin": HERE}
    )
    assert answer.status_code == 413


def test_what_nobody_understands_is_refused_in_one_line(client: TestClient) -> None:
    headers = {"x-operator-token": TOKEN, "origin": HERE}
    for body in (b"", b"[]", b'{"name": "fe-k"}', b'{"name": "fe-k", "version": 1, "x": 1}'):
        answer = client.post("/api/operator/promote", content=body, headers=headers)
        assert answer.status_code == 400
        assert "not what this address takes" in answer.json()["error"]


def test_a_token_that_can_be_guessed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("short\n")
    with pytest.raises(Reject, match="at least 16 characters"):
        read_token(tmp_path / "token")
    assert read_token(None) is None
