"""Source distribution and wheel: built, looked into, installed where nothing else is, and tried."""

import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = {
    str(file.relative_to(ROOT / "src"))
    for file in (ROOT / "src").rglob("*")
    if file.is_file() and "__pycache__" not in file.parts
}
TRIAL = """
import sys
from switchgear import CircuitBreaker
breaker = CircuitBreaker("trial", failure_threshold=1)
breaker.acquire().failure("gone")
assert breaker.state == "open"
loaded = {name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names
print(sorted(name for name in loaded if not name.startswith("_") and name != "switchgear"))
"""


pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT]
    subprocess.run(command, check=True, capture_output=True, timeout=280)
    (wheel,) = folder.glob("*.whl")
    (source,) = folder.glob("*.tar.gz")
    return wheel, source


def test_the_wheel_has_every_file_of_the_package_and_nothing_else(packages):
    wheel, _ = packages
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert wheel.name.endswith("-py3-none-any.whl")  # no compiler is needed anywhere
    assert names == SOURCES


def test_the_source_distribution_has_what_its_tests_need(packages):
    _, source = packages
    with tarfile.open(source) as archive:
        tops = {name.split("/")[1] for name in archive.getnames() if "/" in name}
    assert {"src", "tests", "docs", "examples", "benchmarks", "Makefile", "CHANGELOG.md", "LICENSE"} <= tops
    assert ".venv" not in tops


def test_the_wheel_works_where_nothing_else_is_installed(packages, tmp_path):
    wheel, _ = packages
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    site = next((tmp_path / "venv" / "lib").glob("python*/site-packages"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([python, *arguments], capture_output=True, text=True, check=False, timeout=100)

    trial = run("-W", "error", "-c", TRIAL)
    assert (trial.stdout.strip(), trial.stderr) == ("[]", "")
    version = run("-m", "switchgear", "--version")
    assert version.returncode == 0
    assert wheel.name.split("-")[1] in version.stdout
    gateway = tmp_path / "g.yaml"
    gateway.write_text("http: {}\n")
    without = run("-m", "switchgear", "check", str(gateway))
    assert without.returncode == 1
    assert "switchgear[gateway]" in without.stdout + without.stderr
    assert "Traceback" not in without.stderr
