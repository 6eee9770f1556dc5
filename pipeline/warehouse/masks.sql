-- The masking functions of models, made anew on each connection (docs/personal-data.md).
-- What cannot be read as an e-mail address, a name or a number shows nothing.
CREATE OR REPLACE TEMP MACRO mask_text(value) AS CASE WHEN value IS NOT NULL THEN '***' END;

CREATE OR REPLACE TEMP MACRO mask_name(value) AS
    regexp_replace(CAST(value AS VARCHAR), '(\S)\S*', '\1***', 'g');

CREATE OR REPLACE TEMP MACRO mask_email(value) AS CASE
    WHEN contains(CAST(value AS VARCHAR), '@') THEN concat(
        regexp_extract(CAST(value AS VARCHAR), '^\s*([^\s@])', 1), '***@',
        regexp_extract(CAST(value AS VARCHAR), '@([^\s@.])', 1), '***',
        lower(regexp_extract(CAST(value AS VARCHAR), '(\.[A-Za-z]{2,12})\s*$', 1)))
    WHEN value IS NOT NULL THEN '***'
END;

CREATE OR REPLACE TEMP MACRO mask_phone(value) AS CASE
    WHEN length(regexp_replace(CAST(value AS VARCHAR), '[^0-9]', '', 'g')) >= 6
        THEN '***' || right(regexp_replace(CAST(value AS VARCHAR), '[^0-9]', '', 'g'), 2)
    WHEN value IS NOT NULL THEN '***'
END;
