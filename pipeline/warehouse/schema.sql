-- The ledger: what came, what ran, what was published. One migration a block, oldest first;
-- a migration and the record that it ran share one transaction.

-- migration 1: the first ledger
CREATE TABLE ledger.runs (
    run_id BIGINT NOT NULL, flow VARCHAR NOT NULL, status VARCHAR NOT NULL,
    started_at TIMESTAMP NOT NULL, finished_at TIMESTAMP, version VARCHAR, error VARCHAR
);
CREATE TABLE ledger.tasks (
    run_id BIGINT NOT NULL, task VARCHAR NOT NULL, layer VARCHAR NOT NULL, table_name VARCHAR NOT NULL,
    status VARCHAR NOT NULL, attempts INTEGER NOT NULL, rows_in BIGINT NOT NULL, rows_out BIGINT NOT NULL,
    rows_quarantined BIGINT NOT NULL, rows_superseded BIGINT NOT NULL, seconds DOUBLE NOT NULL,
    started_at TIMESTAMP NOT NULL, error VARCHAR
);
CREATE TABLE ledger.files (
    file_id INTEGER NOT NULL, batch INTEGER NOT NULL, source VARCHAR NOT NULL, path VARCHAR NOT NULL,
    sha256 VARCHAR NOT NULL, bytes BIGINT NOT NULL, modified_ns BIGINT NOT NULL,
    encoding VARCHAR NOT NULL, delimiter VARCHAR NOT NULL, compression VARCHAR, by_line BOOLEAN NOT NULL,
    lines BIGINT NOT NULL, header_lines BIGINT NOT NULL, blank_lines BIGINT NOT NULL,
    bronze_rows BIGINT NOT NULL, quarantined_rows BIGINT NOT NULL,
    notes VARCHAR, replaces INTEGER, run_id BIGINT NOT NULL, loaded_at TIMESTAMP NOT NULL
);
CREATE TABLE ledger.deliveries (
    run_id BIGINT NOT NULL, path VARCHAR NOT NULL, sha256 VARCHAR, outcome VARCHAR NOT NULL,
    file_id INTEGER, reason VARCHAR, delivered_at TIMESTAMP NOT NULL
);
CREATE TABLE ledger.tables (
    table_name VARCHAR NOT NULL, version BIGINT NOT NULL, fingerprint VARCHAR NOT NULL, watermark INTEGER NOT NULL,
    rows_in BIGINT NOT NULL, kept BIGINT NOT NULL, superseded BIGINT NOT NULL, quarantined BIGINT NOT NULL,
    run_id BIGINT NOT NULL, built_at TIMESTAMP NOT NULL
);
CREATE TABLE ledger.inputs (
    table_name VARCHAR NOT NULL, input VARCHAR NOT NULL, version BIGINT NOT NULL
);
CREATE TABLE ledger.quarantine (
    quarantine_id BIGINT NOT NULL, source VARCHAR NOT NULL, file_id INTEGER, line BIGINT,
    reason VARCHAR NOT NULL, column_name VARCHAR, raw VARCHAR, batch INTEGER,
    run_id BIGINT NOT NULL, quarantined_at TIMESTAMP NOT NULL
);
CREATE TABLE ledger.checks (
    run_id BIGINT NOT NULL, table_name VARCHAR NOT NULL, check_name VARCHAR NOT NULL, dimension VARCHAR,
    severity VARCHAR NOT NULL, outcome VARCHAR NOT NULL, details VARCHAR, checked_at TIMESTAMP NOT NULL
);
CREATE TABLE ledger.publications (
    publication_id BIGINT NOT NULL, version VARCHAR NOT NULL, kind VARCHAR NOT NULL, run_id BIGINT,
    tables VARCHAR NOT NULL, published_at TIMESTAMP NOT NULL
);

-- migration 2: change sets
CREATE SCHEMA changes;
CREATE TABLE ledger.changes (
    table_name VARCHAR NOT NULL, version BIGINT NOT NULL, first_batch INTEGER, last_batch INTEGER,
    removed BIGINT NOT NULL, added BIGINT NOT NULL
);

-- migration 3: when flows were due
CREATE TABLE ledger.due (
    flow VARCHAR NOT NULL, due_at TIMESTAMP NOT NULL, state VARCHAR NOT NULL, run_id BIGINT, noted_at TIMESTAMP NOT NULL
);

-- migration 4: what people did about rows in quarantine
CREATE TABLE ledger.mends (
    table_name VARCHAR NOT NULL, sha256 VARCHAR NOT NULL, line BIGINT NOT NULL, action VARCHAR NOT NULL,
    text VARCHAR, why VARCHAR, made_at TIMESTAMP NOT NULL, file VARCHAR NOT NULL
);
