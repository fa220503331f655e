"""Tables of latency records. A table holds one run: rows of different hardware or conditions never stand together."""

from collections.abc import Sequence

from results.latency import CALL, HEAD, LatencyRecord, PolicyLatency, ratio
from results.tables import NONE, hardware_text, markdown_table

_SPANS = ("preprocess", "backbone", "context", "head", "postprocess")


def latency_tables(records: Sequence[LatencyRecord]) -> str:
    """Markdown: a heading for each machine, below it each of its runs with conditions and table, oldest first."""
    by_hardware: dict[str, list[LatencyRecord]] = {}
    for record in sorted(records, key=lambda record: record.created):
        by_hardware.setdefault(hardware_text(record.hardware), []).append(record)
    sections = []
    for hardware, runs in sorted(by_hardware.items()):
        sections.append(f"### {hardware}\n")
        sections += [f"{conditions_text(run)}\n\n{latency_table(run)}{notes(run)}" for run in runs]
    return "\n".join(sections)


def latency_table(record: LatencyRecord) -> str:
    """A run's rows in the order in which its policies were named. Milliseconds."""
    spans = [span for span in _SPANS if any(span in policy.times.warm_ms for policy in record.policies)]
    apart = record.backbone_times is not None
    header = ["policy", "sampler", "weights", "NFE", "head parameters", "cold"]
    for span in spans:
        header += [f"{span} p50", "p95", "p99"] if span == HEAD else [f"{span} p50"]
    header += ["head, × first", "call p50", "p95", "p99", *(["with backbone"] if apart else [])]
    rows = []
    for policy in record.policies:
        times = policy.times
        row = [
            policy.name,
            policy.sampler or NONE,
            policy.weights,
            str(policy.nfe) if policy.nfe else NONE,
            f"{policy.head_parameters / 1e6:.1f} M" if policy.head_parameters else NONE,
            _ms(times.cold_ms.get(CALL)),
        ]
        for span in spans:
            row += _cells(policy, span, ("p50", "p95", "p99") if span == HEAD else ("p50",))
        row += [_ratio(policy, record.policies[0]), *_cells(policy, CALL, ("p50", "p95", "p99"))]
        if record.backbone_times is not None:
            row.append(_ms(times.percentiles(CALL)["p50"] + record.backbone_times.percentiles("backbone")["p50"]))
        rows.append(row)
    return markdown_table(header, rows, left=3)


def ratio_table(records: Sequence[LatencyRecord], span: str = HEAD) -> str:
    """How far the ratios of several runs agree: each policy's median as a multiple of the first one's, run by run.

    Args:
        records: Runs of the same policies, oldest first.
        span: What is compared.

    Raises:
        ValueError: The runs are of different policies.
    """
    names = [policy.name for policy in records[0].policies]
    if any([policy.name for policy in record.policies] != names for record in records):
        raise ValueError("the runs are of different policies")
    header = ["policy", *(f"run {k + 1}" for k in range(len(records))), "largest / smallest"]
    rows = []
    for place, name in enumerate(names[1:], start=1):
        found = [ratio(record.policies[place].times, record.policies[0].times, span) for record in records]
        values = [value for value, _, _ in (entry for entry in found if entry is not None)]
        cells = [NONE if entry is None else f"{entry[0]:.3g}" for entry in found]
        rows.append([name, *cells, f"{max(values) / min(values):.3f}" if values else NONE])
    return markdown_table(header, rows)


def conditions_text(record: LatencyRecord) -> str:
    """What the numbers were measured under, in a line."""
    c = record.conditions
    parts = [
        f"{c.get('size', '?')} network",
        f"{c.get('dtype', '?')}",
        f"compile {c.get('compile', '?')}",
        f"{c.get('threads', '?')} thread(s)",
        f"{c.get('views', '?')} view(s) of {c.get('image_size', '?')} px, {c.get('observation', '?')}",
        f"{c.get('context_tokens', '?')} context tokens",
        f"backbone {record.backbone}",
        f"{record.policies[0].times.calls} calls each in turn after {c.get('warmups', '?')} to warm up",
        record.created,
    ]
    return " · ".join(parts)


def notes(record: LatencyRecord) -> str:
    """What a reader of the table must know; empty, or lines after an empty one."""
    lines = []
    if record.backbone_times is not None:
        backbone = record.backbone_times
        p = backbone.percentiles("backbone")
        lines.append(
            f"Backbone, timed apart in {backbone.calls} call(s): p50 {_ms(p['p50'])}, p95 {_ms(p['p95'])}, p99 "
            f"{_ms(p['p99'])}, cold {_ms(backbone.cold_ms['backbone'])} ms. It is the same for all policies: their "
            "calls use what it gave, and the last column is the sum of two medians."
        )
    elif record.backbone == "not run":
        lines.append("The backbone was not run: calls read random features in its place.")
    if not record.complete:
        lines.append("The run was interrupted: fewer calls than planned.")
    return "".join(f"\n{line}\n" for line in lines)


def _cells(policy: PolicyLatency, span: str, which: tuple[str, ...]) -> list[str]:
    found = policy.times.percentiles(span)
    return [_ms(found.get(name)) for name in which]


def _ratio(policy: PolicyLatency, first: PolicyLatency) -> str:
    if policy is first:
        return "1"
    found = ratio(policy.times, first.times)
    return NONE if found is None else "{:.3g} [{:.3g}, {:.3g}]".format(*found)


def _ms(value: float | None) -> str:
    if value is None:
        return NONE
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"
