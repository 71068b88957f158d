"""How autologging learns what torch and scikit-learn do: hooks that are there while a run is watched, and undone after it.

Neither library is imported here. One that is imported later, in the run, is hooked then.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from types import ModuleType

    from mlopsfw.pipeline.run.autolog.estimators import Estimators
    from mlopsfw.pipeline.run.autolog.optimizers import Optimizers

_FITS = frozenset({"fit", "fit_predict", "fit_transform"})


class Watch(Protocol):
    """The run that is watched."""

    optimizers: Optimizers
    estimators: Estimators

    def failed(self, error: Exception) -> None:
        """Take an error of autologging itself."""
        ...


Watched = Callable[[], Watch | None]


class _Patch:
    """An attribute that has another value for a while."""

    def __init__(self, owner: Any, name: str, value: Any) -> None:
        self._owner, self._name, self._value = owner, name, value
        self._own = name in vars(owner)
        self._before = vars(owner).get(name)
        setattr(owner, name, value)

    def undo(self) -> None:
        """Give the attribute its value back, unless somebody has changed it since."""
        if vars(self._owner).get(self._name) is self._value:
            setattr(self._owner, self._name, self._before) if self._own else delattr(self._owner, self._name)


class Hooks:
    """The hooks of this process.

    Args:
        watched: Returns the run that this thread's work belongs to.
    """

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._undo: dict[str, list[Callable[[], None]]] = {}
        self._finder = _Finder(self.place)

    def place(self) -> None:
        """Hook what is imported by now, once."""
        if self._finder not in sys.meta_path:
            sys.meta_path.insert(0, self._finder)
        for name, needs, hook in (
            ("torch", ("torch.optim.optimizer", "torch.amp.grad_scaler", "torch.nn.utils"), _hook_torch),
            ("sklearn", ("sklearn.base",), _hook_estimators),
        ):
            modules = [sys.modules.get(each) for each in needs]
            if name not in self._undo and all(module is not None and _is_whole(module) for module in modules):
                self._undo[name] = hook(self._watched)

    def remove(self) -> None:
        """Undo every hook."""
        if self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)
        while self._undo:
            for undo in reversed(self._undo.popitem()[1]):
                undo()


def _is_whole(module: ModuleType) -> bool:
    """Return whether a module was imported to its end."""
    return not getattr(module.__spec__, "_initializing", False)


class _Finder(MetaPathFinder):
    """Finds nothing. It is asked at each import, and hooks what has been imported meanwhile."""

    def __init__(self, place: Callable[[], None]) -> None:
        self._place = place

    def find_spec(self, *_: object, **__: object) -> None:
        """Return nothing."""
        self._place()


def _hook_torch(watched: Watched) -> list[Callable[[], None]]:
    """Hook the steps of all optimizers, and the losses: an optimizer knows none, and backward() is where they are."""
    torch = sys.modules["torch"]
    backward, scale = torch.autograd.backward, torch.amp.GradScaler.scale

    def stepped(optimizer: Any, args: Any, kwargs: Any) -> None:
        _safely(watched, lambda watch: watch.optimizers.stepped(optimizer, args, kwargs))

    @functools.wraps(backward)
    def noted(tensors: Any, *args: Any, **kwargs: Any) -> Any:
        _safely(watched, lambda watch: watch.optimizers.backward(tensors))
        return backward(tensors, *args, **kwargs)

    @functools.wraps(scale)
    def scaled(self: Any, outputs: Any) -> Any:
        larger = scale(self, outputs)
        if isinstance(outputs, torch.Tensor):
            _safely(watched, lambda watch: watch.optimizers.scaled(outputs, larger))
        return larger

    handle = sys.modules["torch.optim.optimizer"].register_optimizer_step_post_hook(stepped)
    patches = (_Patch(torch.autograd, "backward", noted), _Patch(torch.amp.GradScaler, "scale", scaled))
    return [handle.remove, *(patch.undo for patch in patches)]


def _hook_estimators(watched: Watched) -> list[Callable[[], None]]:
    """Hook the attribute `fit` of every estimator, those of classes that come later too."""
    base = sys.modules["sklearn.base"].BaseEstimator
    look_up = base.__getattribute__

    def __getattribute__(self: Any, name: str) -> Any:  # noqa: N807 - its name in a traceback
        value = look_up(self, name)
        return _Fit(value, self, watched) if name in _FITS and watched() is not None else value

    return [_Patch(base, "__getattribute__", __getattribute__).undo]


class _Fit:
    """A method `fit` whose calls are logged. It is pickled and inspected as the method itself."""

    def __init__(self, method: Any, estimator: Any, watched: Watched) -> None:
        functools.update_wrapper(self, method)
        self.__self__, self._watched = estimator, watched

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        watch = self._watched()
        if watch is None or not watch.estimators.logs(self.__self__):
            return self.__wrapped__(*args, **kwargs)
        with watch.estimators.fitting():
            began = time.perf_counter()
            result = self.__wrapped__(*args, **kwargs)
            seconds = time.perf_counter() - began
        data = (*args, *(kwargs[name] for name in ("X", "y")[len(args) :] if name in kwargs))
        _safely(self._watched, lambda watch: watch.estimators.fitted(self.__self__, data, seconds))
        return result

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self.__self__, self.__name__)

    def __getattr__(self, name: str) -> Any:
        return getattr(vars(self)["__wrapped__"], name)


def _safely(watched: Watched, act: Callable[[Watch], None]) -> None:
    """Let the watched run look at something. An error is noted: what is watched goes on."""
    if (watch := watched()) is not None:
        try:
            act(watch)
        except Exception as error:  # noqa: BLE001 - the user's code has not failed
            watch.failed(error)
