-- What was checked of the tables, what came of it, and who overruled it. As schema.sql: one migration a block.

-- migration 6: audits
DROP TABLE ledger.checks;
CREATE TABLE ledger.checks (
    run_id BIGINT NOT NULL, table_name VARCHAR NOT NULL, check_name VARCHAR NOT NULL, check_type VARCHAR NOT NULL,
    dimension VARCHAR NOT NULL, severity VARCHAR NOT NULL, outcome VARCHAR NOT NULL, value DOUBLE, threshold VARCHAR,
    rows_failed BIGINT, seconds DOUBLE NOT NULL, rows_looked_at VARCHAR NOT NULL, checked_at TIMESTAMP NOT NULL
);
CREATE TABLE ledger.audits (
    run_id BIGINT NOT NULL, table_name VARCHAR NOT NULL, version BIGINT NOT NULL, contract VARCHAR NOT NULL,
    whole BOOLEAN NOT NULL, outcome VARCHAR NOT NULL, seconds DOUBLE NOT NULL, checked_at TIMESTAMP NOT NULL
);
CREATE TABLE ledger.acceptances (
    table_name VARCHAR NOT NULL, check_name VARCHAR NOT NULL, run_id BIGINT NOT NULL, why VARCHAR NOT NULL,
    accepted_at TIMESTAMP NOT NULL
);
CREATE TABLE ledger.profiles (
    run_id BIGINT NOT NULL, table_name VARCHAR NOT NULL, measure VARCHAR NOT NULL, column_name VARCHAR NOT NULL,
    value DOUBLE, profiled_at TIMESTAMP NOT NULL
);
