"""What lies in `deploy/`: each file is read by the program it is for, where that can be had, and agrees with the rest.

No containers run here. What their files say of settings, paths, probes and metrics is compared with the real ones.
"""

import json
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from taskyard.settings import Settings, load
from tests.support.nodes import ROOT, NodeProcess, free_port, until
from tests.support.postgres import as_nobody, private_folder, program

DEPLOY = ROOT / "deploy"
HERE = Path(__file__).parent
SECRETS = dict.fromkeys(("JWT_SECRET", "TASKYARD_SECRET_KEY", "POSTGRES_PASSWORD", "GRAFANA_PASSWORD"), "x" * 64)
NODES = ("node1", "node2", "node3")
# What a node has to end by itself, in seconds.
STOPS_IN = (Settings().drain_timeout + Settings().last_answers_timeout) / 1000
_VARIABLE = re.compile(r"\$\{(\w+)(?::[-?]([^}]*))?\}")
_METRIC = re.compile(r"\btaskyard_\w+")


def read(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text())


@pytest.fixture(scope="module")
def compose() -> Any:
    """The services, with secrets and defaults filled in as compose does."""
    text = (DEPLOY / "compose.yaml").read_text()
    return yaml.safe_load(_VARIABLE.sub(lambda found: SECRETS.get(found[1]) or found[2], text))


@pytest.fixture(scope="module")
def kubernetes() -> dict[str, Any]:
    return {part["kind"]: part for part in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())}


# --- containers ------------------------------------------------------------------------------------------------------


def test_nodes_of_compose_are_one_yard(compose: Any) -> None:
    services = compose["services"]
    environments = [services[name]["environment"] for name in NODES]
    shared = [{key: value for key, value in each.items() if key != "TASKYARD_NODE_URL"} for each in environments]
    assert shared == [shared[0]] * 3
    assert [each["TASKYARD_NODE_URL"] for each in environments] == [f"http://{name}:8787" for name in NODES]
    settings = load({}, environments[0])
    assert settings.database is not None
    assert settings.metrics_public
    subnet = compose["networks"]["inside"]["ipam"]["config"][0]["subnet"]
    assert settings.trusted_proxies == (subnet,)
    pooler = re.search(r"@(\w+):(\d+)/(\w+)", settings.database.reveal())
    assert pooler is not None
    ini = (DEPLOY / "pgbouncer.ini").read_text()
    assert pooler[1] in services
    assert f"listen_port = {pooler[2]}" in ini
    assert f"{pooler[3]} = host=postgres port=5432 dbname={pooler[3]}" in ini


def test_services_of_compose_are_closed_and_end_in_time(compose: Any) -> None:
    for name, service in compose["services"].items():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), (name, port)
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            assert (DEPLOY / source).exists() if source.startswith(".") else source in compose["volumes"], mount
        assert not (name.startswith("node") and not service["read_only"])
    assert int(compose["services"]["node1"]["stop_grace_period"].removesuffix("s")) > STOPS_IN
    # No secret stands in the file.
    assert set(_VARIABLE.findall((DEPLOY / "compose.yaml").read_text())) >= {
        (n, "set it in deploy/.env") for n in SECRETS
    }


def test_the_image_is_built_of_what_there_is_and_runs_as_nobody_special() -> None:
    lines = re.sub(r"\\\n", " ", (DEPLOY / "Dockerfile").read_text()).splitlines()
    copied = [
        name for line in lines if line.startswith("COPY ") and "--from" not in line for name in line.split()[1:-1]
    ]
    assert len(copied) >= 6
    kept = [line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")]
    for name in copied:
        assert (ROOT / name).exists(), name
        assert name.split("/")[0] in kept
    installs = [part for line in lines if line.startswith("RUN") for part in line.split("&&") if "pip install" in part]
    assert installs
    assert all("--require-hashes" in part or "--no-deps" in part for part in installs)
    (user,) = [line for line in lines if line.startswith("USER ")]
    assert re.fullmatch(r"USER [1-9]\d*:[1-9]\d*", user)
    environment = dict(re.findall(r"(TASKYARD_\w+)=(\S+)", next(line for line in lines if line.startswith("ENV "))))
    assert (load({}, environment).host, load({}, environment).data_dir) == ("0.0.0.0", "/var/lib/taskyard")


def test_kubernetes_asks_what_a_node_answers_and_waits_for_its_end(kubernetes: dict[str, Any]) -> None:
    deployment = kubernetes["Deployment"]["spec"]
    pod = deployment["template"]["spec"]
    (container,) = pod["containers"]
    probes = {name: container[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert probes == {"startupProbe": "/health", "livenessProbe": "/health", "readinessProbe": "/ready"}
    (port,) = container["ports"]
    assert {container[name]["httpGet"]["port"] for name in probes} == {port["name"]}
    assert port["containerPort"] == Settings().port
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] > pause + STOPS_IN
    assert pod["securityContext"]["runAsNonRoot"]
    assert f"USER {pod['securityContext']['runAsUser']}:" in (DEPLOY / "Dockerfile").read_text()
    assert container["securityContext"]["readOnlyRootFilesystem"]
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts == {volume["name"] for volume in pod["volumes"]}
    secrets = {"JWT_SECRET": "x" * 64, "TASKYARD_SECRET_KEY": "y" * 64, "TASKYARD_DATABASE": "postgresql://a@b/c"}
    own = {entry["name"]: entry.get("value", "") for entry in container["env"] if entry["name"].startswith("TASKYARD_")}
    settings = load({}, kubernetes["ConfigMap"]["data"] | secrets | dict.fromkeys(own, "http://10.0.0.1:8787"))
    assert (settings.node_url, settings.metrics_public) == ("http://10.0.0.1:8787", True)
    assert [name in (DEPLOY / "kubernetes.yaml").read_text() for name in secrets] == [True] * 3


def test_kubernetes_leaves_two_of_three(kubernetes: dict[str, Any]) -> None:
    deployment, budget, service = (
        kubernetes[kind]["spec"] for kind in ("Deployment", "PodDisruptionBudget", "Service")
    )
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"] == budget["selector"]["matchLabels"] == service["selector"] == labels
    assert deployment["replicas"] - budget["maxUnavailable"] == 2
    assert deployment["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert {part["metadata"]["namespace"] for part in kubernetes.values()} == {"taskyard"}


def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    text = (DEPLOY / "taskyard.service").read_text()
    wait = re.search(r"TimeoutStopSec=(\d+)", text)
    assert wait is not None
    assert int(wait[1]) > STOPS_IN
    verify = shutil.which("systemd-analyze")
    if verify is None:
        return
    unit = tmp_path / "taskyard.service"
    unit.write_text(text.replace("/opt/taskyard/bin/taskyard", "/bin/true"))
    done = subprocess.run([verify, "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# --- HAProxy and PgBouncer -------------------------------------------------------------------------------------------


class Answering:
    """A node as HAProxy sees it: /ready says what it is told to say, all else says who answered."""

    def __init__(self, name: str) -> None:
        self.ready = True
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.send_response(200 if outer.ready or self.path != "/ready" else 503)
                self.send_header("Content-Length", str(len(name)))
                self.end_headers()
                self.wfile.write(name.encode())

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def haproxy(folder: Path, ports: list[int]) -> Iterator[str]:
    """HAProxy with the file of deploy/, but for addresses; the URL at which it listens."""
    port = free_port()
    text = (DEPLOY / "haproxy.cfg").read_text().replace("bind :8787", f"bind 127.0.0.1:{port}")
    text = text.replace("maxconn 20000", "maxconn 200")  # a machine of developers may allow few descriptors
    for name, node in zip(NODES, ports, strict=True):
        assert f"server {name} {name}:8787" in text
        text = text.replace(f"{name}:8787", f"127.0.0.1:{node}")
    file = folder / "haproxy.cfg"
    file.write_text(text)
    binary = program("haproxy")
    checked = subprocess.run([binary, "-c", "-f", str(file)], capture_output=True, text=True, check=False)
    assert (checked.returncode, "WARNING" in checked.stderr) == (0, False), checked.stderr
    process = subprocess.Popen([binary, "-f", str(file)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait()


def test_haproxy_sends_to_those_that_say_they_are_ready(tmp_path: Path) -> None:
    with ExitStack() as opened:
        nodes = {name: Answering(name) for name in NODES}
        for node in nodes.values():
            opened.callback(node.close)
        url = opened.enter_context(haproxy(tmp_path, [node.port for node in nodes.values()]))
        client = opened.enter_context(httpx.Client(trust_env=False, verify=False, timeout=10))

        def who() -> set[str]:
            found = set()
            for _ in range(9):
                try:
                    answer = client.get(url, headers={"Connection": "close"})
                except httpx.TransportError:  # it does not listen yet
                    return set()
                found.add(answer.text if answer.status_code == 200 else str(answer.status_code))
            return found

        until(lambda: who() == set(NODES), what="not every node is used")
        # Prometheus asks the nodes themselves; nobody else need know.
        assert client.get(f"{url}metrics").status_code == 403
        nodes["node2"].ready = False
        until(lambda: who() == {"node1", "node3"}, what="a node that is not ready is used")
        for node in nodes.values():
            node.ready = False
        until(lambda: who() == {"503"}, what="with nobody ready, somebody answers")
        nodes["node2"].ready = True
        until(lambda: who() == {"node2"}, what="a node that is ready again is not used")


def test_pgbouncer_takes_its_file() -> None:
    port = free_port()
    with private_folder() as folder:
        text = (DEPLOY / "pgbouncer.ini").read_text().replace("listen_addr = 0.0.0.0", "listen_addr = 127.0.0.1")
        text = text.replace("listen_port = 6432", f"listen_port = {port}\nunix_socket_dir =\nlogfile = {folder}/log")
        text = text.replace("/etc/pgbouncer/userlist.txt", f"{folder}/users")
        (folder / "users").write_text('"taskyard" "x"\n')
        file = folder / "pgbouncer.ini"
        file.write_text(text)
        process = subprocess.Popen(
            as_nobody(program("pgbouncer"), "-q", str(file)), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        try:
            until(lambda: process.poll() is not None or listens(port), what="it does not listen")
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            assert "pool_mode = transaction" in text
        finally:
            process.kill()
            process.communicate()


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


# --- Prometheus and Grafana ------------------------------------------------------------------------------------------


def expressions() -> list[str]:
    """What the alerts and the panels ask for."""
    rules = [rule["expr"] for group in read("alerts.yml")["groups"] for rule in group["rules"]]
    board = json.loads((DEPLOY / "grafana/dashboards/taskyard.json").read_text())
    return rules + [target["expr"] for panel in board["panels"] for target in panel["targets"]]


def test_alerts_and_panels_ask_for_metrics_that_there_are(tmp_path: Path) -> None:
    node = NodeProcess(tmp_path / "data")
    node.start()
    try:
        with node.client("admin") as client:
            text = client.get("/metrics").text
    finally:
        node.stop()
    kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))
    there = {name for name, kind in kinds.items() if kind != "histogram"}
    there |= {
        f"{name}_{part}" for name, kind in kinds.items() if kind == "histogram" for part in ("bucket", "sum", "count")
    }
    asked = {name for expression in expressions() for name in _METRIC.findall(expression)}
    assert asked <= there, asked - there
    # Bounds of a histogram are text.
    bounds = {
        found for expression in expressions() for found in re.findall(r'(\w+_bucket)\{le="([^"]+)"\}', expression)
    }
    assert bounds
    for name, bound in bounds:
        assert f'{name}{{le="{bound}"}}' in text
    for status in re.findall(r'taskyard_tasks_ended_total\{status=~"([^"]+)"', " ".join(expressions())):
        assert all(f'taskyard_tasks_ended_total{{status="{name}"}}' in text for name in status.split("|"))


def test_prometheus_asks_each_node_and_grafana_asks_prometheus(compose: Any) -> None:
    config = read("prometheus.yml")
    assert config["scrape_configs"][0]["static_configs"][0]["targets"] == [f"{name}:8787" for name in NODES]
    assert [(DEPLOY / name).exists() for name in config["rule_files"]] == [True]
    (source,) = read("grafana/provisioning/datasources/prometheus.yml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = read("grafana/provisioning/dashboards/taskyard.yml")["providers"]
    assert f"./grafana/dashboards:{provider['options']['path']}:ro" in compose["services"]["grafana"]["volumes"]
    board = json.loads((DEPLOY / "grafana/dashboards/taskyard.json").read_text())
    assert {target["datasource"]["uid"] for panel in board["panels"] for target in panel["targets"]} == {source["uid"]}
    boxes = [tuple(panel["gridPos"].values()) for panel in board["panels"]]
    assert len({(x, y) for _, _, x, y in boxes}) == len(boxes)
    assert all(x + width <= 24 for width, _, x, _ in boxes)


def test_alerts_say_what_to_do() -> None:
    rules = [rule for group in read("alerts.yml")["groups"] for rule in group["rules"]]
    names = {rule["alert"] for rule in rules}
    assert names >= {
        f"Taskyard{name}" for name in ("OldestTask", "TurnStalled", "ServersOffline", "FailureRate", "BacklogGrowth")
    }
    assert all(rule["labels"]["severity"] in ("warning", "critical") for rule in rules)
    assert all(set(rule["annotations"]) == {"summary", "description"} for rule in rules)
    for expression in expressions():
        assert [expression.count(left) for left in "({["] == [expression.count(right) for right in ")}]"], expression


@pytest.mark.skipif(shutil.which("promtool") is None, reason="there is no promtool (Debian: prometheus, 20 MB)")
def test_promtool_takes_the_rules_and_they_fire() -> None:
    for words in (
        ["check", "config", str(DEPLOY / "prometheus.yml")],
        ["test", "rules", str(HERE / "alerts.test.yml")],
    ):
        done = subprocess.run(["promtool", *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
