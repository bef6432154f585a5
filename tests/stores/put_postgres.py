"""A record written into PostgreSQL as the functions keep it."""

from __future__ import annotations

import json

from switchgear.stores.record import Record
from tests.stores.put_redis import SCALARS


def as_row(record: Record) -> dict[str, object]:
    found: dict[str, object] = {name: getattr(record, name) for name in SCALARS}
    slots = {
        f"{width}:{place}": [slot.era, slot.bucket, *slot.counts]
        for (width, place), slot in record.slots.items()
    }
    reporters = {name: [*r[:-2], *r.counts, *r.before] for name, r in record.reporters.items()}
    leases = {token: list(held) for token, held in record.leases.items()}
    return found | {
        "slots": json.dumps(slots),
        "leases": json.dumps(leases),
        "reporters": json.dumps(reporters),
    }
