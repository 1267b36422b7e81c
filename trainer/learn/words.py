"""What `fit` says about a run before it trains: where it is, and what is left of it."""

from __future__ import annotations

from collections.abc import Mapping

from daemon.core.counts import counted
from trainer.recipes.stages import kind_of
from trainer.recipes.values import Recipe
from trainer.runs import Run


def duration(seconds: float) -> str:
    """A time span in words, to about two digits: 40 s, 12 min, 3 h 20 min, 2 days."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min" if minutes < 600 else f"{round(minutes / 60)} h"
    return f"{round(minutes / 1440)} days"


def where(run: Run, recipe: Recipe) -> str:
    """Whether the run begins or goes on: from which stage and step, since when, and how much is left. Raises RunError."""
    state = run.state()
    count = len(recipe.stages)
    if state is None:
        kinds = ", then ".join(kind_of(stage) for stage in recipe.stages)
        return f"{run.folder}: begins with {counted(count, 'stage')}, {kinds}"
    settings = recipe.stages[state.stage]
    epoch = next((float(line["epoch"]) for line in reversed(run.history()) if "epoch" in line), 0.0)
    done = state.step / settings.steps if settings.steps else epoch / max(settings.epochs, 1e-9)
    left = f"about {duration(state.elapsed_s * (1 - done) / done)} of it left" if 0 < done <= 1 else "its time left is not known yet"
    further = counted(count - state.stage - 1, "further stage")
    return (
        f"{run.folder}: goes on with {kind_of(settings)} (stage {state.stage + 1} of {count}) at step {state.step:,}, "
        f"from a checkpoint {duration(run.checkpoint_age_s())} old; {left}, then {further}"
    )


def differences(old: Mapping[str, object], new: Mapping[str, object]) -> list[str]:
    """The keys of two recipes that differ, one line each: what the old one has, and the new one."""
    keys = dict.fromkeys([*old, *new])
    return [f"{key}: {_shown(old.get(key))} there, {_shown(new.get(key))} now" for key in keys if old.get(key) != new.get(key)]


def _shown(value: object) -> str:
    return "not set" if value is None else str(value)
