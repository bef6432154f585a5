"""The examples of metrics, retries and databases run, and print what they promise."""

import re
import runpy
import sys

import pytest

from tests.docs.blocks import ROOT

PRINTED = {
    "prometheus_crawler": r"""broken\.example/1: broken\.example/1
broken\.example/2: broken\.example/2
broken\.example/3: circuit 'host:broken\.example' is open; .*
(?s:.*)switchgear_circuit_state\{circuit="host:\*",state="open"\} 1\.0
(?s:.*)switchgear_circuit_calls_total\{circuit="host:\*",outcome="success"\} 2\.0
switchgear_circuit_calls_total\{circuit="host:\*",outcome="failure"\} 2\.0
(?s:.*)switchgear_circuit_calls_total\{circuit="host:\*",outcome="rejected"\} 1\.0
""",
    "opentelemetry_spans": """circuit payments: success, UNSET
circuit payments: failure, ERROR
circuit payments: rejected, ERROR
""",
    "tenacity_retry": """the service says: nothing
the service says: nothing
the service says: paid
paid closed
""",
    "stamina_retry": """the service says: nothing
the service says: nothing
the service says: paid
paid closed
""",
    "sqlalchemy_engine": """OperationalError
OperationalError
CircuitOpenOperationalError
CircuitOpenOperationalError
""",
}


@pytest.mark.parametrize("name", PRINTED)
def test_an_example_prints_what_it_promises(name, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", [name])
    runpy.run_path(str(ROOT / "examples" / f"{name}.py"), run_name="__main__")
    assert re.fullmatch(PRINTED[name], capsys.readouterr().out)
