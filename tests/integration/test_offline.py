"""S13: a run and the feed work with no network at all, and no extension of the engine is fetched."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT, Shop
from tests.integration.test_service import free_port
from tests.quality.little import agree, attributes
from tests.quality.test_fails_closed import without_a_network

# Starts in a network with nothing in it, where there may be one; else every call of Python's to another machine is refused.
ALONE = """
import base64, fcntl, os, socket, struct, subprocess, sys, time, urllib.request
with socket.socket() as one:
    try:
        fcntl.ioctl(one, 0x8914, struct.pack("16sh", b"lo", 0x41))  # the way to oneself is up
    except PermissionError:
        pass
closed = '''
import ipaddress, socket, sys
def refuse(event, words):
    far = None
    if event in ("socket.connect", "socket.sendto") and words[0].family != socket.AF_UNIX:
        far = words[1][0]
    elif event == "socket.getaddrinfo":
        far = words[0]
    if far and far != "localhost" and not ipaddress.ip_address(far).is_loopback:
        print("TRIED", far, file=sys.stderr)
        raise PermissionError(f"{far} is another machine")
sys.addaudithook(refuse)
sys.argv = ["goldfeed", *sys.argv[1:]]
from pipeline.cli import main
main()
'''
home, port, words = sys.argv[1], sys.argv[2], sys.argv[3:]
goldfeed = [sys.executable, "-c", closed, *words]
ran = subprocess.run([*goldfeed, "run", "--quiet"])
served = subprocess.Popen([*goldfeed, "serve"], env={**os.environ, "GOLDFEED_HTTP_PORT": port}, stdout=subprocess.PIPE)
try:
    for line in served.stdout:
        if b'"serving"' in line:
            break
    password = open(home + "/secrets/admin.password").read().strip()
    for path in ("/files/totals.csv", "/files/totals.parquet", "/odata/v4/totals"):
        known = {"Authorization": "Basic " + base64.b64encode(f"admin:{password}".encode()).decode()}
        with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=known), timeout=20) as answer:
            print(path, answer.status, len(answer.read()))
finally:
    served.terminate()
    print("ended", ran.returncode, served.wait(20))
"""


def test_s13_a_run_and_the_feed_need_no_network_and_no_extension_that_is_fetched(shop: Shop, tmp_path: Path) -> None:
    agree(shop, "gold.totals", "", f"- name: amount\n  checks: [{{invalid: {{valid_min: 0, {attributes()}}}}}]")
    shop.drop_orders("orders_1.csv", "1,ann,paid,10.00,2024-01-01")
    person = tmp_path / "person"
    person.mkdir()
    words = [*without_a_network(), sys.executable, "-c", ALONE, str(shop.home), str(free_port()), "--project", str(shop.folder), "--home", str(shop.home)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, env=shop.env({"HOME": str(person)}))
    assert "TRIED" not in done.stderr, done.stderr
    answers = [line.split()[:2] for line in done.stdout.splitlines() if line.startswith("/")]
    assert answers == [["/files/totals.csv", "200"], ["/files/totals.parquet", "200"], ["/odata/v4/totals", "200"]], done.stderr
    assert done.stdout.splitlines()[-1] == "ended 0 0"
    assert [path for path in (*person.rglob("*"), *shop.home.rglob("*")) if ".duckdb_extension" in path.name or path.name == ".duckdb"] == []
