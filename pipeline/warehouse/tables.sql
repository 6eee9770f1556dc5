-- migration 8: what a table was built from stands in its own row: {input: version}, one statement a task fewer
ALTER TABLE ledger.tables ADD COLUMN inputs VARCHAR;
UPDATE ledger.tables SET inputs = (
    SELECT CAST(json_group_object(i.input, i.version) AS VARCHAR) FROM ledger.inputs i WHERE i.table_name = tables.table_name
);
DROP TABLE ledger.inputs;
