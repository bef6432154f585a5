"""README and docs: every block of code works, every link leads somewhere."""

import re
from pathlib import Path

import pytest

from tests.docs.blocks import DOCUMENTS, ROOT, completed, run_blocks

FENCE = re.compile(r"^```(\S*)", re.MULTILINE)
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def name_of(document: Path) -> str:
    return str(document.relative_to(ROOT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_block_of_code_works(document, tmp_path, monkeypatch, redis_server):
    monkeypatch.setenv("API_KEY", "open sesame")  # what an example reads
    monkeypatch.chdir(ROOT)  # where readers stand
    monkeypatch.setenv("REDIS_URL", f"{redis_server.url}?prefix={tmp_path.name}:")
    monkeypatch.setenv("BROKER_URL", "memory://")
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "tests.integrations.django_site")
    fences = FENCE.findall(document.read_text())[::2]
    languages = [fence for fence in fences if not fence.startswith("{")]  # the others are of the site
    assert set(languages) <= {"python", "text", "yaml", "sh", "json", "toml"}
    assert run_blocks(document, tmp_path) == len(languages)


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_link_leads_somewhere(document):
    for link in re.findall(r"\]\(([^)\s]+)\)", CODE.sub("", document.read_text())):
        path, _, anchor = link.partition("#")
        if "://" not in link:
            target = (document.parent / path).resolve() if path else document
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


def anchors(document: Path) -> set[str]:
    """The anchors of a document's headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_six_jobs_take_75_lines():
    text = (ROOT / "docs" / "recipes.md").read_text()
    blocks = re.findall(r"^```(?:python|yaml)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 6
    assert sum(bool(line.strip()) for block in blocks for line in block.splitlines()) <= 75


# ---- the checks can fail

WRONG = {
    "python that raises": "```python\n1 / 0\n```\n",
    "other output": "```python\nprint(1)\n```\n\n```text\n2\n```\n",
    "unknown key": "```yaml\ncircuitBreaker: {failureRatte: 50%}\n```\n",
    "unknown option": "```sh\nswitchgear serve g.yaml --fast\n```\n",
    "unknown command": "```sh\nmake coffee\n```\n",
    "another image": "```sh\ndocker run gateway\n```\n",
    "no such manifest": "```sh\nkubectl apply -f examples/coffee.yaml\n```\n",
    "unknown extra": "```sh\npip install '.[gatewya]'\n```\n",
    "illegal json": "```json\n{'a': 1}\n```\n",
    "illegal toml": "```toml\na: 1\n```\n",
    "config with a mistake": '```python\nconfig = {"http": {}}\n```\n',
}


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_block_is_found(text, tmp_path, capsys):
    document = tmp_path / "wrong.md"
    document.write_text(text)
    with pytest.raises((Exception, SystemExit)):
        run_blocks(document, tmp_path)
    capsys.readouterr()  # the usage of a command that does not take its arguments


def test_parts_of_a_configuration_are_completed():
    whole = "http: {routes: {}}\n"
    assert completed(whole) == whole
    assert completed("limits: {head: 1KiB}").startswith("limits: {head: 1KiB}\nhttp: {routes: ")
    assert completed("circuitBreaker: {maxErrors: 3}").startswith("http:\n  circuitBreaker: ")
    assert completed("/a: {GET: {}}").startswith("http:\n  routes:\n    /a: ")


def test_the_page_on_policies_shows_the_example_that_is_tested():
    example = (ROOT / "examples" / "require_key.py").read_text()
    assert example in (ROOT / "docs" / "policies.md").read_text()


def test_the_parts_of_the_design_are_there():
    text = (ROOT / "docs" / "design.md").read_text()
    named = re.findall(r"`([\w/]+(?:\.py|/))`", text.partition("| where | what |")[2].partition("\n\n")[0])
    assert len(named) > 20
    folder = ROOT
    for name in named:
        # What follows in a cell is in the folder of what came first.
        inside = ROOT / "src" / "switchgear" / name
        folder = inside.parent if inside.exists() else folder
        assert (folder / Path(name).name).exists(), name
