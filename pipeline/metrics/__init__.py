"""The metrics: read from the ledger when scraped, so that there is nothing to reset and nothing to disagree."""
