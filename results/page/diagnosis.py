"""Explanations of a run's failures, where `python -m envs.diagnose` left them beside the record."""

import json
from pathlib import Path
from typing import NamedTuple

from envs.spec import InputError
from results.records import Run


class Explanation(NamedTuple):
    """Why an episode failed: the category of the mistake, and the same in words."""

    category: str
    detail: str


def explanations(run: Run) -> dict[str, Explanation]:
    """Episode id -> explanation, from `<record>_failures.json` beside a record; empty where there is none.

    Raises:
        InputError: The file is torn, or explains another run.
    """
    path = run.path.with_name(f"{run.path.stem}_failures.json")
    if not path.is_file():
        return {}
    remedy = f"Make it again with `python -m envs.diagnose {run.path}`, or delete it"
    if not isinstance(data := _parsed(path), dict) or not isinstance(cases := data.get("cases"), list):
        raise InputError(f"{path} is no result of envs.diagnose. {remedy}.")
    policy = run.header.policy
    of = (data.get("protocol_hash"), data.get("policy"), data.get("checkpoint_sha256"))
    if of != (run.header.protocol_hash, policy.name, policy.checkpoint_sha256):
        raise InputError(f"{path} explains another run than {run.path}. {remedy}.")
    failed = {episode.id for episode in run.episodes if episode.outcome == "failure"}
    found = {case["id"]: case["finding"] for case in cases if case.get("finding")}
    if strange := sorted(set(found) - failed):
        raise InputError(f"{path} explains {strange[0]}, which did not fail in {run.path}. {remedy}.")
    return {name: Explanation(finding["category"], finding["detail"]) for name, finding in found.items()}


def _parsed(path: Path) -> object:
    try:
        return json.loads(path.read_text())
    except ValueError:
        return None
