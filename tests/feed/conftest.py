"""The feed over a small shop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from tests.feed.published import SHOP, Published


class Asker:
    """Short ways to ask the feed."""

    def __init__(self, client: TestClient) -> None:
        self.client = client

    def get(self, address: str, **headers: str) -> httpx.Response:
        """GET behind /odata/v4/; headers as name_with_underscores."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.get(f"/odata/v4/{address}", headers={"accept-encoding": "identity", **given})

    def rows(self, address: str, **headers: str) -> list[dict[str, Any]]:
        """The rows of an answer, all of one page."""
        answer = self.get(address, **headers)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["value"]
        return found

    def ids(self, filter_: str, table: str = "fact_orders", name: str = "order_id") -> list[Any]:
        """The keys of the rows that a filter leaves."""
        answer = self.client.get(f"/odata/v4/{table}", params={"$filter": filter_, "$select": name})
        assert answer.status_code == 200, answer.text
        return [row[name] for row in answer.json()["value"]]

    def refused(self, address: str, **headers: str) -> tuple[int, str]:
        """Status and sentence of an error in the one shape."""
        answer = self.get(address, **headers)
        error = answer.json()["error"]
        assert set(error) == {"code", "message"}
        assert answer.headers["OData-Version"] == "4.0"
        return answer.status_code, error["message"]


@pytest.fixture(scope="session")
def shop_feed(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """One version of the small shop, never changed."""
    made = Published(tmp_path_factory.mktemp("feed"))
    made.publish(SHOP)
    return made


@pytest.fixture(scope="session")
def odata(shop_feed: Published) -> Iterator[Asker]:
    """Asks as one who may see everything."""
    with TestClient(shop_feed.app(), base_url="http://feed") as client:
        yield Asker(client)
