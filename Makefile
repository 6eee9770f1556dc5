# Everything a fresh machine needs: `make run` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
HOME_FOLDER ?= data

.PHONY: setup run test lint bench bench-large soak example sbom lock clean
setup: .venv/ready

.venv/ready: requirements.lock requirements-dev.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(BIN)/python -m compileall -q pipeline
	touch $@

run: setup  ## a demo shop through the pipeline, and what gold says
	$(BIN)/goldfeed --home $(HOME_FOLDER) demo $(HOME_FOLDER)/landing --orders 20000 --days 30 --seed 7 --dirty 0.01
	$(BIN)/goldfeed --home $(HOME_FOLDER) run
	$(BIN)/goldfeed --home $(HOME_FOLDER) query "SELECT order_date, orders, revenue, refunds FROM mart_daily_kpis ORDER BY 1 LIMIT 5"

example: setup  ## two weeks of a real British shop through the pipeline
	mkdir -p examples/online_retail/data/landing
	cp examples/online_retail/slice/*.csv.gz examples/online_retail/data/landing/
	$(BIN)/goldfeed --project examples/online_retail run
	$(BIN)/goldfeed --project examples/online_retail query "SELECT order_date, orders, revenue FROM mart_daily_kpis ORDER BY 1 LIMIT 5"

test: setup lint  ## the tests, minutes
	$(BIN)/python -m pytest -n 3 --dist worksteal -m "not slow and not stack"

lint: setup  ## style, types, rooms
	$(BIN)/ruff check pipeline tests bench grafana .ci
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: setup  ## the figures of docs/performance.md
	$(BIN)/python -m bench.full_run --orders 200000 --orders 2000000
	$(BIN)/python -m bench.full_run --orders 200000 --dirty 0.01
	$(BIN)/python -m bench.one_day --orders 2000000 --orders 8000000
	$(BIN)/python -m bench.chain
	$(BIN)/python -m bench.service --idle 300 --flows 500
	$(BIN)/python -m bench.audit
	$(BIN)/python -m bench.anomalies
	$(BIN)/python -m bench.tokens
	$(BIN)/python -m bench.scrape
	$(BIN)/python -m bench.feed
	$(BIN)/python -m bench.files

bench-large: setup  ## 100 million order lines with 4 GB of memory: an hour, and 80 GB of disk
	$(BIN)/python -m bench.large

soak: setup  ## thousands of sequences and hundreds of kills: hours
	GOLDFEED_SOAK_EXAMPLES=4000 GOLDFEED_SOAK_KILLS=300 $(BIN)/python -m pytest -n 2 tests/incremental tests/feed/test_odata_laws.py tests/integration/test_retention.py

sbom: setup  ## what the image is made of, with licences and hashes: build/sbom.json (CycloneDX 1.5)
	mkdir -p build
	$(BIN)/python .ci/sbom.py >build/sbom.json

lock:  ## after a change of dependencies (needs uv)
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-header pyproject.toml -o requirements.lock
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock

clean:
	rm -rf .venv data examples/*/data bench/.scratch
