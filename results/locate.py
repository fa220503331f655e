"""Finds the record that a word on the command line means."""

from pathlib import Path

from envs.spec import InputError
from envs.suite import nearest
from results.records import RECORDS_DIR

COMMITTED_RUN = "test.jsonl"


def find_record(name: str, records: Path = RECORDS_DIR) -> Path:
    """The record meant by a path or a short name.

    Args:
        name: A record file, a folder that holds one record, or `suite/policy` for the committed record of a policy.
        records: Folder of the committed records.

    Raises:
        InputError: There is no such record, or a folder holds several.
    """
    path = Path(name)
    if path.is_file():
        return path
    if path.is_dir():
        found = sorted(path.glob("*.jsonl"))
        if len(found) == 1:
            return found[0]
        if found:
            raise InputError(f"{path} holds {len(found)} records: name one, such as the last, {found[-1]}.")
        raise InputError(f"{path} holds no record (*.jsonl): check the path.")
    committed = {
        f"{found.parent.parent.name}/{found.parent.name}": found
        for found in sorted(records.glob(f"*/*/{COMMITTED_RUN}"))
    }
    if name in committed:
        return committed[name]
    raise InputError(
        f"there is no record {name!r}.{nearest(name, committed)} Name a record file, a folder that holds one, or a "
        f"committed record: {', '.join(committed) or 'there are none yet'}."
    )
