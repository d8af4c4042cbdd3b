"""Optimizer and schedule of a resumed run: changed settings take effect, all else goes on as it was."""

import copy
import logging
from collections.abc import Mapping
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

log = logging.getLogger(__name__)
KEY = "recipe"
# Checkpoints written before there was a choice.
FIRST_KINDS = ["Adam", "LambdaLR"]


def settings_of(
    optimizer: torch.optim.Optimizer, schedule: LRScheduler | None, interval: str = "epoch"
) -> dict[str, Any]:
    """What both are made from, as far as their states show it before any step, and what the schedule counts."""
    groups = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    settings = {
        "kinds": [type(optimizer).__name__, type(schedule).__name__],
        "groups": groups,
        "schedule": {} if schedule is None else schedule.state_dict(),
        "interval": interval,
    }
    return copy.deepcopy(settings)


def forget_other_kinds(checkpoint: dict[str, Any], now: Mapping[str, Any]) -> None:
    """Take the states of another optimizer or schedule than today's out of a checkpoint: those begin anew."""
    before = checkpoint.get(KEY, {"kinds": FIRST_KINDS})["kinds"]
    for states, old, new in zip(("optimizer_states", "lr_schedulers"), before, now["kinds"], strict=True):
        if old != new:
            checkpoint[states] = []
            log.info("%s begins anew in place of %s", new, old)


def apply_changes(
    optimizer: torch.optim.Optimizer,
    schedule: LRScheduler | None,
    now: Mapping[str, Any],
    before: Mapping[str, Any] | None,
    done: int,
) -> None:
    """Let settings that differ from those of the resumed session take effect on the restored optimizer and schedule.

    ``now`` is :func:`settings_of` this session, ``before`` that of the session that saved the checkpoint, if it kept
    it; ``done`` counts epochs or steps, whatever the schedule counts.
    """
    groups = optimizer.param_groups
    if before is None:
        kept = [{**group, "lr": group["initial_lr"]} for group in groups]
        before = {"kinds": FIRST_KINDS, "groups": kept, "schedule": now["schedule"]}
    same_optimizer, same_schedule = (old == new for old, new in zip(before["kinds"], now["kinds"], strict=True))
    changed = not (same_optimizer and same_schedule)
    if same_optimizer:
        for group, new, old in zip(groups, now["groups"], before["groups"], strict=True):
            group.update({key: value for key, value in new.items() if key != "lr" and value != old.get(key)})
            if new["initial_lr"] != old["initial_lr"]:
                group["lr"] *= new["initial_lr"] / old["initial_lr"]
                changed = True
    if schedule is None:
        return
    if same_schedule:
        for key, value in now["schedule"].items():
            if key not in ("_last_lr", "lr_lambdas") and value != before["schedule"].get(key, ...):
                setattr(schedule, key, value)
                changed = True
    if not same_schedule or before.get("interval", "epoch") != now["interval"]:
        schedule.last_epoch = done
        changed = True
    if isinstance(schedule, LambdaLR):
        # What its functions are made of is in no state.
        schedule.base_lrs = [group["initial_lr"] for group in now["groups"]]
        factors = [factor(schedule.last_epoch) for factor in schedule.lr_lambdas]
        rates = [base * factor for base, factor in zip(schedule.base_lrs, factors, strict=True)]
    elif changed and hasattr(schedule, "_get_closed_form_lr"):
        rates = schedule._get_closed_form_lr()
    else:
        return
    for group, rate in zip(groups, rates, strict=True):
        group["lr"] = rate
