"""The engine `ray` on a cluster of two nodes that share no folder, with the storage on S3: same keys, same digests, a lost node."""

from __future__ import annotations

import os
import socket

import pytest
from ray_project import HELPERS, WORK, digests, outcome, run, start, steps_of, wait_for

from mlopsfw.kernel.base.errors import PluginError
from mlopsfw.project.facade import Project
from mlopsfw.testing.engine import EngineConformance
from mlopsfw_engine_ray import RayConfig

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(300)]


class TestRayEngine(EngineConformance):
    @pytest.fixture(autouse=True)
    def storage_on_s3(self, s3_server, bucket):
        options = ", ".join(f'{name} = "{value}"' for name, value in s3_server.referring.items())
        self.storage = f'[storage.object]\nurl = "{bucket}/project"\noptions = {{ {options} }}\n'

    def toml(self) -> str:
        return f"{super().toml()}\n{self.storage}"

    @pytest.fixture
    def engine(self, project, cluster, monkeypatch):
        monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
        from mlopsfw_engine_ray.engine import RayEngine

        engine = RayEngine(RayConfig(address=cluster.address, grace=1), project.root)
        yield engine
        engine.close()

    def test_a_second_connection_of_one_process_is_refused(self, project, cluster, engine):
        with pytest.raises(PluginError, match="connected to Ray already"):
            type(engine)(RayConfig(address=cluster.address), project.root)

    def test_a_breakpoint_of_this_process_stays_its_own(self, engine):
        assert engine.slots
        assert "PYTHONBREAKPOINT" not in os.environ


def test_an_address_where_nothing_answers_is_told_at_once(tmp_path):
    from mlopsfw_engine_ray.engine import RayEngine

    with pytest.raises(PluginError, match=r"no Ray cluster answers at '127\.0\.0\.1:1'"):
        RayEngine(RayConfig(address="127.0.0.1:1"), tmp_path)


def test_both_nodes_work_with_the_same_keys_and_digests_as_here(root, tmp_path):
    process = start(root, "--env", "cluster", "run")
    assert len(set(wait_for(tmp_path / "marks", 2).values())) == 2
    (tmp_path / "marks" / "go").touch()
    far = outcome(process)
    steps = steps_of(root)
    assert {step["status"] for step in steps.values()} == {"done"}
    assert (
        len({step["node"].partition("/")[0] for step in steps.values()}) == 2
    )  # and no node is this process's machine name
    run(root, "run")
    assert {step["status"] for step in steps_of(root).values()} == {"cached"}
    near = run(root, "run", "--force")
    assert {step["status"] for step in steps_of(root).values()} == {"done"}
    assert digests(near) == digests(far)


@pytest.mark.nightly
def test_parts_of_one_step_are_spread_over_the_nodes(root, tmp_path):
    file = root / "mlopsfw.toml"
    head = file.read_text().partition("[steps.left]")[0]
    file.write_text(
        f"""{head}[steps.names]
python = "work:names"
[steps.side]
python = "work:side"
inputs = {{ rows = "rows", name = "names" }}
params = {{ marks = "{tmp_path / "marks"}" }}
each = "name"
"""
    )
    (root / "work.py").write_text(WORK + '\n\ndef names():\n    return ["left", "right"]\n')
    process = start(root, "--env", "cluster", "run")
    assert len(set(wait_for(tmp_path / "marks", 2).values())) == 2
    (tmp_path / "marks" / "go").touch()
    outcome(process)
    steps = steps_of(root)
    assert len({steps[f"side[{number}]"]["node"].partition("/")[0] for number in (0, 1)}) == 2
    assert steps["side"]["outputs"]["result"]["meta"]["rows"] == 2000


@pytest.mark.nightly
def test_an_edited_helper_reaches_the_nodes(root, tmp_path):
    (tmp_path / "marks" / "go").touch()
    before = digests(run(root, "--env", "cluster", "run"))
    (root / "helpers.py").write_text(HELPERS.replace("* by", "+ by"))
    after = digests(run(root, "--env", "cluster", "run"))
    assert {step for step, _ in after if after[step, "result"] != before[step, "result"]} == {"left", "right", "both"}


def test_a_node_that_is_killed_while_it_holds_a_step_costs_that_step_alone(root, tmp_path, losable):
    marks = tmp_path / "marks"
    process = start(root, "--env", "cluster", "run")
    holding = wait_for(marks, 2)
    assert len(set(holding.values())) == 2  # each node holds one
    losable.nodes[1].kill()
    (marks / "go").touch()
    outcome(process, 180)
    steps = steps_of(root)
    assert {step["status"] for step in steps.values()} == {"done"}
    attempts = {name: step["attempt"] for name, step in steps.items()}
    assert sorted((attempts["left"], attempts["right"])) == [1, 2]
    assert (attempts["rows"], attempts["both"]) == (1, 1)
    again = next(name for name in ("left", "right") if attempts[name] == 2)
    assert steps[again]["node"].partition("/")[0] != holding[again]


ASSIGNED = """
import os
import polars as pl
import ray
def near(): return pl.DataFrame({"x": [1, 2, 3]})
def far(rows):
    have = ray.get_runtime_context().get_assigned_resources()
    return {"rows": rows.height, "threads": os.environ["OMP_NUM_THREADS"], "pool": pl.thread_pool_size(), **have}
def back(have): return have["rows"]
"""


@pytest.mark.nightly
def test_a_step_on_the_cluster_is_given_what_it_asks_for_while_others_run_here(root):
    head = (root / "mlopsfw.toml").read_text().partition("[steps.rows]")[0]
    head = head.replace("[env.cluster.engine]\nuse", "[engine]\nuse").replace('"ray"', '"local"', 1)
    head = head.replace("[env.cluster.engine.ray]", '[engine.cluster]\nuse = "ray"')
    steps = '[steps.near]\npython = "assigned:near"\n[steps.far]\npython = "assigned:far"\ninputs = { rows = "near" }\n'
    steps += 'engine = "cluster"\nresources = { cpus = 0.5, memory = "64MiB" }\n'
    steps += '[steps.back]\npython = "assigned:back"\ninputs = { have = "far" }\n'
    (root / "mlopsfw.toml").write_text(head + steps)
    (root / "assigned.py").write_text(ASSIGNED)
    outcome(start(root, "run"))
    found = steps_of(root)
    assert {name: step["engine"] for name, step in found.items()} == {
        "near": "local",
        "far": "cluster",
        "back": "local",
    }
    assert found["near"]["node"].partition("/")[0] == socket.gethostname() != found["far"]["node"].partition("/")[0]
    with Project.open(root) as project:
        have = project.values.load(project.runs.get("latest").steps["far"].outputs["result"])
    assert have == {"rows": 3, "threads": "1", "pool": 1, "CPU": 0.5, "memory": 64 << 20}
    (root / "mlopsfw.toml").write_text(head + steps.replace("cpus = 0.5", "cpus = 2"))
    process = start(root, "run", "--plan")
    assert process.communicate(timeout=60)[1].count("steps.far.resources.cpus: the step asks for cpus = 2") == 1
    assert process.returncode == 2


CLEAN = """
import msgspec
from mlopsfw import Provider, hookimpl
from mlopsfw.roles import Step
class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    least: int = 0
def build(options, host):
    def run(context):
        if options.least < 0:
            raise ZeroDivisionError("in the middle")
        return {"kept": [n for n in context.load("numbers") if n >= options.least]}
    return Step(run=run, inputs=("numbers",), outputs=("kept",))
@hookimpl
def mlopsfw_steps():
    yield Provider("acme-clean", Options, build, "Acme's cleaning")
"""


@pytest.mark.nightly
def test_a_worker_finds_a_third_partys_step_by_its_entry_point_and_blames_it(root, install_plugin):
    install_plugin(CLEAN, "step.acme-clean")
    toml = (root / "mlopsfw.toml").read_text().partition("[steps.rows]")[0]
    toml = toml.replace("grace = 1", 'grace = 1\nenv = ["PYTHONPATH"]')
    (root / "mlopsfw.toml").write_text(
        f'{toml}\n[steps.numbers]\npython = "numbers_of:run"\n[steps.clean]\nuse = "acme-clean"\n'
        'inputs = { numbers = "numbers" }\nleast = 2\n'
    )
    (root / "numbers_of.py").write_text("def run():\n    return [1, 2, 3]\n")
    run(root, "--env", "cluster", "run")
    step = steps_of(root)["clean"]
    assert step["status"] == "done"
    assert step["node"].partition("/")[0] != socket.gethostname()
    process = start(root, "--env", "cluster", "--set", "steps.clean.least=-1", "run")
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 5
    assert "raised by plugin 'step.acme-clean' (acme-mlops-0 1.2) in Step.run" in out
