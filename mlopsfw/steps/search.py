"""The search of a `train` step: trials side by side as children of the step, the winner trained on all rows, and how optimistic that was."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from mlopsfw.pipeline.run.child import GIVEN
from mlopsfw.pipeline.values.likeness import TIMINGS
from mlopsfw.steps.quiet import Pruned, QuietContext
from mlopsfw.steps.search_checks import space_of
from mlopsfw.steps.trial import run_trial, work_of
from mlopsfw.training.asked import check_asked
from mlopsfw.training.search.space import Proposal

if TYPE_CHECKING:
    from mlopsfw.kernel.roles.artifact import Artifact
    from mlopsfw.kernel.roles.training import Trainer
    from mlopsfw.models.bundle import BundleStore
    from mlopsfw.models.metrics import MetricSet
    from mlopsfw.pipeline.graph.parts import TrainerOptions, Trainers
    from mlopsfw.pipeline.graph.step import StepContext
    from mlopsfw.pipeline.run.children import Children
    from mlopsfw.privacy.marks import Privacy
    from mlopsfw.steps.origins import ColumnOrigins
    from mlopsfw.steps.training_params import FitParams
    from mlopsfw.steps.trial import Work
    from mlopsfw.training.search.settings import Tune
    from mlopsfw.training.search.space import Space
    from mlopsfw.training.search.study import Study
    from mlopsfw.training.search.trials import Trial


def search(
    params: FitParams,
    tune: Tune,
    context: StepContext,
    *,
    trainers: Trainers,
    trainer_options: TrainerOptions,
    bundles: BundleStore,
    metrics: MetricSet,
    privacy: Privacy,
    origins: ColumnOrigins,
    children: Callable[[StepContext], Children],
) -> Mapping[str, Any]:
    """Search, and train the winner; or, as a child of the search, make one trial."""
    from mlopsfw.steps.stored_model import stored_model

    work = work_of(params, tune, context, metrics, privacy)
    if GIVEN in context.inputs:
        return {"model": None, "search": run_trial(work, context, trainers=trainers, bundles=bundles)}
    began = time.monotonic()
    space = space_of(params, tune, trainer_options)
    _check(work, space, trainers)
    if tune.features:
        from mlopsfw.steps.selection import choose_sets

        first = trainers(next(iter(space.trainers)))
        space = space._replace(features=choose_sets(work, context, trainer=first, bundles=bundles))
    trials, best, study, ends = _searched(work, space, context, children(context), began)
    proposal = Proposal.of(best.params)
    trainer, task = trainers(proposal.trainer, proposal.options), work.winning_task(proposal)
    report = _report(work, trials, best, study)
    quiet = QuietContext(context, ends=ends)
    report["holdout"] = _holdout(work, proposal, quiet, trainer=trainer, bundles=bundles)
    _tell(context, work, report)
    note = _untried(report, space)
    if note:
        context.log(note)
    trained = trainer.fit(task, work.data, None, context)
    facts = {name: report[name] for name in ("metric", "best", "holdout", "counts")}
    trained = msgspec.structs.replace(trained, facts={**trained.facts, "search": facts})
    model = stored_model(trained, task, work.data, context, bundles=bundles, origins=origins)
    return {"model": model, "search": _noted(context, report, note)}


def _check(work: Work, space: Space, trainers: Trainers) -> None:
    """Raise for what would fail in each trial: a set of features that the rows lack, or a trainer that would ignore what is asked for."""
    task = msgspec.structs.replace(work.subject.task, quantiles=work.quantiles)  # which trials may be made without
    derived = [each.name for each in task.derived]
    work.subject.frame([name for name in space.columns() if name not in derived])
    if task.weight or task.derived or task.quantiles:  # else no trainer is imported here
        for name in space.trainers:
            check_asked(trainers(name), name, task, validates=False)


def _searched(
    work: Work, space: Space, context: StepContext, children: Children, began: float
) -> tuple[list[Trial], Trial, Study, float]:
    """Return the trials, the best one, what proposed them, and when the training that judges the winner must be over."""
    from mlopsfw.steps.trial_loop import TrialLoop
    from mlopsfw.training.search.study import Study

    study = Study(
        space,
        work.tune,
        maximize=[work.maximizes(name) for name in work.objectives],
        seed=work.subject.task.seed,
        folds=len(work.folds),
    )
    try:
        loop = TrialLoop(work, study, space, children, context)
        trials = loop.run(began)
    finally:
        children.close()
    best = loop.best()
    return trials, best, study, loop.holdout_ends(best)


def _report(work: Work, trials: list[Trial], best: Trial, study: Study) -> dict[str, Any]:
    """Return the report. A search that is made again has an equal one: it does not say what came from the cache, nor how long it took."""
    shown = [msgspec.structs.replace(trial, status=trial.status.replace("cached", "done")) for trial in trials]
    counts = Counter(trial.status for trial in shown)
    return {
        "metric": work.metric,
        "by": work.by.order(work.subject.task),
        "rows": len(work.seen),
        "counts": dict(counts),
        "best": {"number": best.number, "value": best.value, "params": best.params},
        "importances": study.importances(),
        **({"front": study.front()} if work.tune.also else {}),
        "trials": [
            {name: value for name, value in msgspec.to_builtins(trial).items() if name != "seconds"} for trial in shown
        ],
    }


def _holdout(
    work: Work, proposal: Proposal, context: QuietContext, *, trainer: Trainer, bundles: BundleStore
) -> dict[str, Any] | None:
    """Score the winner, trained on the rows that the search saw, on those that it did not see; None without such rows, or time for them."""
    from mlopsfw.training.crossfit import fit_rows, judged_by

    if not len(work.unseen):
        return None
    subject = work.with_features(proposal)
    try:
        model = fit_rows(subject, work.seen, "holdout", trainer=trainer, bundles=bundles, context=context)
    except Pruned:
        return None
    values = judged_by(subject, model, work.unseen).mean(work.metrics, subject.task.task)
    return {"rows": len(work.unseen), "value": values.get(work.metric), "metrics": values}


def _tell(context: StepContext, work: Work, report: Mapping[str, Any]) -> None:
    best, holdout = report["best"], report["holdout"]
    counts = ", ".join(f"{count} {status}" for status, count in report["counts"].items())
    context.log(f"{sum(report['counts'].values())} trials: {counts}")
    context.log(
        f"best: trial {best['number']}, {', '.join(f'{name} = {value}' for name, value in best['params'].items())}"
    )
    context.log_metric(f"search_{work.metric}", best["value"])
    for trainer, shares in report["importances"].items():
        options = ", ".join(f"{name.partition('.')[2]} {share:.0%}" for name, share in shares.items())
        context.log(f"what counts for {trainer}: {options}")
    if "front" in report:
        context.log(f"trials that no other beats in {', '.join(work.objectives)}: {report['front']}")
    context.log(_optimism(work, report))
    if holdout and holdout["value"] is not None:
        context.log_metric(f"unseen_{work.metric}", holdout["value"])


def _optimism(work: Work, report: Mapping[str, Any]) -> str:
    """Return how the best of n trials fares on rows that none of them saw, in a sentence."""
    says = f"the search says {work.metric} {report['best']['value']:.4f}"
    holdout = report["holdout"]
    if not holdout or holdout["value"] is None:
        why = "no rows were held out"
        if holdout:
            why = f"{work.metric} is undefined on the rows held out"
        elif len(work.unseen):
            why = "there was no time to ask the rows held out"
        return f"{says}; the best of several is optimistic, and {why} to show by how much"
    return f"{says}, {holdout['rows']:,} rows that it did not see say {holdout['value']:.4f}"


def _untried(report: Mapping[str, Any], space: Space) -> str:
    """Return a note on trainers of which no trial came to a value or to a pruner's end; empty where there is none."""
    tried = {
        each["params"]["trainer"]
        for each in report["trials"]
        if each["value"] is not None or each["status"] == "pruned"
    }
    if not (left := [name for name in space.trainers if name not in tried]):
        return ""
    failed = [
        each["why"] for each in report["trials"] if each["status"] == "failed" and each["params"]["trainer"] in left
    ]
    why = (
        f"the first failed: {failed[0].partition(chr(10))[0]}"
        if failed
        else "give the search more minutes or trials to compare them"
    )
    return f"no trial of {', '.join(left)} has a value; {why}"


def _noted(context: StepContext, report: Mapping[str, Any], note: str) -> Artifact:
    """Store the report, with a note for the display if there is one. The time of scoring a row differs each time."""
    stored = context.values.store(report, "search")
    facts = {TIMINGS: ["trials.folds.row_ms"], **({"note": note} if note else {})}
    return msgspec.structs.replace(stored, meta={**stored.meta, **facts})
