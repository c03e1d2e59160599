"""What learning costs once frozen layers are computed a single time: `python bench/cheap.py`.

Rows of `results/speed/cheap.json`, each written when it is measured; a row that is there is passed over, `--rows` takes some:
`head/1000` (a head from 1,000 votes), `quickstart` (the whole command, against the recipe of before in the same run), `quickstart/now` (the command alone, twice),
`train/dsp/cached` and `memory/cached` (from `bench/train.py --steps 3`, run here with and without length grouping) and
`study/cell` (train and measure one more cell when all states are kept). Measure on a machine that does nothing else.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from statistics import median

root = Path(__file__).resolve().parent.parent
results = root / "results" / "speed"
BEFORE = """base:
  layers: null
  frozen: 0
  pooling: last
  max_length: 256
  template: dsp"""  # the quickstart's base until 0.1: all thirty layers learn


def command(*words, **env) -> tuple[float, list[tuple[float, str]]]:
    "Seconds a command takes, and each line of its output with the second at which it came"
    start, lines = time.time(), []
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-u", *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               text=True, env=os.environ | env)
    for line in process.stdout: lines.append((time.time() - start, line.rstrip()))
    if process.wait(): raise SystemExit(f"{' '.join(map(str, words))}: exit code {process.returncode}; {lines[-1:]}")
    return time.time() - start, lines


def empty_cache(home: Path) -> str:
    "A cache that has the base model, and no state of any text"
    from custom_rm.fetch import cache_dir
    home.mkdir()
    for name in ("models", "hashes"):
        if (cache_dir() / name).exists(): (home / name).symlink_to(cache_dir() / name)
    return str(home)


def quickstart(a) -> dict:
    "The whole command with no state kept, then with all of them, then the recipe of before, in the same run; where the time goes is written beside"
    import where
    from custom_rm.core import recipe_path
    from custom_rm.recipes import read_recipe
    with tempfile.TemporaryDirectory() as home:
        home = Path(home)
        text = recipe_path("quickstart").read_text(encoding="utf-8")
        (home / "before.yaml").write_text(re.sub(r"base:\n(?:  .*\n)+", BEFORE + "\n", text), encoding="utf-8")
        cache = dict(CUSTOM_RM_CACHE=empty_cache(home / "cache"))
        seconds, lines, new = where.with_clocks(command, "quickstart", "--device", a.device, "--out", home / "new", **cache)
        first_row = next((at for at, line in lines if "is right in" in line), None)
        first_left = next((at for at, line in lines if "all done in" in line), None)
        again, _, kept = where.with_clocks(command, "quickstart", "--device", a.device, "--out", home / "again", **cache)
        before, _, old = where.with_clocks(command, "train", home / "before.yaml", "--device", a.device, "--out", home / "before", "--cache-gib", "0", **cache)
        base = read_recipe(recipe_path("quickstart")).base
        where.keep({f"{base.frozen} of {base.layers} layers frozen": new, "the same, states kept from before": kept, "before: all thirty layers learn": old}, Path(a.out).with_name("where.json"))
        def table(run): return {rm: {s: round(100 * f["accuracy"], 1) for s, f in cells.items()} for rm, cells in json.loads((home / run / "metrics.json").read_text())["rms"].items()}
        return dict(seconds=round(seconds, 1), speedup=round(before / seconds, 2), seconds_again=round(again, 1), seconds_before=round(before, 1),
                    first_row=round(first_row, 1), first_estimate=first_left and round(first_left, 1), accuracy=table("new"), accuracy_before=table("before"))


def quickstart_now(a) -> dict:
    "The whole command alone: with no state kept, then with all of them"
    with tempfile.TemporaryDirectory() as home:
        home = Path(home)
        cache = dict(CUSTOM_RM_CACHE=empty_cache(home / "cache"))
        seconds, lines = command("-m", "custom_rm.cli", "quickstart", "--device", a.device, "--out", home / "new", **cache)
        again, _ = command("-m", "custom_rm.cli", "quickstart", "--device", a.device, "--out", home / "again", **cache)
        first_row = next((at for at, line in lines if "is right in" in line), None)
        return dict(seconds=round(seconds, 1), seconds_again=round(again, 1), first_row=round(first_row, 1), general_records=len(json.loads((root / "data" / "mini" / "general.train.json").read_text())))


def votes(n: int) -> list[dict]:
    "As many comparisons as asked for, of DSP's training answers: a vote for the academy's answer against another"
    from common import data_file
    from custom_rm.convert import from_dsp
    from custom_rm.records import read_json
    made = []
    for record in from_dsp(read_json(data_file("domain_specific_preference.train")), "academy"):
        best = record["score"].index(max(record["score"]))
        made += [dict(record, text=[record["text"][best], text], score=[1., 0.]) for i, text in enumerate(record["text"]) if i != best]
    return made[:n]


def head(a) -> dict:
    "A head from 1,000 votes: nothing computed before, and again with all states there"
    from custom_rm.instant import learn
    from custom_rm.model import RewardModel
    records, times = votes(1000), []
    with tempfile.TemporaryDirectory() as home:
        rm = RewardModel(a.base, pooling="mean", layers=14, device=a.device).remember(home)
        for i in range(4):
            start = time.perf_counter()
            found = learn(rm, records, f"voter{i}")
            times.append(time.perf_counter() - start)
        return dict(seconds=round(median(times[1:]), 3), seconds_cold=round(times[0], 1), votes=len(records), layers=14,
                    accuracy=round(found.accuracy, 3), strength=found.strength)


def train(a) -> dict:
    "An epoch of DSP lists with the store filled, against all of the twenty layers learning, all thirty, and TRL"
    for draw in ("random", "grouped"):
        path = results / f"train-dsp{'-grouped' * (draw == 'grouped')}-cached.json"
        if path.exists() and len(json.loads(path.read_text())["rows"]["cached"]) == a.repetitions: continue
        done = subprocess.run([sys.executable, "-W", "ignore", root / "bench" / "train.py", "--set", "dsp", "--device", a.device, "--lists", str(a.lists),
                               "--repetitions", str(a.repetitions), "--steps", "3", "--draw", draw])
        if done.returncode: raise SystemExit("bench/train.py failed")
    one, two = (json.loads((results / f"train-dsp{s}-cached.json").read_text())["rows"] for s in ("", "-grouped"))
    def speeds(rows): return [r["comparisons"] / r["seconds"] for r in rows]
    def ratio(rows, of, to): return [x / y for x, y in zip(speeds(rows[of]), speeds(rows[to]))]
    made = dict(vs_uncached=ratio(one, "cached", "uncached") + ratio(two, "cached", "uncached"), vs_trees=ratio(one, "cached", "trees"),
                vs_trl=ratio(one, "cached", "trl"), vs_trl_grouped=ratio(two, "cached", "trl-grouped"))
    return {k: round(median(v), 2) for k, v in made.items()} | dict(spread={k: [round(min(v), 2), round(max(v), 2)] for k, v in made.items()},
        layers=20, frozen=14, repetitions=a.repetitions, lists=a.lists, comparisons_per_second={m: round(median(speeds(r)), 2) for m, r in one.items()})


def memory(a) -> dict:
    "Peak of each process of `train`"
    rows = json.loads((results / "train-dsp-cached.json").read_text())["rows"]
    gib = {m: round(max(r["peak_gib"] for r in rs), 2) for m, rs in rows.items()}
    return dict(ratio=round(gib["cached"] / gib["uncached"], 3), peak_gib=gib)


def cell(a) -> dict:
    "One more cell of `bench/tiers.py` on filled stores: four domains with one head each, three passes, validation and test"
    import tiers
    b = argparse.Namespace(base=a.base, max_length=512, epochs=3, budget=4096, rows=None, small=False, device=a.device,
        train="$CUSTOM_RM_DATA/domain_specific_preference.train.json", test="$CUSTOM_RM_DATA/domain_specific_preference.test.json")
    tiers.TIERS["filling"] = dict(base=dict(layers=20, frozen=14), custom=dict(epochs=1))  # every text is seen once
    start = time.time()
    tiers.cell(b, "filling", 0)
    made = tiers.cell(b, "LoRA above", 1)
    return dict(minutes=round(made["seconds"] / 60, 2), measure_seconds=made["measure_seconds"], epochs=3, filled_first_minutes=round((time.time() - start - made["seconds"]) / 60, 2))


ROWS = {"head/1000": head, "quickstart": quickstart, "quickstart/now": quickstart_now, "train/dsp/cached": train, "memory/cached": memory, "study/cell": cell}


def main(a) -> None:
    from custom_rm.core import versions
    from custom_rm.evaluate import write_report
    from custom_rm.trunk import device_name
    path = Path(a.out)
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else {}
    for name in a.rows:
        if name in rows: print(f"{name} is there already", flush=True); continue
        start = time.time()
        rows[name] = ROWS[name](a)
        write_report(path, dict(device=device_name(a.device), versions=versions() | dict(trl="1.16.0"), date=str(date.today()), base=a.base, rows=rows))
        print(f"{name}: {rows[name]} ({time.time() - start:.0f} s)", flush=True)


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    p.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS))
    p.add_argument("--device", default="cpu", help="cpu or cuda")
    p.add_argument("--base", default="smollm2-135m", help="base model, or a folder")
    p.add_argument("--lists", type=int, default=8, help="DSP lists in a repetition")
    p.add_argument("--repetitions", type=int, default=3)
    p.add_argument("--out", default=str(results / "cheap.json"))
    main(p.parse_args())
