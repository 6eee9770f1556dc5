-- HMAC-SHA256 (RFC 2104). The pads are read from a table, so that no plan, no catalog and no message shows them.
CREATE OR REPLACE TEMP MACRO pii_token(value) AS sha256(
    (SELECT pads.outer_pad FROM temp.pii_pads AS pads)
    || unhex(sha256((SELECT pads.inner_pad FROM temp.pii_pads AS pads) || encode(CAST(value AS VARCHAR)))));
