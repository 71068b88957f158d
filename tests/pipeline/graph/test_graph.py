"""The graph: wired in full before anything runs, and every mistake told with its line and the nearest name."""

from __future__ import annotations

import pytest

from mlopsfw.kernel.base.errors import ConfigError, UnknownName
from mlopsfw.kernel.roles.step import Step
from mlopsfw.pipeline.graph.model import Output, build_graph

TWO = """
[steps.b]
python = "m:b"
inputs = { x = "a.right" }
[steps.a]
python = "m:a"
outputs = ["left", "right"]
"""


def graph_of(make_project, toml):
    return make_project(toml).pipeline.graph


def test_a_step_comes_after_what_it_takes_although_the_file_has_it_first(make_project):
    graph = graph_of(make_project, TWO)
    assert list(graph.nodes) == ["a", "b"]
    assert graph.nodes["b"].inputs == {"x": Output("a", "right")}
    assert graph.nodes["b"].needs == ("a",)


def test_steps_that_do_not_need_each_other_keep_the_order_of_the_file(make_project):
    toml = "".join(f'[steps.{name}]\npython = "m:f"\n' for name in ("zebra", "ant", "mole"))
    assert list(graph_of(make_project, toml).nodes) == ["zebra", "ant", "mole"]


def test_a_bare_step_name_means_its_first_output(make_project):
    graph = graph_of(make_project, TWO.replace("a.right", "a"))
    assert graph.nodes["b"].inputs["x"] == Output("a", "left")


def test_a_step_name_with_dots_is_told_from_its_output(make_project):
    graph = graph_of(
        make_project, '[steps."v1.2"]\npython="m:f"\n[steps.b]\npython="m:f"\ninputs={x="v1.2", y="v1.2.result"}\n'
    )
    assert set(graph.nodes["b"].inputs.values()) == {Output("v1.2", "result")}


@pytest.mark.parametrize(
    ("toml", "says", "hint"),
    [
        ('[steps.a]\nuse = "ingets"\n', "no installed step is called 'ingets'", "'ingest'"),
        (
            '[steps.split]\npythn = "m:f"\nparams = { n = 1 }\noutputs = ["a", "b"]\n',
            "steps.split.pythn: unknown key",
            "'python'",
        ),
        (
            '[steps.load]\npython="m:f"\n[steps.b]\npython = "m:f"\ninputs = { x = "laod" }\n',
            "no step 'laod'",
            "'load'",
        ),
        (TWO.replace("a.right", "a.rihgt"), "'a' returns no 'rihgt'", "'right'"),
        ('[steps.a]\npython = "m:f"\nneeds = ["b"]\n', "no step 'b'", ""),
        ('[steps.a]\npython = "nofunction"\n', "names no function", "module:function"),
        ('[steps.a]\npython = "m:f"\ninputs = { x = "data:/Nope!" }\n', "is not a reference", ""),
    ],
)
def test_a_mistake_is_told_with_file_line_key_and_the_nearest_name(make_project, toml, says, hint):
    with pytest.raises(ConfigError, match=says) as caught:
        graph_of(make_project, toml)
    assert caught.value.line
    assert caught.value.key.startswith("steps.")
    assert "mlopsfw.toml:" in str(caught.value)
    assert hint in caught.value.hint
    assert caught.value.exit_code == 2


def test_a_cycle_is_told_step_by_step(make_project):
    toml = "".join(f'[steps.{a}]\npython = "m:f"\ninputs = {{ x = "{b}" }}\n' for a, b in ("ab", "bc", "ca"))
    with pytest.raises(ConfigError, match=r"wait for each other: . → . → . → ."):
        graph_of(make_project, toml)


def test_a_step_that_needs_itself_is_a_cycle(make_project):
    with pytest.raises(ConfigError, match="a → a"):
        graph_of(make_project, '[steps.a]\npython = "m:f"\ninputs = { x = "a" }\n')


def test_a_part_of_the_graph_holds_what_leads_to_it_and_no_more(make_project):
    toml = TWO + '[steps.c]\npython = "m:f"\ninputs = { x = "b" }\n[steps.d]\npython = "m:f"\n'
    graph = graph_of(make_project, toml)
    assert list(graph.up_to(["b"]).nodes) == ["a", "b"]
    with pytest.raises(UnknownName, match="no step 'e'"):
        graph.up_to(["e"])


class OneStep:
    """A catalogue of one step of its own."""

    def select(self, config, name):
        if config.steps[name].use != "clean":
            raise config.error("no such step", f"steps.{name}.use")
        return Step(run=lambda context: {"tidy": 1}, outputs=("tidy",)), None


def test_the_catalogue_decides_which_steps_can_be_selected(make_project):
    config = make_project('[steps.a]\nuse = "clean"\n').config
    assert build_graph(config, OneStep(), ()).nodes["a"].outputs == ("tidy",)
    with pytest.raises(ConfigError, match="no such step"):
        build_graph(make_project('[steps.a]\nuse = "join"\n').config, OneStep(), ())
