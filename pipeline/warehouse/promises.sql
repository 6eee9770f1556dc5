-- What was promised and not kept, and what has been let go. As schema.sql: one migration a block.

-- migration 5: promises
CREATE TABLE ledger.misses (
    kind VARCHAR NOT NULL, flow VARCHAR NOT NULL, table_name VARCHAR, due_at TIMESTAMP NOT NULL,
    noted_at TIMESTAMP NOT NULL, told BOOLEAN NOT NULL, kept_at TIMESTAMP, run_id BIGINT, details VARCHAR NOT NULL
);
CREATE TABLE ledger.retentions (
    done_at TIMESTAMP NOT NULL, layer VARCHAR NOT NULL, table_name VARCHAR NOT NULL, removed BIGINT NOT NULL
);
CREATE TABLE ledger.retired (file_id INTEGER NOT NULL, sha256 VARCHAR NOT NULL, retired_at TIMESTAMP NOT NULL);
