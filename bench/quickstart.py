"""How the quickstart's customized stage was chosen, on questions kept apart from its training files: `python bench/quickstart.py` writes results/study/quickstart.json.

For each seed another quarter of the training questions is kept apart. Of each seed one general model is trained, and from it the readers' with the head at some rate and
for some passes; each is measured as trained and after a part of the way back. The test files are not opened. `--runs` keeps the runs; what is there is taken.
"""
import argparse
import shutil
import tempfile
import time
from dataclasses import replace
from datetime import date
from pathlib import Path

WAYS = [(1, 3), (10, 3), (10, 2)] # (the head's rate, passes); the first is what the recipe was
BLENDS = [1.0, .75, .5]
root = Path(__file__).resolve().parent.parent


def measured(a, seed: int, rate: float, passes: float, home: Path) -> list[dict]:
    "One training: its accuracies on the questions kept apart, for each part of the way"
    import numpy as np
    from custom_rm import stages, study
    from custom_rm.blend import set_blend
    from custom_rm.core import recipe_path
    from custom_rm.recipes import read_recipe
    from custom_rm.scorer import score_texts
    recipe = read_recipe(recipe_path("quickstart"))
    recipe = replace(recipe, validation=.25, custom=replace(recipe.custom, epochs=passes, head_rate=rate, blend=1.))
    if a.rows: recipe = replace(recipe, general=replace(recipe.general, rows=a.rows, epochs=1.), custom=replace(recipe.custom, rows=a.rows))
    folder, first = (home / f"{r}-{p}-{seed}" for r, p in ((rate, passes), WAYS[0]))
    if folder != first and not (folder / "general").exists(): shutil.copytree(first / "general", folder / "general")
    run, start = stages.Run(recipe, folder, a.device, lambda line: print(line, flush=True), seed), time.time()
    rm, readers = run.train(), recipe.custom.domains
    seconds = time.time() - start
    called = {(d, b): d if b == 1 else f"{d} {b}" for d in readers for b in BLENDS}
    for (d, b), name in called.items():
        if b < 1: set_blend(rm, "general", d, b, name)
    sets = {name: data for (part, name), data in study.study_sets(run).items() if part == "validation"}
    names, right = ["general", *called.values()], {}
    for of, data in sets.items():
        counts = np.cumsum([len(r["text"]) for r in data])[:-1]
        for name, row in zip(names, np.atleast_2d(score_texts(rm, [t for r in data for t in r["text"]], names))):
            right[name, of] = study.study_figures([list(map(float, one)) for one in np.split(row, counts)], data)["accuracy"]
    return [dict(seed=seed, head_rate=rate, epochs=passes, blend=b, general=right["general", "general"], own={d: right[called[d, b], d] for d in readers},
                 after={d: right[called[d, b], "general"] for d in readers}, seconds=round(seconds, 1)) for b in BLENDS]


def means(rows: list[dict]) -> list[dict]:
    "Each way, the mean over seeds and readers"
    from statistics import fmean
    groups = {}
    for row in rows: groups.setdefault((row["head_rate"], row["epochs"], row["blend"]), []).append(row)
    def mean(some, key): return fmean(value for row in some for value in row[key].values())
    return [dict(head_rate=r, epochs=p, blend=b, own=mean(some, "own"), after=mean(some, "after"), general=fmean(row["general"] for row in some), seeds=[row["seed"] for row in some])
            for (r, p, b), some in groups.items()]


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    p.add_argument("--rows", type=int, default=None, help="of each file, for a trial")
    p.add_argument("--device", default=None)
    p.add_argument("--runs", type=Path, default=None)
    p.add_argument("--out", type=Path, default=root / "results" / "study" / "quickstart.json")
    a = p.parse_args()
    from custom_rm.core import versions
    from custom_rm.evaluate import write_report
    from custom_rm.trunk import default_device, device_name
    rows = []
    with tempfile.TemporaryDirectory() as made:
        for seed in a.seeds:
            for rate, passes in WAYS:
                rows += measured(a, seed, rate, passes, a.runs or Path(made))
                for row in rows[-len(BLENDS):]: print({k: v for k, v in row.items()}, flush=True)
    write_report(a.out, dict(means=means(rows), rows=rows, device=device_name(a.device or default_device()), versions=versions(), date=str(date.today())))


if __name__ == "__main__": main()
