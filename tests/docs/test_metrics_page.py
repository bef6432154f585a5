"""The page on Prometheus names every metric, as it is published."""

import re

from switchgear.metrics.families import FAMILIES
from tests.docs.blocks import ROOT


def test_the_table_has_every_family():
    page = (ROOT / "docs" / "integrations" / "prometheus.md").read_text()
    table = re.search(r"^\| name \|.*\n(?:\|.*\n)+", page, re.MULTILINE)
    assert table is not None
    rows = [[cell.strip(" `") for cell in row.strip("|").split(" | ")] for row in table[0].splitlines()[2:]]
    assert rows == [
        [
            f"{family.name}{'_total' if family.kind == 'counter' else ''}",
            family.kind,
            ", ".join(family.labels),
            family.doc,
        ]
        for family in FAMILIES.values()
    ]
