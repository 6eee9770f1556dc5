"""What `goldfeed test` does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from pipeline import show
from pipeline.errors import UsageError
from pipeline.project.graph import select
from pipeline.project.modeltest import find_tests
from pipeline.project.project import Project
from pipeline.steps.proof import Difference, Proof, lines_of, prove


def test(project: Project, tables: Sequence[str], *, json_out: bool) -> bool:
    """Do the tests of models, all or those of some tables. Returns whether all of them pass."""
    found = find_tests(project.folder / "sql", project.graph)
    if tables:
        chosen = select(project.graph, tables)
        found = {table: tests for table, tests in found.items() if table in chosen}
        if not found:
            raise UsageError(f"{', '.join(tables)} has no tests", where="test", do="see docs/testing-models.md")
    proofs = []
    for tests in found.values():
        for one in tests:
            proofs.append(prove(project, one))
            if not json_out:
                _print(project, proofs[-1])
    bad = [proof for proof in proofs if proof.status != "passed"]
    if json_out:
        show.print_json([asdict(proof) for proof in proofs])
    else:
        tested = f"{len(found)} table{'' if len(found) == 1 else 's'}"
        show.out().print(
            f"{len(proofs)} tests of {tested}: {len(proofs) - len(bad)} passed, {len(bad)} failed.", highlight=False
        )
    return not bad


def _print(project: Project, proof: Proof) -> None:
    out, mark = show.out(), {"passed": "ok    "}.get(proof.status, "FAILED")
    out.print(f"{mark} {proof.table}: {proof.name}", markup=False, highlight=False, soft_wrap=True)
    if proof.error:
        out.print(f"       {proof.error}", markup=False, highlight=False, soft_wrap=True)
    for difference in proof.differences:
        _print_difference(project, proof.table, difference)


def _print_difference(project: Project, table: str, difference: Difference) -> None:
    out = show.out()
    out.print(
        f"       after step {difference.step}: {difference.words or 'the rows differ'}", markup=False, highlight=False
    )
    if difference.columns:
        rows = lines_of(difference, project.graph.models[table].header.key)
        out.print(show.table("- expected and missing, + there and not expected", ("", *difference.columns), rows))
