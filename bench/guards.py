"""What each guard against forgetting does to the general preferences: `python bench/guards.py CELLS…` writes results/study/guards.json.

Each of CELLS is the folder of a study that was run (`custom-rm study dsp-full --out CELLS`). Joint heads without a guard, with imitation, with replay, and with a way back are
compared with the general model of the same seeds, on the same pairs; `custom-rm train` reads these figures where a recipe switches a guard off, and says so. A
strategy is taken from the first folder that has it, and compared with the general model there, since figures of two devices are not the same to the last pair.
Rows whose strategy is in none of the folders stay as the file has them.
"""
import argparse
import json
from datetime import date
from pathlib import Path

root = Path(__file__).resolve().parent.parent
WAYS = {  # strategy of studies/dsp-full.yaml or dsp.yaml → the guards that are off; the package tells the first row that has the same ones off
    "joint, no guard": ["custom.replay", "custom.blend"], "imitation in custom": ["custom.replay", "custom.blend"],
    "joint quarter 1 1.0": ["custom.blend"], "joint quarter 1 0.75": [], "joint quarter 10 1.0": ["custom.blend"], "joint quarter 10 0.75": [],
    "joint 1.0": ["custom.replay", "custom.blend"], "joint 0.75": ["custom.replay"], "joint 0.5": ["custom.replay"], "joint replay 1.0": ["custom.blend"],
    "joint replay 0.75": [], "joint replay 0.5": [], "joint replay 0.25": []}


def cells_of(folder: Path) -> dict[str, list[dict]]:
    "Strategy → its finished cells"
    found = {}
    for path in sorted((folder / "cells").glob("*.json")):
        cell = json.loads(path.read_text(encoding="utf-8"))
        if "test" in cell: found.setdefault(cell["strategy"], []).append(cell)
    return found


def shared(a: list[dict], b: list[dict]) -> tuple[list[dict], list[dict]]:
    "The cells of two strategies of the seeds and domains that both have"
    key = lambda cell: (cell["domain"], cell["seed"])
    both = {key(c) for c in a} & {key(c) for c in b}
    return tuple([c for c in cells if key(c) in both] for cells in (a, b))


def row(strategy: str, cells: dict[str, list[dict]], questions: dict, part: str) -> dict:
    "A strategy against the general model, over the seeds and domains that both have"
    from custom_rm.summary import accuracy_point, is_general_set, paired, strategy_point
    own, general = shared(cells[strategy], cells["general"])
    point, before = (strategy_point(some, questions, part) for some in (own, general))
    def by_domain(some): return {d: accuracy_point([c for c in some if c["domain"] == d], questions, part=part) for d in dict.fromkeys(c["domain"] for c in some)}
    return dict(strategy=strategy, off=WAYS[strategy], seeds=sorted({c["seed"] for c in own}), devices=sorted({c["device"] for c in own}), date=max(c["date"] for c in own), domain=point["domain"],
                general=point["general"], domains=by_domain(own), general_model=before | dict(domains=by_domain(general)), change=paired(own, general, questions, is_general_set, part))


def pooled(floors: dict, sets) -> dict[str, float]:
    "Each floor's accuracy over the pairs of all general sets together"
    return {name: sum(of[s]["accuracy"] * of[s]["n"] for s in sets) / sum(of[s]["n"] for s in sets) for name, of in floors.items()}


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("cells", nargs="+", type=Path)
    p.add_argument("--study", default=str(root / "custom_rm" / "studies" / "dsp-full.yaml"))
    p.add_argument("--out", type=Path, default=root / "results" / "study" / "guards.json")
    a = p.parse_args()
    from custom_rm.core import versions
    from custom_rm.evaluate import write_report
    from custom_rm.study import read_study, study_floors
    from custom_rm.summary import study_questions
    study, rows = read_study(a.study), {}
    before = json.loads(a.out.read_text(encoding="utf-8")) if a.out.exists() else dict(rows=[])
    kept = {row["strategy"]: dict(date=before["date"]) | row for row in before["rows"]}
    for folder in a.cells:
        cells, questions = cells_of(folder), study_questions(study, folder)
        for strategy in WAYS:
            if strategy in cells and "general" in cells and strategy not in rows:
                rows[strategy] = dict(test=row(strategy, cells, questions, "test"), validation=row(strategy, cells, questions, "validation"))
    made = {s: row["test"] | dict(validation={key: row["validation"][key] for key in ("domain", "general", "change")}) for s, row in rows.items()}
    found = [(kept | made)[s] for s in WAYS if s in kept | made]
    for r in found: print(r["strategy"], r["seeds"], round(r["domain"]["accuracy"], 4), {k: round(v, 4) for k, v in r["change"].items()})
    measured = study_floors(study, a.cells[-1])
    floors = {name: {d: figures["accuracy"] for d, figures in sets.items()} for name, sets in measured.items()}
    write_report(a.out, dict(base=study.recipe["base"]["name"], rows=found, floors=floors, general_floors=pooled(measured, study.recipe["general"]["test"]),
                             versions=versions(), date=str(date.today())))


if __name__ == "__main__": main()
