"""$metadata: valid by OASIS's own schemas, and true to the tables."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
from lxml import etree
from starlette.testclient import TestClient

from tests.conftest import SAMPLE_DATA, needs_sample_data
from tests.feed.conftest import Asker
from tests.feed.published import SHOP, Published

EDM = {"edm": "http://docs.oasis-open.org/odata/ns/edm", "edmx": "http://docs.oasis-open.org/odata/ns/edmx"}
SCHEMAS = SAMPLE_DATA / "schemas" / "odata"
ODD = {
    "odd names & <types>": {
        "key": ["the key"],
        "columns": {"1st": 'Quotes " and <tags> & \x01 control'},
        "sql": """SELECT 1::BIGINT AS "the key", 'x' AS "1st", 'y' AS "a.b", 'z' AS "a""b", 5::HUGEINT AS huge, [1, 2] AS list,
                  INTERVAL 90 MINUTE AS span, TIME '10:00' AS "at", uuid() AS id, 'x'::BLOB AS raw, 1.5::FLOAT AS single,
                  'a'::ENUM('a', 'b') AS choice, TIMESTAMPTZ '2024-01-01 00:00:00+02' AS zoned, {'a': 1} AS struct, 3::UTINYINT AS small,
                  'ä' AS "größe" """,
    },
    "by_double": {"key": ["d"], "sql": "SELECT 1.5::DOUBLE AS d"},
}


def xml(odata: Asker) -> etree._Element:
    answer = odata.get("$metadata")
    assert answer.headers["content-type"].startswith("application/xml")
    return etree.fromstring(answer.content)


def of(tree: etree._Element, path: str) -> etree._Element:
    found = tree.xpath(path, namespaces=EDM)
    assert len(found) == 1, path
    return found[0]


@needs_sample_data
def test_xml_is_valid_by_the_schema_of_oasis(odata: Asker, tmp_path: Path) -> None:
    schema = etree.XMLSchema(etree.parse(str(SCHEMAS / "edmx.xsd")))
    schema.assertValid(xml(odata))
    made = Published(tmp_path)
    made.publish(ODD | SHOP)
    with TestClient(made.app()) as client:
        schema.assertValid(etree.fromstring(client.get("/odata/v4/$metadata").content))


@needs_sample_data
def test_json_is_valid_by_the_schema_of_oasis(odata: Asker, tmp_path: Path) -> None:
    text = (SCHEMAS / "csdl.schema.json").read_text(encoding="utf-8")
    for python, schema_words in ((r"[^\\W\\d]", r"(_|\\p{L}|\\p{Nl})"), (r"\\w", r"(_|\\p{L}|\\p{Nl}|\\p{Nd}|\\p{Mn}|\\p{Mc}|\\p{Pc}|\\p{Cf})")):
        text = text.replace(schema_words, python)  # Python's patterns do not know \p
    schema = json.loads(text)
    answer = odata.get("$metadata?$format=json")
    assert answer.headers["content-type"].startswith("application/json")
    jsonschema.validate(answer.json(), schema)
    made = Published(tmp_path)
    made.publish(ODD | SHOP)
    with TestClient(made.app()) as client:
        jsonschema.validate(client.get("/odata/v4/$metadata", headers={"accept": "application/json"}).json(), schema)


def test_types_keys_and_descriptions(odata: Asker) -> None:
    tree = xml(odata)
    total = of(tree, "//edm:EntityType[@Name='fact_orders']/edm:Property[@Name='total']")
    assert dict(total.attrib) == {"Name": "total", "Type": "Edm.Decimal", "Precision": "18", "Scale": "2"}
    assert of(total, "edm:Annotation[@Term='Org.OData.Core.V1.Description']").get("String") == "Items plus freight"
    key = tree.xpath("//edm:EntityType[@Name='fact_lines']/edm:Key/edm:PropertyRef/@Name", namespaces=EDM)
    assert key == ["order_id", "line"]
    line = of(tree, "//edm:EntityType[@Name='fact_lines']/edm:Property[@Name='line']")
    assert dict(line.attrib) == {"Name": "line", "Type": "Edm.Int16", "Nullable": "false"}
    kinds = {node.get("Name"): node.get("Type") for node in of(tree, "//edm:EntityType[@Name='fact_orders']").findall("edm:Property", EDM)}
    assert kinds == {
        "order_id": "Edm.String", "customer_key": "Edm.Int32", "order_date": "Edm.Date", "ordered_at": "Edm.DateTimeOffset",
        "status": "Edm.String", "quantity": "Edm.Int32", "total": "Edm.Decimal", "is_gift": "Edm.Boolean", "score": "Edm.Double",
    }  # fmt: skip
    assert of(tree, "//edm:EntitySet[@Name='fact_orders']/edm:Annotation").get("String") == "Orders & their <money>"


def test_foreign_keys_are_navigation_properties_both_ways(odata: Asker) -> None:
    tree = xml(odata)
    there = of(tree, "//edm:EntityType[@Name='fact_orders']/edm:NavigationProperty[@Name='dim_customers']")
    assert there.get("Type") == "goldfeed.dim_customers"
    assert there.get("Partner") == "fact_orders"
    assert dict(of(there, "edm:ReferentialConstraint").attrib) == {"Property": "customer_key", "ReferencedProperty": "customer_key"}
    back = of(tree, "//edm:EntityType[@Name='dim_customers']/edm:NavigationProperty[@Name='fact_orders']")
    assert back.get("Type") == "Collection(goldfeed.fact_orders)"
    bound = of(tree, "//edm:EntitySet[@Name='fact_orders']/edm:NavigationPropertyBinding[@Path='dim_customers']")
    assert bound.get("Target") == "dim_customers"


def test_a_table_without_a_key_that_odata_allows_is_numbered(odata: Asker, tmp_path: Path) -> None:
    assert [row["_row"] for row in odata.rows("log_events")] == list(range(1, 26))
    assert odata.get("log_events(3)").json()["n"] == 2
    assert [row["_row"] for row in odata.rows("log_events?$filter=what eq 'a'&$select=_row")] == list(range(2, 26, 3))
    second = odata.get("log_events?$filter=what eq 'a'", prefer="odata.maxpagesize=3").json()["@odata.nextLink"]
    assert [row["_row"] for row in odata.client.get(second).json()["value"]] == list(range(11, 26, 3))
    made = Published(tmp_path)
    made.publish(ODD)
    with TestClient(made.app()) as client:
        assert client.get("/odata/v4/by_double(1)/d/$value").text == "1.5"


def test_odd_names_are_encoded_and_every_type_has_its_form(tmp_path: Path) -> None:
    made = Published(tmp_path)
    made.publish(ODD)
    with TestClient(made.app()) as client:
        table = "odd_x0020_names_x0020__x0026__x0020__x003C_types_x003E_"
        (row,) = client.get(f"/odata/v4/{table}").json()["value"]
        assert len(row.pop("id")) == 36
        assert row == {
            "the_x0020_key": 1, "_1st": "x", "a_x002E_b": "y", "a_x0022_b": "z", "huge": 5, "list": "[1, 2]", "span": "P0DT1H30M0.000000S",
            "at": "10:00:00", "raw": "eA==", "single": 1.5, "choice": "a", "zoned": "2023-12-31T22:00:00Z", "struct": "{'a': 1}", "small": 3,
            "größe": "ä",
        }  # fmt: skip
        for condition in ("a_x002E_b eq 'y'", "choice eq 'a'", "zoned eq 2023-12-31T22:00:00Z", "span eq duration'PT90M'", "list eq '[1, 2]'",
                          "größe eq 'ä'", "huge add 1 eq 6", "small sub 5 eq -2", "-small eq -3", "totalseconds(span) eq 5400", "at eq 10:00:00",
                          f"id ne {'0' * 8}-0000-0000-0000-{'0' * 12}", "single eq 1.5", "hour(zoned) eq 22"):  # fmt: skip
            answer = client.get(f"/odata/v4/{table}", params={"$filter": condition})
            assert len(answer.json().get("value", [])) == 1, (condition, answer.text)
