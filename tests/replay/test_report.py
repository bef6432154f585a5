"""What a report says, as text, as JSON and as a page."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from switchgear.replay.as_json import as_json
from switchgear.replay.page import as_html
from switchgear.replay.policies import Policies, load_policies
from switchgear.replay.reading import opened
from switchgear.replay.report import Report, report
from switchgear.replay.run import replay
from switchgear.replay.text import as_text

BEGIN = 1796040000
LOG = (
    [f"{BEGIN + place},users,{'failure' if 10 <= place < 20 else 'success'},0.5" for place in range(40)]
    + [f"{BEGIN + place},quiet<b>,success,0.5" for place in range(40)]
    + ["nonsense"]
)


@pytest.fixture
def run(tmp_path):
    def run(*texts: str, log=LOG) -> Report:
        policies = []
        for place, text in enumerate(texts):
            file = tmp_path / f"{'ab'[place]}.yaml"
            file.write_text(text)
            loaded = load_policies(file, {})
            assert isinstance(loaded, Policies)
            policies.append(Policies(file.name, loaded.one))
        (tmp_path / "x.csv").write_text("\n".join(log) + "\n")
        with opened(str(tmp_path / "x.csv")) as source:
            reader, lanes, _ = replay(source, policies, timelines=True)
        return report("x.csv", reader, lanes, policies)

    return run


QUICK = "{failureThreshold: 3, resetTimeout: 4s}"
SLOW = "{failureThreshold: 8, resetTimeout: 30s}"


# Open from 12 to 16, and after a failed probe that ended at 17 to 21; the probe that ended at 22 closed it.
TEXT = """\
x.csv (csv): 81 lines, 80 calls, 2026-11-30 12:00:00.000 to 2026-11-30 12:00:39.000 UTC
  1 broken line left out:
    line 81: too few columns: nonsense

users: 40 calls: 30 good, 10 bad
  openings                                  1
    flaps                                   0
    failed probes                           1
  time not closed                      10.0 s
  calls rejected                            8
    of these good                           2
    of these bad (precision)        6 (75.0%)
  bad calls avoided (recall)  6 of 10 (60.0%)
  time to open, median                    2 s
  time to open, longest                   2 s
  openings:
    2026-11-30 12:00:12.000 opened after 2 s: 3 consecutive failures (threshold 3)
      closed 2026-11-30 12:00:22.000, after 10.0 s, 1 failed probe; rejected 2 good, 6 bad

never opened (1): quiet<b>

in all (2 keys): 80 calls: 70 good, 10 bad
"""


def test_as_text(run):
    text = "\n".join(as_text(run(QUICK)))
    assert text.startswith(TEXT)
    assert "What a log can't tell:\n- The outcomes are those of a service under the load" in text


def test_two_policies_side_by_side(run):
    lines = list(as_text(run(QUICK, SLOW)))
    row = next(line for line in lines if line.startswith("  openings "))
    assert row.split() == ["openings", "1", "1"]
    assert any(line.split() == ["a.yaml", "b.yaml"] for line in lines)
    assert "  openings under b.yaml:" in lines
    assert any("opened after 7 s: 8 consecutive failures" in line for line in lines)


def test_as_json(run):
    data = json.loads(json.dumps(as_json(run(QUICK, SLOW))))
    assert data["policies"] == ["a.yaml", "b.yaml"]
    assert data["log"]["broken"] == {
        "lines": 1,
        "first": [{"line": 81, "reason": "too few columns", "text": "nonsense"}],
    }
    users = data["keys"][0]
    assert users["key"] == "users"
    quick, slow = users["under"]
    assert quick["calls"] == {"all": 40, "good": 30, "bad": 10, "unknown": 0, "already_rejected": 0}
    assert [move["to"] for move in quick["transitions"]] == [
        "open",
        "half-open",
        "open",
        "half-open",
        "closed",
    ]
    (outage,) = quick["outages"]
    assert (outage["opened"], outage["time_to_open"], outage["failed_probes"]) == (BEGIN + 12, 2, 1)
    assert outage["rejected"] == quick["rejected"]
    rejected = quick["rejected"]
    assert quick["precision"] == rejected["bad"] / rejected["all"]
    assert quick["recall"] == rejected["bad"] / 10 == quick["bad_avoided"] / 10
    assert slow["outages"][0]["closed"] is None
    assert slow["not_closed_seconds"] == 39 - 17
    assert data["total"][0]["openings"] == 1
    assert (data["total"][0]["calls"]["all"], data["keys"][1]["under"][0]["precision"]) == (80, None)


class _Page(HTMLParser):
    """Counts elements, and sees that they are closed."""

    VOID = ("meta", "!doctype", "rect", "line", "path", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        assert not any(name in {"src", "href", "xlink:href"} for name, _ in attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_as_a_page_that_needs_nothing_else(run):
    text = "".join(as_html(run(QUICK, SLOW)))
    page = _Page()
    page.feed(text)
    assert page.open == []
    assert page.tags.count("svg") == 2
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert not re.search(r"https?:|url\(|@import", text)
    assert "default-src 'none'" in text
    assert "prefers-color-scheme: dark" in text
    assert "quiet<b>" in page.text
    assert text.count('class="open-0"') == text.count('class="open-1"') == 1


def test_a_key_does_not_act_on_a_terminal(run):
    log = [f"{BEGIN + place},\x1b[31mred,failure,0" for place in range(9)]
    text = "\n".join(as_text(run(QUICK, log=log)))
    assert "\x1b" not in text
    assert "\\x1b[31mred: 9 calls" in text


def test_many_bins_become_fewer(run):
    log = [f"{BEGIN + place * 60},users,success,0" for place in range(5000)]
    done = run(QUICK, log=log)
    timeline = done.keys[0].timeline
    assert timeline is not None
    assert len(timeline.bins) <= 240
    assert sum(each.total() for each in timeline.bins) == 5000
    assert timeline.origin + timeline.width * len(timeline.bins) > BEGIN + 4999 * 60
