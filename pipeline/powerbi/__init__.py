"""The Power BI project: a semantic model (TMDL) and a report (PBIR), made from gold's models and manifest."""
