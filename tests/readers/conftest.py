"""A feed that several tests of a module ask."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.readers.desk import Desk, publish


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    made = Desk(tmp_path_factory.mktemp("home")).with_users()
    publish(made.published, "000001")
    with made.serving():
        yield made
