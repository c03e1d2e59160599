"""What the paper's imitation keeps, beside replay and the way back: `python bench/imitation.py CELLS` writes results/study/imitation.json.

CELLS is the folder of `custom-rm study dsp-imitation --out CELLS`. The file is the study's summary and, for each strategy, its difference to the same training
without it, on the same pairs and seeds with whole questions resampled: `changes`. `general` there compares with the general model that the strategy started from.
With `--study dsp-head-rate` and that study's cells: what a faster head brings, results/study/head-rate.json. With `--study dsp-full`: imitation, replay and
the way back with all general data, results/study/summary.json.
"""
import argparse
from pathlib import Path

from guards import shared

root = Path(__file__).resolve().parent.parent
STUDIES = {"dsp-imitation": "imitation", "dsp-head-rate": "head-rate", "dsp-full": "summary"}  # a study → its file
CONTROLS = {  # strategy of one of them → what it differs from in one thing
    "general with imitation": "general", "imitation in general": "joint 1.0", "imitation in custom 0.1": "joint 1.0", "imitation in custom 1.0": "joint 1.0",
    "imitation in both stages": "joint 1.0", "joint replay 1.0": "joint 1.0", "joint replay 0.75": "joint 0.75", "joint 0.75": "joint 1.0",
    "one head": "general", "one head, joint replay 1.0": "joint replay 1.0", "one head, joint replay 0.75": "joint replay 0.75",
    "experts": "one head", "experts, joint replay 1.0": "one head, joint replay 1.0", "experts, joint replay 0.75": "one head, joint replay 0.75",
    "joint 10": "joint 1", "joint, faster 3": "joint 1", "joint, faster 30": "joint 1", "joint replay 10 1.0": "joint replay 1 1.0", "joint replay 10 0.75": "joint replay 1 0.75",
    "joint quarter 1 1.0": "joint, no guard", "joint quarter 1 0.75": "joint quarter 1 1.0", "joint quarter 10 1.0": "joint quarter 1 1.0",
    "joint quarter 10 0.75": "joint quarter 10 1.0", "imitation in custom": "joint, no guard",
    "one head, joint 1": "joint 1", "one head, joint 10": "one head, joint 1", "experts, joint": "one head, joint 10", "general, faster": "general", "joint, imitation": "joint 10"}
GUARDS = {"joint replay 10 1.0": "joint 10", "joint replay 10 0.75": "joint 10", "joint, imitation": "joint 10"} # and the same training without a guard
TAUGHT_BY = {"imitation in general": "general with imitation", "imitation in both stages": "general with imitation", "experts, joint replay 1.0": "experts",
             "experts, joint replay 0.75": "experts", "one head, joint replay 1.0": "one head", "one head, joint replay 0.75": "one head",
             "one head, joint 1": "one head", "one head, joint 10": "one head", "experts, joint": "experts", "joint, imitation": "general with imitation"}  # the others start from `general`


def cells_of(study, folder: Path) -> dict[str, list[dict]]:
    "Strategy → its finished cells, as the study would still measure them"
    from custom_rm.summary import read_cells
    found = {}
    for cell in read_cells(study, folder):
        if "test" in cell: found.setdefault(cell["strategy"], []).append(cell)
    return found


def difference(a: list[dict], b: list[dict], questions: dict, wanted, part: str) -> dict | None:
    "a − b over the seeds and domains that both have"
    from custom_rm.summary import paired
    a, b = shared(a, b)
    return paired(a, b, questions, wanted, part) | dict(seeds=sorted({cell["seed"] for cell in a})) if a else None


def changes(cells: dict, questions: dict, part: str) -> dict:
    "Strategy → its control; own and general: against the control; lost: against the general model that it started from; guard: against the training without it"
    from custom_rm.summary import is_general_set, is_own_set
    made = {}
    for strategy in cells:
        control, start = CONTROLS.get(strategy), TAUGHT_BY.get(strategy, "general")
        row = {}
        if control in cells: row = dict(control=control, own=difference(cells[strategy], cells[control], questions, is_own_set, part),
                                        general=difference(cells[strategy], cells[control], questions, is_general_set, part))
        if strategy != start and start in cells and cells[strategy][0]["measure"] == "custom":
            row |= dict(start=start, lost=difference(cells[strategy], cells[start], questions, is_general_set, part))
        if (without := GUARDS.get(strategy)) in cells: row["guard"] = dict(control=without, own=difference(cells[strategy], cells[without], questions, is_own_set, part),
                                                                           general=difference(cells[strategy], cells[without], questions, is_general_set, part))
        if row: made[strategy] = row
    return made


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("cells", type=Path)
    p.add_argument("--study", choices=list(STUDIES), default="dsp-imitation")
    p.add_argument("--out", type=Path, default=None)
    a = p.parse_args()
    from custom_rm.evaluate import write_report
    from custom_rm.study import read_study
    from custom_rm.summary import study_questions, study_table, summarize
    study = read_study(root / "custom_rm" / "studies" / f"{a.study}.yaml")
    out = a.out or root / "results" / "study" / f"{STUDIES[a.study]}.json"
    summary, cells, questions = summarize(study, a.cells), cells_of(study, a.cells), study_questions(study, a.cells)
    hours = sum(c["seconds"] for some in cells.values() for c in some) / 3600
    made = summary | dict(changes={part: changes(cells, questions, part) for part in ("test", "validation")}, hours=round(hours, 2),
                          size=dict(general_rows=study.recipe["general"].get("rows"), questions=study.recipe["custom"].get("rows"), epochs=study.recipe["custom"]["epochs"]))
    write_report(out, made)
    print(study_table(summary))
    show = lambda d: "–" if d is None else f"{100 * d['difference']:+.1f} ({100 * d['low']:+.1f} to {100 * d['high']:+.1f}), seeds {d['seeds']}"
    for strategy, row in made["changes"]["test"].items():
        print(f"{strategy:26}", *(f"{key}: {show(row[key])}" for key in ("own", "general", "lost") if key in row), sep="  ")
        if "guard" in row: print(f"{'':26}", f"beside {row['guard']['control']}: own {show(row['guard']['own'])}  general {show(row['guard']['general'])}")
    print(f"{hours:.1f} hours")


if __name__ == "__main__": main()
