"""One run, or two beside each other, as an HTML page: curves of the metrics, and tables of metrics, parameters and results."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlopsfw.pages import escape, framed
from mlopsfw.pages.values import number_text
from mlopsfw.pipeline.run.record import artifacts_of, results_of
from mlopsfw.pipeline.run.system import PREFIX
from mlopsfw.pipeline.values.figures import SHOWN

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.artifact import Artifact
    from mlopsfw.pipeline.run.metrics import Metric
    from mlopsfw.pipeline.run.record import RunView

Point = tuple[float, float]
Curves = dict[str, list[Point]]

_WIDTH, _HEIGHT, _TOP, _BASE, _LEFT, _RIGHT = 320, 150, 10, 118, 58, 312
_LARGEST = 1e300  # of a value that is drawn: the span of two larger ones would be infinite
_MOST_IMAGES, _LARGEST_IMAGE = 20, 1 << 20
_MOST_POINTS = 400  # of a curve: more than the drawing has pixels
_FOOTER = "A curve has the values that were logged with a step. Values beyond 1e300 and values that are no numbers are left out of the drawing."


def run_page(
    runs: Sequence[tuple[RunView, Sequence[Metric]]],
    load: Callable[[str], bytes] | None = None,
    *,
    reload: int = 0,
) -> str:
    """Return the page.

    Args:
        runs: One run or two, each with every number that it logged.
        load: Returns the bytes of a blob, for the images that the runs logged; None for a page without them.
        reload: Seconds after which a browser reads the file again; 0 for never.
    """
    views = [view for view, _ in runs]
    curves = [curves_of(metrics) for _, metrics in runs]
    drawn = drawn_curves(curves)
    images = "".join(_images(view, load, many=len(views) > 1) for view in views) if load else ""
    return framed(
        "mlopsfw.pipeline.run",
        " and ".join(map(_title, views)),
        _FOOTER,
        images=bool(images),
        reload=reload,
        facts="".join(f"<p>{escape(_facts(view))}</p>" for view in views),
        key="".join(_key(number, view) for number, view in enumerate(views)),
        curves=drawn or "<p>No metric was logged with more than one step.</p>",
        pictures=f'<h2>Images</h2><div class="plots">{images}</div>' if images else "",
        tables="".join(
            (
                _table("metric", views, [view.metrics for view in views]),
                _table("parameter", views, [view.params for view in views]),
                _table("result", views, [results_of(view) for view in views]),
            )
        ),
    )


def drawn_curves(curves: Sequence[Curves]) -> str:
    """Return a figure for each metric of which some run has two points or more, those of the machine last."""
    names = dict.fromkeys(name for each in curves for name, points in each.items() if len(points) > 1)
    ordered = sorted(names, key=lambda name: PREFIX in name)
    return "".join(_figure(name, [each.get(name, []) for each in curves]) for name in ordered)


def _images(view: RunView, load: Callable[[str], bytes], *, many: bool) -> str:
    """Return a figure for each image among the results, up to 20 of at most 1 MiB each: a page is one file."""
    kept = {name: artifact for name, artifact in artifacts_of(view).items() if _media_type(artifact)}
    small = [(name, each) for name, each in kept.items() if each.meta.get("bytes", 0) <= _LARGEST_IMAGE]
    return "".join(
        f"<figure><figcaption>{escape(f'{name} of {view.id}' if many else name)}</figcaption>"
        f'<img alt="{escape(name)}" src="data:{_media_type(each)};base64,{b64encode(load(each.blob)).decode()}"></figure>'
        for name, each in small[:_MOST_IMAGES]
    )


def _media_type(artifact: Artifact) -> str:
    name = str(artifact.meta.get("name", "")) if artifact.kind == "file" else ""
    return SHOWN.get(f".{name.rpartition('.')[2].lower()}", "")


def curves_of(metrics: Sequence[Metric]) -> Curves:
    """Return the points of each metric that was logged with steps, by `step.metric`, in the order of the steps; of one step the last value."""
    curves: dict[str, dict[float, float]] = {}
    for metric in metrics:
        if metric.step is not None and abs(metric.number) <= _LARGEST:
            name = f"{metric.source}.{metric.name}" if metric.source else metric.name
            curves.setdefault(name, {})[metric.step] = metric.number
    return {name: sorted(points.items()) for name, points in curves.items()}


def _title(view: RunView) -> str:
    """Return what a reader knows a run by: its name, the steps if only some were asked for, its time, and its id."""
    name = ": ".join(filter(None, (view.pipeline or "Run", ", ".join(view.facts.only))))
    return " ".join(filter(None, (name, view.started[:16].replace("T", " "), f"({view.id})")))


def _facts(view: RunView) -> str:
    seconds = f"{view.seconds:.2f} s" if view.finished else ""
    return " · ".join(filter(None, (view.id, view.pipeline, view.status, view.started[:19], seconds, *view.notes)))


def _key(number: int, view: RunView) -> str:
    line = f'<svg viewBox="0 0 24 7" aria-hidden="true"><path class="run{number}" d="M0 3.5H24"/></svg>'
    return f"{line}{escape(view.id)}"


def _figure(name: str, curves: Sequence[Sequence[Point]]) -> str:
    every = [point for curve in curves for point in curve]
    (left, right), (low, high) = (_bounds([point[axis] for point in every]) for axis in (0, 1))

    def place(point: Point) -> str:
        x = _LEFT + (_RIGHT - _LEFT) * (point[0] - left) / (right - left)
        return f"{x:.1f} {_BASE - (_BASE - _TOP) * (point[1] - low) / (high - low):.1f}"

    paths = "".join(
        f'<path class="run{number}" d="M{"L".join(map(place, _thinned(curve)))}"/>'
        for number, curve in enumerate(curves)
        if curve
    )
    unit = "second" if PREFIX in name else "step"
    title = f"{name} from {unit} {left:g} to {right:g}"
    return (
        f"<figure><figcaption>{escape(name)}</figcaption>"
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">'
        f'<line class="axis" x1="{_LEFT}" y1="{_BASE}" x2="{_RIGHT}" y2="{_BASE}"/>{paths}'
        f"{_legends((left, right), (low, high), unit)}</svg></figure>"
    )


def _bounds(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    pad = 0.0 if high > low else abs(low) * 0.1 or 0.5
    return low - pad, high + pad


def _thinned(curve: Sequence[Point]) -> Sequence[Point]:
    """Return at most about 400 points, evenly chosen, the last one among them."""
    every = -(-len(curve) // _MOST_POINTS)
    return [*curve[:-1:every], curve[-1]]


def _legends(steps: Point, values: Point, unit: str) -> str:
    below = ((_LEFT, "start", steps[0]), (_RIGHT, "end", steps[1]))
    beside = ((_TOP, values[1]), ((_TOP + _BASE) / 2, sum(values) / 2), (_BASE, values[0]))
    texts = [
        f'<text x="{x}" y="{_BASE + 18}" text-anchor="{anchor}">{unit} {step:g}</text>' for x, anchor, step in below
    ]
    texts += [f'<text x="{_LEFT - 5}" y="{y + 4:g}" text-anchor="end">{value:.3g}</text>' for y, value in beside]
    return "".join(texts)


def _table(word: str, views: Sequence[RunView], columns: Sequence[Mapping[str, Any]]) -> str:
    names = dict.fromkeys(name for column in columns for name in column)
    if not names:
        return ""
    heads = "".join(f'<th scope="col">{escape(view.id)}' for view in views)
    lines = "".join(
        f'<tr><th scope="row">{escape(name)}{"".join(f"<td>{escape(_text(column.get(name)))}" for column in columns)}</tr>'
        for name in names
    )
    head = f'<tr><th scope="col">{word}{heads}</tr>'
    return f'<h2>{word.capitalize()}s</h2><div class="scroll"><table><thead>{head}</thead><tbody>{lines}</tbody></table></div>'


def _text(value: object) -> str:
    return "–" if value is None else number_text(value, 6) if isinstance(value, float) else str(value)
