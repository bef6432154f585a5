"""A record written into Redis as the script keeps it."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

from switchgear.stores.record import Record

SCALARS = [f.name for f in fields(Record) if f.name not in {"slots", "leases", "reporters"}]


def as_hash(record: Record) -> dict[str, Any]:
    found: dict[str, Any] = {name: getattr(record, name) for name in SCALARS}
    found["leases"] = json.dumps({token: list(held) for token, held in record.leases.items()})
    for (width, place), slot in record.slots.items():
        found[f"w:{width}:{place}"] = json.dumps([slot.era, slot.bucket, *slot.counts])
    for name, reporter in record.reporters.items():
        *head, counts, before = reporter
        found[f"r:{name}"] = json.dumps([*head, *counts, *before])
    return found
