"""Every family of metrics: its name, kind, labels and help. docs/monitoring.md is written from this table."""

from __future__ import annotations

from dataclasses import dataclass

RUN_BUCKETS = (1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0)
TASK_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0)


@dataclass(frozen=True)
class Family:
    """One row of the table. `kind`: counter, gauge or histogram."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str


def _family(name: str, kind: str, labels: str, help: str) -> Family:
    return Family(f"goldfeed_{name}", kind, tuple(labels.split()), help)


LEDGER = (
    _family("runs_total", "counter", "flow status", "Runs that have ended"),
    _family("run_duration_seconds", "histogram", "flow", "How long runs took"),
    _family("last_run_timestamp_seconds", "gauge", "flow", "When the last run of a flow ended"),
    _family("last_run_success_timestamp_seconds", "gauge", "flow", "When the last good run of a flow ended"),
    _family("last_run_duration_seconds", "gauge", "flow", "How long the last run of a flow took"),
    _family("last_run_status", "gauge", "flow status", "1 for the status of a flow's last run, 0 for the others"),
    _family("run_start_timestamp_seconds", "gauge", "flow", "When the run under way began; absent when there is none"),
    _family("sla_breaches_total", "counter", "flow", "Runs that took longer than the flow's sla"),
    _family("missed_runs_total", "counter", "flow", "Due runs that were skipped, as catch_up says"),
    _family(
        "scheduler_lag_timestamp_seconds", "gauge", "flow", "Since when a due run has waited; absent when none does"
    ),
    _family("tasks_total", "counter", "flow layer status", "Tasks that have ended"),
    _family("task_duration_seconds", "histogram", "flow layer", "How long tasks took, retries and waits included"),
    _family("task_attempts_total", "counter", "flow layer", "Attempts at tasks"),
    _family("task_retries_total", "counter", "flow layer", "Attempts after the first"),
    _family("task_failed", "gauge", "layer table", "1 if the last task on a table failed"),
    _family("task_last_duration_seconds", "gauge", "layer table", "How long the last task on a table took"),
    _family("last_run_task_offset_seconds", "gauge", "flow task", "When a task of the last run began, after its start"),
    _family("last_run_task_duration_seconds", "gauge", "flow task", "How long a task of the last run took"),
    _family("rows_in_total", "counter", "layer table", "Rows that tasks took in"),
    _family("rows_out_total", "counter", "layer table", "Rows that tasks gave out"),
    _family("rows_quarantined_total", "counter", "layer table", "Rows that tasks set aside"),
    _family(
        "table_rows",
        "gauge",
        "layer table outcome",
        "Rows a table took in since it was last rebuilt: what became of them",
    ),
    _family("table_updated_timestamp_seconds", "gauge", "layer table", "When the rows of a table last changed"),
    _family("table_fresh_timestamp_seconds", "gauge", "table", "Of when what readers see of a gold table is"),
    _family("promise_broken", "gauge", "kind table", "1 while a gold table is not fresh, or has missed its deadline"),
    _family("quarantined_rows", "gauge", "source reason", "Rows in quarantine"),
    _family("files_total", "counter", "outcome", "Files delivered: loaded, duplicate or rejected"),
    _family("lost_files_total", "counter", "", "Files that a damaged warehouse had lost, found in archive/"),
    _family("file_lines_total", "counter", "kind", "Lines of loaded files: header, blank, bronze or quarantine"),
    _family("read_bytes_total", "counter", "source", "Bytes of loaded files, unpacked"),
    _family("checks_total", "counter", "layer dimension severity outcome", "Checks of contracts that were made"),
    _family(
        "contract_checks", "gauge", "layer table dimension severity outcome", "Checks in the last audit of a table"
    ),
    _family("anomalies", "gauge", "layer table", "Values of a table's last run that are out of line with its history"),
    _family("publications_total", "counter", "kind", "Publications and rollbacks"),
    _family("publication_timestamp_seconds", "gauge", "", "When what readers see was published"),
    _family("publication_withheld", "gauge", "", "1 if the last run that could have published was withheld"),
)
LIVE = (
    _family("build_info", "gauge", "version duckdb python", "Always 1"),
    _family("publication_version", "gauge", "", "The number of the version that readers see; 0 if there is none"),
    _family(
        "publication_damaged",
        "gauge",
        "",
        "1 if readers came upon damage in the version they should see, and get an older one or none",
    ),
    _family("published_versions", "gauge", "", "Versions that are kept"),
    _family("next_run_timestamp_seconds", "gauge", "flow", "When a flow is due next"),
    _family("sla_limit_seconds", "gauge", "flow", "The sla of a flow"),
    _family("freshness_limit_seconds", "gauge", "table", "How old a gold table may be"),
    _family(
        "scheduler_turn_timestamp_seconds", "gauge", "", "When the loop of the service last turned, or a run is on: now"
    ),
    _family("files_waiting", "gauge", "source", "Files in landing/ that a source takes"),
    _family("files_unmatched", "gauge", "", "Files in landing/ that no source takes, or several do"),
    _family(
        "oldest_file_timestamp_seconds", "gauge", "source", "When the oldest waiting file came; absent when none waits"
    ),
    _family(
        "wait_limit_seconds",
        "gauge",
        "source",
        "How long a file may wait: an hour, or over a day if only a schedule takes it",
    ),
    _family(
        "notifications_total", "counter", "channel outcome", "Messages sent, and tries that failed, since the start"
    ),
    _family("feed_requests_total", "counter", "route status", "Requests answered since the start"),
    _family("feed_request_duration_seconds", "histogram", "route", "How long requests took"),
    _family("feed_rows_total", "counter", "route", "Rows sent"),
    _family("feed_sent_bytes_total", "counter", "route", "Bytes sent"),
    _family("feed_users", "gauge", "", "Users who may read"),
    _family(
        "certificate_expiry_timestamp_seconds", "gauge", "", "When the feed's certificate ends; absent without one"
    ),
    _family("database_size_bytes", "gauge", "", "Size of the warehouse file and its log"),
    _family("archive_size_bytes", "gauge", "", "Size of archive/"),
    _family("published_size_bytes", "gauge", "", "Size of published/, each hard link once"),
    _family("disk_free_bytes", "gauge", "", "Free on the disk of the home folder"),
    _family("disk_size_bytes", "gauge", "", "Size of that disk"),
    _family("memory_limit_bytes", "gauge", "", "The container's memory limit, or the machine's memory"),
    _family("duckdb_memory_bytes", "gauge", "", "Memory the engine holds for the warehouse; 0 when it is closed"),
    _family("duckdb_memory_limit_bytes", "gauge", "", "Memory the engine may use before it spills to disk"),
    _family(
        "scrape_errors_total", "counter", "part", "Parts of a scrape that could not be read; their last values stand"
    ),
)
FAMILIES = (*LEDGER, *LIVE)
BY_NAME = {family.name: family for family in FAMILIES}
