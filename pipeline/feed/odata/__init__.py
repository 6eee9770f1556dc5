"""OData v4.0 over the published tables."""
