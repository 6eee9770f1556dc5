"""The project over HTTP: for each reader what the reader's role sees, and the address by which it was asked."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from pipeline.clock import Clock
from pipeline.feed.serving import Parts, start
from pipeline.feed.users import UserFile
from pipeline.powerbi.web import routes
from pipeline.project.role import RoleFile
from tests.powerbi.conftest import Exported
from tests.powerbi.reader import model_of
from tests.readers.desk import Log

Make = Callable[[str], Exported]
PASSWORD = "a long enough password"
ROLES = {
    "buyer": RoleFile(
        tables=["dim_products", "fact_order_items", "fact_orders"],
        columns={"dim_products": ["product_key", "product_id", "name"], "fact_orders": ["order_id", "order_date", "total_amount"]},
    ),
}
Client = Callable[..., httpx.Client]


@pytest.fixture(scope="module")
def client(exported: Make) -> Iterator[Client]:
    """A client that is one of the users: root (admin), read (reader), buy (buyer)."""
    project = exported("shop").project
    settings = replace(project.settings, http_port=0)
    users = UserFile(settings.secrets)
    for name, role in {"root": "admin", "read": "reader", "buy": "buyer"}.items():
        users.add(name, role, PASSWORD, Clock().now())
    server = start(settings, Parts(roles=lambda: ROLES, more=routes(lambda: project)), Log())

    def make(name: str | None = "root") -> httpx.Client:
        auth = (name, PASSWORD) if name else None
        return httpx.Client(base_url=f"http://127.0.0.1:{server.port}", auth=auth, timeout=60, trust_env=False)

    yield make
    server.stop()


def files(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 200, answer.text
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_one_download_has_it_all_with_the_address_it_came_from(client: Client) -> None:
    with client() as one:
        answer = one.get("/powerbi/goldfeed.pbip.zip")
        made = files(answer)
        assert answer.headers["content-disposition"] == 'attachment; filename="goldfeed.pbip.zip"'
        assert f'"http://127.0.0.1:{one.base_url.port}/odata/v4/"' in made["shop.SemanticModel/definition/expressions.tmdl"]
        assert len(model_of(made).tables) == 16
        again = one.get("/powerbi/goldfeed.pbip.zip", headers={"If-None-Match": answer.headers["etag"]})
        assert again.status_code == 304 and again.content == b""
        assert "directQuery" in "".join(files(one.get("/powerbi/goldfeed.pbip.zip?mode=directquery")).values())
        assert one.get("/powerbi/goldfeed.pbids").json()["connections"][0]["details"]["protocol"] == "odata"


def test_a_reader_gets_what_the_role_sees_and_no_rules_of_others(client: Client) -> None:
    with client("buy") as one:
        made = files(one.get("/powerbi/goldfeed.pbip.zip"))
    tables = model_of(made).tables
    assert set(tables) == {"Products", "Order Items", "Orders", "Last Refresh", "Freshness"}
    assert {column.properties["sourceColumn"] for column in tables["Products"].of("column")} == {"product_key", "product_id", "name"}
    assert not re.search(r"fact_payments|dim_customers|email|'Price'|Freight Share", "\n".join(made.values()))


def test_without_a_login_there_is_nothing_and_a_wrong_question_gets_a_sentence(client: Client) -> None:
    with client(None) as nobody, client() as one:
        assert nobody.get("/powerbi/goldfeed.pbip.zip").status_code == 401
        assert nobody.get("/powerbi/goldfeed.pbids").status_code == 401
        wrong: dict[str, Any] = one.get("/powerbi/goldfeed.pbip.zip?mode=live").json()
        assert "there is no mode 'live'" in wrong["error"]["message"]
        assert one.get("/powerbi/goldfeed.pbip.zip?version=999999").status_code == 410
