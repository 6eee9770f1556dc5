"""Personal data stays in: sentinels in, masked forms and tokens out, and no hit anywhere else (trials S4, S6, S7)."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.clock import Clock
from pipeline.commands.care import doctor
from pipeline.commands.ways import show_lineage
from pipeline.errors import PermanentError, UsageError
from pipeline.project.project import load_project
from pipeline.runner import open_warehouse
from pipeline.warehouse.database import Database, open_database
from pipeline.warehouse.engine import without_values
from tests.conftest import ROOT, SAME_KEY, Shop, token
from tests.integration.test_metrics import exporter_of

CUSTOMERS = "customer_id,first_name,last_name,email,city,country,segment,signed_up_at,updated_at\n"
SENTINELS = ("zqgiven", "zqfamily", "zqmail", "zqhost", "zqworker", "zqsurname")


def customer(number: str, updated: str = "2024-01-02 00:00:00", email: str = "Zqmail@zqhost.example") -> str:
    return f"{number},Zqgiven,Zqfamily,{email},Berlin,DE,home,2024-01-01 00:00:00,{updated}\n"


def mails_yml() -> str:
    return 'files: "mails*.csv"\nkey: [id]\ncolumns:\n  id: {type: varchar}\n  email: {type: varchar, pii: email}\n'


@pytest.fixture
def mails(tmp_path: Path) -> Shop:
    """E-mail addresses: tokens in silver, counted in gold for each token."""
    made = Shop(tmp_path / "mails")
    made.write("goldfeed.yml", "name: mails\n")
    made.write("sql/bronze/mails.yml", mails_yml())
    made.write(
        "sql/silver/mails.sql",
        "/* ---\ndescription: Mails\nkind: upsert\nkey: [id]\n--- */\n"
        "SELECT id, pii_token(lower(trim(email))) AS person, mask_email(email) AS email FROM bronze.mails\n",
    )
    made.write(
        "sql/gold/people.sql",
        "/* ---\ndescription: People\nkind: incremental\nkey: [person]\n--- */\n"
        "SELECT m.person, max(mask_text(m.email)) AS masked, count(*) AS mails FROM silver.mails AS m GROUP BY m.person\n",
    )
    made.drop("mails.csv", "id,email\n1,ada@example.com\n2, ADA@example.com\n3,bob@example.com\n4,\n")
    return made


# ---------------------------------------------------------------- S6
def test_s6_sentinels_in_every_personal_column_show_up_nowhere(real_shop: Callable[[Path], Shop]) -> None:
    shop = real_shop(ROOT)
    broken = customer("C3").rstrip() + ",Zqgiven too many\n" + customer("C4", "Zqmail no time")
    shop.drop("customers.csv", CUSTOMERS + customer("C1") + customer("C2") + broken)
    people = '"Zqworker Zqsurname",A,Catcher,74,180,22.99\n"Zqworker Zqsurname",B,Pitcher,74,Zqworker,30\n'
    shop.drop("employees.csv", "Name,Team,Position,Height(inches),Weight(lbs),Age\n" + people)
    shop.drop("more/employees.csv", '"Zqworker Zqsurname",A,Catcher,74,180,22.99\n')  # its header is a row
    shop.drop("products.csv", "product_id,name,category,price,updated_at\nP1,Lamp,light,1.50,2024-01-01 00:00:00\n")
    run = shop.cli("run")
    looked = [said_by(shop, *words, *json) for words in looks() for json in ([], ["--json"])]
    looked.append(exporter_of(shop.project()).page().decode())
    assert shop.warehouse("SELECT count(*) FROM ledger.quarantine") == [(3,)] and "goldfeed_" in looked[-1]
    assert shop.ask("SELECT DISTINCT first_name, last_name, email FROM dim_customers WHERE customer_key > 0") == [("Z***", "Z***", "Z***@z***.example")]
    assert run.returncode == 0 and hits([run.stdout, run.stderr, *looked]) == [] and hits(files_of(shop)) == [] and hits(tables_of(shop)) == []


def looks() -> list[list[str]]:
    return [
        ["status"], ["plan"], ["plan", "--full-refresh"], ["history"], ["quarantine", "list"], ["checks"], ["doctor"],
        ["lineage", "gold.dim_customers"],
        ["query", "FROM dim_customers"], ["query", "FROM dim_employees"],
    ]


def said_by(shop: Shop, *words: str) -> str:
    """All that a command prints, in this process; it must go well."""
    done = CliRunner().invoke(app, ["--project", str(shop.folder), "--home", str(shop.home), *words], env=shop.environ)
    assert done.exit_code == 0, done.output
    return done.output


def hits(things: list[Any]) -> list[str]:
    """The sentinels found in texts and bytes, whatever their case."""
    text = "\n".join(thing.decode("latin-1") if isinstance(thing, bytes) else str(thing) for thing in things).lower()
    return [word for word in SENTINELS if word in text]


def files_of(shop: Shop) -> list[bytes]:
    """Every file of the home that is not the limited store: landing, archive, rejected files, the warehouse."""
    closed = ("landing/", "archive/", "warehouse.duckdb")
    paths = [path for path in shop.home.rglob("*") if path.is_file()]
    names = {str(path.relative_to(shop.home)): path for path in paths}
    names = {name: path for name, path in names.items() if not name.startswith(closed) and not re.fullmatch(r"rejected/.*\.csv", name)}
    assert any(name.endswith("manifest.json") for name in names) and any(name.endswith(".error.txt") for name in names)
    return [*(path.read_bytes() for path in names.values()), *(name.encode() for name in names)]


def tables_of(shop: Shop) -> list[str]:
    """Every value of every published file and of silver and gold, in plain text."""
    parquet = [duckdb.sql(f"SELECT * FROM '{path}'").fetchall() for path in shop.home.rglob("published/*/*.parquet")]
    database = open_warehouse(shop.project(), Clock())
    names = database.rows("SELECT schema_name || '.' || table_name FROM duckdb_tables() WHERE schema_name IN ('silver', 'gold')")
    held = [database.rows(f"FROM {name}") for (name,) in names]
    database.close()
    assert len(parquet) >= 10 and len(held) >= 20
    return [str(rows) for rows in [*parquet, *held]]


@pytest.mark.parametrize("wrong", ["CAST(email AS INTEGER)", "strptime(email, '%Y')", "CAST(email AS DATE)", "CAST(length(email) * 1000 AS TINYINT)"])
def test_s6_a_model_that_fails_on_a_value_does_not_say_which(mails: Shop, wrong: str) -> None:
    mails.write(
        "sql/silver/mails.sql",
        f"/* ---\ndescription: Mails\nkind: upsert\nkey: [id]\n--- */\nSELECT id, pii_token(email) AS person, email, {wrong} AS x FROM bronze.mails\n",
    )
    mails.drop("mails.csv", "id,email\n1,zqmail@zqhost.example\n")
    result = mails.run()
    said = [str(result), said_by(mails, "history", "--json"), str(mails.warehouse("SELECT error FROM ledger.tasks"))]
    assert result.status == "failed" and "the value is not shown" in str(result.tasks)
    assert hits(said) == [] and not re.search(r"(?<![\d.])22000(?!\d)", "".join(said))  # a task may well take 0.022000 s


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("Could not convert string 'o'hara' to INT32", "Could not convert string (the value is not shown) to INT32"),
        ('Could not parse string "ada', "Could not parse string (the value is not shown)"),
        ("Type INT32 with value 400 can't be cast because it is too large", "Type INT32 with value (the value is not shown) cannot be cast because it is too large"),
        ("failed in column x for 1 out of 2 values: [ada]", "failed in column x for 1 out of 2 values: (the value is not shown)"),
        ("Invalid UTF8 Codepoint", "Invalid UTF8 Codepoint"),
    ],
)
def test_s6_messages_keep_their_sense_without_the_value(said: str, left: str) -> None:
    assert without_values(said) == left


def test_s6_the_key_is_in_no_plan_no_catalog_no_listing_and_no_file_but_its_own(mails: Shop) -> None:
    result = mails.run()
    key = bytes.fromhex(SAME_KEY)
    pads = [bytes(byte ^ mask for byte in key).hex() for mask in (0x36, 0x5C)]
    with_key = open_warehouse(mails.project(), Clock())
    seen = [
        result,
        *with_key.rows("EXPLAIN ANALYZE SELECT pii_token(email) FROM bronze.mails"),
        *with_key.rows("FROM duckdb_functions()"),
        *with_key.rows("FROM duckdb_tables()"),
        *with_key.rows("FROM duckdb_settings()"),
    ]
    with_key.close()
    files = [path.read_bytes() for path in mails.home.rglob("*") if path.is_file() and path.name != "pii.key"]
    for secret in (SAME_KEY, *pads):
        assert secret not in str(seen).lower()
        assert not any(bytes.fromhex(secret) in data or secret.encode() in data for data in files)


# ---------------------------------------------------------------- S7
def rows(shop: Shop) -> dict[str, int]:
    return dict(shop.ask("SELECT person, mails FROM people"))


def test_s7_one_person_has_one_token_which_nobody_can_make_without_the_key(mails: Shop) -> None:
    mails.run()
    assert rows(mails) == {token("ada@example.com"): 2, token("bob@example.com"): 1, None: 1}
    mails.drop("mails2.csv", "id,email\n5,Ada@example.com\n")
    mails.run()
    assert rows(mails)[token("ada@example.com")] == 3
    held = {person for person in rows(mails) if person}
    guesses = [duckdb.execute(f"SELECT {name}(?)", [text]).fetchall()[0][0] for name in ("sha256", "md5") for text in ("ada@example.com", "bob@example.com")]
    assert held.isdisjoint(guesses) and held.isdisjoint({token("ada@example.com", "00" * 32)})


def test_s7_with_another_key_every_token_is_another_and_tables_are_rebuilt_by_the_next_run(mails: Shop) -> None:
    mails.run()
    before = rows(mails)
    mails.use_key("6b" * 32)
    assert mails.run().status == "succeeded"
    after = rows(mails)
    assert sorted(before.values()) == sorted(after.values()) and set(before) & set(after) == {None}
    assert after[token("ada@example.com", "6b" * 32)] == 2
    assert mails.run().status == "nothing_to_do"


def test_another_key_is_the_reason_that_the_plan_gives(mails: Shop) -> None:
    mails.run()
    mails.use_key("6b" * 32)
    open_warehouse(mails.project(), Clock()).close()
    reasons = {task["task"]: task["reason"] for task in mails.cli_json("plan")}
    assert reasons["build silver.mails"] == "the key of its tokens has changed"


def test_the_key_is_made_at_the_first_start_for_its_owner_alone_and_kept(mails: Shop) -> None:
    path = mails.home / "secrets/pii.key"
    path.unlink()
    path.parent.rmdir()
    mails.run()
    text = path.read_text().strip()
    assert re.fullmatch(r"[0-9a-f]{64}", text) and stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    mails.run()
    assert path.read_text().strip() == text and rows(mails)[token("bob@example.com", text)] == 1


@pytest.mark.parametrize("text", ["", "short", "zz" * 32, "5a" * 31, "\ud83d".encode("utf-16", "surrogatepass").decode("latin-1")])
def test_a_damaged_key_stops_the_run_with_a_sentence_that_does_not_show_it(mails: Shop, text: str) -> None:
    mails.use_key(text)
    with pytest.raises(PermanentError, match=r"pii\.key: this is no key of at least 64 hex digits; put the right one back") as caught:
        mails.run()
    assert not text or text not in str(caught.value)


# ---------------------------------------------------------------- the functions
@pytest.fixture
def database(mails: Shop) -> Any:
    mails.home.mkdir(parents=True, exist_ok=True)
    made = open_database(mails.project().settings)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("call", "value", "shown"),
    [
        ("mask_email", "ada@example.com", "a***@e***.com"),
        ("mask_email", " Ada.King@mail.example.CO.UK ", "A***@m***.uk"),
        ("mask_email", "ada king", "***"),
        ("mask_email", "@", "***@***"),
        ("mask_email", "a\nb@c\nd", "a***@c***"),
        ("mask_email", "", "***"),
        ("mask_name", "Ada  King-Noel", "A***  K***"),
        ("mask_name", "Ünal", "Ü***"),
        ("mask_name", "Ada\u00a0King\u2003Noel", "A***"),
        ("mask_name", "", ""),
        ("mask_phone", "+49 170 / 123 45-67", "***67"),
        ("mask_phone", "12345", "***"),
        ("mask_text", "anything", "***"),
        ("pii_token", "ada@example.com", token("ada@example.com")),
        ("pii_token", "Ünal 😀" * 50, token("Ünal 😀" * 50)),
        ("pii_token", "", token("")),
    ],
)
def test_what_the_masking_functions_show(database: Database, call: str, value: str, shown: str) -> None:
    assert database.value(f"SELECT {call}(?)", [value]) == shown
    assert database.value(f"SELECT {call}(NULL)") is None
    assert database.another().value(f"SELECT {call}(?)", [value]) == shown


def test_a_mask_hides_all_but_the_first_letters_of_any_text(database: Database) -> None:
    odd = ["a@b@c.de", "ada<ada@example.com>", "a@b.sentinel@c", '"ada king"@example.com', "ada@[127.0.0.1]", "ada@sentinelsentinel", "x@y.SENTINELSENT"]
    for value in odd:
        shown = database.value("SELECT mask_email(?)", [value])
        assert re.fullmatch(r"[^@]?\*\*\*(@[^@]?\*\*\*(\.[a-z]{2,12})?)?", shown), (value, shown)


def test_a_reader_of_the_warehouse_has_the_masks_but_not_the_key(mails: Shop) -> None:
    mails.run()
    assert mails.cli_json("query", "--warehouse", "SELECT mask_name('Ada') AS x") == [{"x": "A***"}]
    done = mails.cli("query", "--warehouse", "SELECT pii_token('ada@example.com')")
    assert done.returncode == 2 and "a connection that only reads has no key" in done.stderr
    assert mails.cli("query", "--warehouse", "FROM temp.pii_pads").returncode == 2


# ---------------------------------------------------------------- the rest of the machinery
def test_masks_do_not_keep_a_table_from_being_brought_up_to_date_by_its_touched_keys(mails: Shop) -> None:
    mails.write(
        "sql/gold/people.sql",
        "/* ---\ndescription: People\nkind: incremental\nkey: [id]\n--- */\n"
        "SELECT m.id, mask_text(m.email) AS masked, pii_token(m.person) AS twice FROM silver.mails AS m\n",
    )
    mails.drop("mails3.csv", "id,email\n" + "".join(f"m{number},{number}@x.de\n" for number in range(50)))
    mails.run()
    mails.drop("mails4.csv", "id,email\n1,eve@example.com\n")
    (task,) = [task for task in mails.cli_json("plan") if task["task"] == "build gold.people"]
    assert task["how"] == "touched keys, by id"
    result = mails.run()
    (built,) = [task for task in result.tasks if task.table == "gold.people"]
    assert built.rows_out == 1 and result.notes == ()
    assert mails.ask("SELECT twice FROM people WHERE id = '1'") == [(token(token("eve@example.com")),)]


def test_a_view_with_tokens_is_published_planned_and_outlives_a_compaction(mails: Shop) -> None:
    mails.write(
        "sql/gold/mail_view.sql",
        "/* ---\ndescription: Mails\nkind: view\nkey: [id]\n--- */\nSELECT id, pii_token(email) AS again FROM silver.mails\n",
    )
    mails.run()
    before = mails.ask("SELECT id, again FROM mail_view ORDER BY ALL")
    assert doctor(mails.project().settings, compacted=True, json_out=True)
    assert mails.cli_json("plan") == [] and mails.run().status == "nothing_to_do"
    mails.drop("mails5.csv", "id,email\n9,zoe@example.com\n")
    mails.run()
    assert mails.ask("SELECT id, again FROM mail_view WHERE id <> '9' ORDER BY ALL") == before


def marks_of(shop: Shop) -> dict[str, Any]:
    manifest = json.loads((shop.home / "published/current/manifest.json").read_text())
    return {
        f"{name}.{column['name']}": (column["pii"], column["masked"])
        for name, table in manifest["tables"].items() for column in table["columns"] if "pii" in column
    }


def test_s4_the_manifest_marks_what_is_personal_masked_or_clear(real_shop: Callable[[Path], Shop]) -> None:
    shop = real_shop(ROOT)
    shop.drop("customers.csv", CUSTOMERS + customer("C1"))
    shop.run()
    names = {f"dim_customers.{name}": kind for name, kind in (("email", "email"), ("email_token", "email"), ("first_name", "name"), ("last_name", "name"))}
    names |= {f"dim_employees.{name}": "name" for name in ("name_token", "first_name", "last_name")}
    assert marks_of(shop) == {name: (kind, True) for name, kind in names.items()}


def test_s4_a_tag_that_comes_later_is_published_though_no_row_has_changed(mails: Shop) -> None:
    mails.write("sql/bronze/mails.yml", mails_yml().replace(", pii: email", ""))
    clear = "/* ---\ndescription: x\nkey: [id]\n--- */\nSELECT id, email FROM bronze.mails\n"
    mails.write("sql/gold/clear.sql", clear)
    mails.run()
    assert marks_of(mails) == {}
    mails.write("sql/bronze/mails.yml", mails_yml())
    mails.write("sql/gold/clear.sql", clear.replace("key: [id]", "key: [id]\npii: {email: clear}"))
    (task,) = mails.cli_json("plan")
    assert task["reason"] == "other columns are marked as personal data"
    mails.run()
    assert marks_of(mails)["clear.email"] == ("email", False) and marks_of(mails)["people.person"] == ("email", True)


def test_s4_a_polars_column_that_its_header_does_not_tell_of_is_not_published(mails: Shop) -> None:
    text = '"""x\n\n---\ndescription: x\ncolumns: {id: Number}\nlineage: {id: mails.id}\n---\n"""\nimport polars as pl\n\n\ndef model(mails: pl.LazyFrame) -> pl.LazyFrame:\n    return mails\n'
    mails.write("sql/silver/mails.sql", "/* ---\ndescription: x\nkind: upsert\nkey: [id]\n--- */\nSELECT id, pii_token(email) AS person, email FROM bronze.mails\n")
    mails.write("sql/gold/people.py", text)
    (mails.folder / "sql/gold/people.sql").unlink()
    result = mails.run()
    assert result.status == "failed" and result.version is None
    assert "person may hold personal data (email)" in str(result.tasks) or "email may hold personal data (email)" in str(result.tasks)
    mails.write("sql/gold/people.py", text.replace("return mails", 'return mails.select("id")'))
    assert mails.run().status == "succeeded" and marks_of(mails) == {}


def test_lineage_shows_a_columns_whole_way_and_names_the_nearest_for_an_unknown(real_shop: Callable[[Path], Shop]) -> None:
    shop = real_shop(ROOT)
    tree = said_by(shop, "lineage", "gold.fact_orders.total_amount")
    assert re.search(r" gold\.fact_order_items\.line_amount  transform\n.* silver\.order_items\.quantity  transform\n.* bronze\.order_items\.quantity  copy", tree)
    assert "[email, masked]" in said_by(shop, "lineage", "bronze.customers.email", "--down")
    facts = json.loads(said_by(shop, "lineage", "dim_customers.email", "--json"))
    assert {"from": "bronze.customers.email", "to": "silver.customer_versions.email", "use": "masked"} in facts["edges"]
    assert facts["reached"]["bronze.customers.email"] == {"pii": "email", "masked": False}
    assert "customer_key" in json.loads(said_by(shop, "lineage", "gold.fact_orders", "--json"))["columns"]


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("gold.fact_order", "there is no table or column gold.fact_order; did you mean gold.fact_orders?"),
        ("fact_orders.total_amont", "gold.fact_orders has no column total_amont; did you mean gold.fact_orders.total_amount?"),
        ("nothing", "there is no table or column nothing; `goldfeed plan --full-refresh` lists the tables"),
        ("", "there is no table or column"),
    ],
)
def test_lineage_of_an_unknown_column_names_the_nearest_right_one(wrong: str, near: str) -> None:
    with pytest.raises(UsageError) as caught:
        show_lineage(load_project(ROOT, home=None, environ={}), wrong, down=False, json_out=False)
    assert near in str(caught.value)
