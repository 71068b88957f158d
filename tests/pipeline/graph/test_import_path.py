"""Classes and functions that a file names by `module:name`."""

from __future__ import annotations

import pytest

from mlopsfw.kernel.base.errors import UsageError
from mlopsfw.roles import build_object, import_object

CODE = """
class Outer:
    class Inner:
        def __init__(self, rate): raise ValueError(rate)
"""


@pytest.fixture(autouse=True)
def modules(tmp_path, monkeypatch):
    (tmp_path / "acme_shapes.py").write_text(CODE)
    (tmp_path / "acme_needs.py").write_text("import acme_absent\n")
    (tmp_path / "acme_asks.py").write_text("raise ModuleNotFoundError('install acme')\n")
    monkeypatch.syspath_prepend(tmp_path)


def test_a_name_inside_a_class_is_found():
    assert import_object("acme_shapes:Outer.Inner", "python").__qualname__ == "Outer.Inner"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            "acme_shapes:Outer.Iner",
            "loss = 'acme_shapes:Outer.Iner': acme_shapes has no 'Iner'\n  Did you mean 'Inner'",
        ),
        ("acme_gone.x:f", "loss = 'acme_gone.x:f': there is no module 'acme_gone'\n  Correct the name, or install"),
        ("acme_needs:f", "there is no module 'acme_absent'\n  Correct the name, or install the package"),
        ("acme_shapes", "does not name a class or a function of a module"),
    ],
)
def test_what_is_not_there_is_an_error_with_the_key_and_what_to_do(target, message):
    with pytest.raises(UsageError) as caught:
        import_object(target, "loss")
    assert message in str(caught.value)


def test_the_words_of_the_module_itself_pass():
    with pytest.raises(ModuleNotFoundError, match="install acme"):
        import_object("acme_asks:f", "loss")


def test_arguments_that_it_does_not_take_are_refused_and_what_the_call_raises_has_a_note():
    with pytest.raises(UsageError, match="does not take the params ratio"):
        build_object("acme_shapes:Outer.Inner", "module", {"ratio": 1})
    with pytest.raises(ValueError, match="1") as caught:
        build_object("acme_shapes:Outer.Inner", "module", {"rate": 1})
    assert caught.value.__notes__ == ["raised by module = 'acme_shapes:Outer.Inner'"]
