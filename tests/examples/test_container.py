"""Dockerfile and Kubernetes manifest, checked without an engine: their parts fit one another and the code."""

import json
import re
import tomllib
from dataclasses import replace
from pathlib import PurePosixPath

import pytest
import yaml

from switchgear.cli.parser import build_parser
from switchgear.gateway.config.model import Address, LogConfig
from switchgear.gateway.server import Gateway
from tests.docs.blocks import ROOT, read_config
from tests.gateway.upstreams import ask, get

MANIFEST = ROOT / "examples" / "kubernetes" / "switchgear.yaml"


def instructions() -> list[tuple[str, str]]:
    text = (ROOT / "Dockerfile").read_text()
    lines = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)).splitlines()
    return [(word, rest.strip()) for line in lines if line for word, _, rest in [line.partition(" ")]]


def stages() -> list[list[tuple[str, str]]]:
    found: list[list[tuple[str, str]]] = []
    for word, rest in instructions():
        if word == "FROM":
            found.append([])
        found[-1].append((word, rest))
    return found


def last(word: str) -> str:
    """What an instruction of the final stage says."""
    return [rest for known, rest in stages()[-1] if known == word][-1]


# ---- Dockerfile


def test_every_instruction_is_known():
    known = {"FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "EXPOSE", "STOPSIGNAL", "ENTRYPOINT", "CMD"}
    assert {word for word, _ in instructions()} <= known


def test_two_slim_stages_of_a_python_that_is_supported():
    build, final = stages()
    images = [re.fullmatch(r"python:(3\.\d+)-slim( AS build)?", stage[0][1]) for stage in (build, final)]
    assert all(images)
    versions = {image[1] for image in images if image}
    assert len(versions) == 1  # a virtual environment runs under the Python that made it
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"Programming Language :: Python :: {versions.pop()}" in project["classifiers"]
    assert [rest for word, rest in final if word == "COPY"] == [
        "--from=build /opt/switchgear /opt/switchgear"
    ]
    assert "/opt/switchgear/bin" in last("ENV")


def test_it_runs_as_somebody_else_than_root_by_number():
    user, _, group = last("USER").partition(":")
    assert int(user) > 0
    assert int(group) > 0


def test_the_gateway_is_process_1_and_its_command_is_right():
    entry, command = json.loads(last("ENTRYPOINT")), json.loads(last("CMD"))
    assert entry == ["switchgear"]
    args = build_parser().parse_args(command)
    assert (args.command, args.host) == ("serve", "0.0.0.0")


def test_what_is_built_from_is_there_and_sent():
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line.startswith("!")}
    copied = {name for word, rest in stages()[0] if word == "COPY" for name in rest.split()[:-1]}
    assert copied == allowed
    for name in copied:
        assert (ROOT / name).exists(), name
    (run,) = (rest for word, rest in stages()[0] if word == "RUN")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert re.search(r"'\.\[(\w+)\]'", run)[1] in extras


# ---- Kubernetes


@pytest.fixture(scope="module")
def objects() -> dict:
    documents = list(yaml.safe_load_all(MANIFEST.read_text()))
    assert [(one["apiVersion"], one["kind"]) for one in documents] == [
        ("v1", "ConfigMap"),
        ("apps/v1", "Deployment"),
        ("v1", "Service"),
    ]
    return {one["kind"]: one for one in documents}


@pytest.fixture(scope="module")
def pod(objects) -> dict:
    return objects["Deployment"]["spec"]["template"]["spec"]


@pytest.fixture(scope="module")
def container(pod) -> dict:
    (only,) = pod["containers"]
    return only


@pytest.fixture(scope="module")
def config(objects, tmp_path_factory):
    text = objects["ConfigMap"]["data"]["gateway.yaml"]
    return read_config(tmp_path_factory.mktemp("kubernetes") / "gateway.yaml", text)


def test_labels_and_names_fit(objects, pod):
    labels = objects["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert objects["Deployment"]["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert objects["Service"]["spec"]["selector"].items() <= labels.items()
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes["config"]["configMap"]["name"] == objects["ConfigMap"]["metadata"]["name"]


def test_ports_fit_what_the_gateway_listens_at(objects, container, config):
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    (service,) = objects["Service"]["spec"]["ports"]
    assert ports[service["targetPort"]] == config.listen.port
    assert config.listen.host == "0.0.0.0"
    for probe, path in (("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        asked = container[probe]["httpGet"]
        assert (asked["path"], ports[asked["port"]]) == (path, config.listen.port)
    assert config.admin is not None
    assert config.admin.health
    assert config.admin.listen.host == "127.0.0.1"


@pytest.mark.anyio
async def test_the_probes_are_answered(container, config):
    listen = Address("127.0.0.1", 0)
    gateway = Gateway(replace(config, listen=listen, log=LogConfig(access=False)))
    await gateway.start()
    try:
        for probe in ("livenessProbe", "readinessProbe"):
            assert (await ask(gateway, get(container[probe]["httpGet"]["path"]))).status == 200
    finally:
        await gateway.close()


def test_the_command_reads_the_mounted_file_and_sees_it_change(objects, pod, container):
    args = build_parser().parse_args(container["args"])
    file = PurePosixPath(args.file)
    assert args.watch
    assert file.name in objects["ConfigMap"]["data"]
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    assert "subPath" not in mounts[str(file.parent)]
    volumes = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for mount in mounts.values()} == volumes


def test_nothing_may_be_more_than_it_needs(pod, container):
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    limit, request = (container["resources"][key]["memory"] for key in ("limits", "requests"))
    sizes = [int(re.fullmatch(r"(\d+)Mi", text)[1]) for text in (request, limit)]
    assert sizes == sorted(sizes)


def test_there_is_time_to_drain(pod, container, config):
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] > pause + config.limits.drain


def test_the_image_is_of_this_version(container):
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert container["image"] == f"switchgear:{version}"
