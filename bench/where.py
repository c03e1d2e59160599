"""Where the quickstart's time goes: `python bench/where.py` writes results/speed/where.json and where.png.

The quickstart as it is, with no state of any text kept, and its recipe of before (all thirty layers learn), each in a process of its own. A clock
stands at each of the doors below; it stops while another one runs, so that the parts add up to the whole. Run it on a machine that does nothing else.
"""
import argparse
import functools
import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

root = Path(__file__).resolve().parent.parent
DOORS = {  # part: what it is, by module and name; the last one's part runs inside all others
    "fetching and loading the base": ["custom_rm.fetch:fetch_model", "custom_rm.trunk:load_trunk"],
    "texts to tokens": ["custom_rm.packing:encode"],
    "frozen layers": ["custom_rm.states:Below.compute", "custom_rm.scorer:_computed_states"],
    "kept states, read and written": ["custom_rm.states:Store.find", "custom_rm.states:Store.put", "custom_rm.states:Store.flush"],
    "measuring": ["custom_rm.runs:_evaluate"],
    "learning, forward": ["custom_rm.trainer:RewardTrainer.losses"],
    "learning, backward": ["torch:Tensor.backward"],
    "optimizer": ["torch.optim.optimizer:Optimizer.step", "torch.optim:AdamW.step"],
    "figures": ["custom_rm.runs:_draw"],
    "four bits unpacked": ["bitsandbytes.functional:dequantize_4bit"],
}
REST = "Python, everything else"
_spent, _running = {}, [REST]
_since = time.perf_counter()


def switch(to: str | None) -> None:
    "Charge the time since the last switch to what ran; run another part, or go back"
    global _since
    now = time.perf_counter()
    _spent[_running[-1]] = _spent.get(_running[-1], 0) + now - _since
    _since = now
    _running.append(to) if to else _running.pop()


def clocked(function, part: str):
    "The same function, its time charged to a part"
    @functools.wraps(function)
    def run(*args, **kwargs):
        switch(part)
        try: return function(*args, **kwargs)
        finally: switch(None)
    return run


def put_clocks() -> None:
    "A clock at each door, also where another module imported it by name"
    import custom_rm.cli  # noqa: F401, so that all rooms are there
    for part, doors in DOORS.items():
        for door in doors:
            home, name = door.split(":")
            owner = functools.reduce(getattr, name.split(".")[:-1], importlib.import_module(home))
            last = name.split(".")[-1]
            before = getattr(owner, last)
            after = clocked(before, part)
            setattr(owner, last, after)
            if "." in name: continue
            for module in [m for n, m in sys.modules.items() if n.startswith("custom_rm")]:
                if getattr(module, last, None) is before: setattr(module, last, after)


def inside(argv: list[str], out: str) -> None:
    "Run a command of the package with clocks, and write what each part took"
    switch("starting Python and its libraries")
    put_clocks()
    switch(None)
    from custom_rm.cli import main
    sys.argv = ["custom-rm", *argv]
    try: main()
    except SystemExit as e:
        if e.code: raise
    finally:
        while len(_running) > 1: switch(None)
        switch(REST)
        Path(out).write_text(json.dumps(_spent))


def measured(*argv, **env) -> dict[str, float]:
    "Seconds of each part of a command; those before Python runs anything of ours with the start"
    with tempfile.TemporaryDirectory() as home:
        out, start = Path(home) / "spent.json", time.perf_counter()
        subprocess.run([sys.executable, "-W", "ignore", __file__, "--inside", str(out), *map(str, argv)], check=True, env=os.environ | env)
        whole, spent = time.perf_counter() - start, json.loads(out.read_text())
    spent["starting Python and its libraries"] += whole - sum(spent.values())
    return {part: round(s, 1) for part, s in spent.items()}


def draw(rows: dict[str, dict], path: Path) -> None:
    "One bar for each recipe, its parts in the order of the doors"
    import matplotlib.pyplot as plt
    import seaborn as sns
    parts = sorted({p for row in rows.values() for p in row}, key=lambda p: -max(row.get(p, 0) for row in rows.values()))
    sns.set_theme(style="whitegrid")
    figure, axes = plt.subplots(figsize=(9, 3.4))
    colours = sns.color_palette("tab20", len(parts))
    for y, (name, row) in enumerate(rows.items()):
        left = 0
        for part, colour in zip(parts, colours):
            seconds = row.get(part, 0)
            axes.barh(y, seconds, left=left, color=colour, label=part if y == 0 else None, edgecolor="white", linewidth=.5)
            if seconds > .045 * max(sum(r.values()) for r in rows.values()): axes.text(left + seconds / 2, y, f"{seconds:.0f}", ha="center", va="center", fontsize=9)
            left += seconds
        axes.text(left + 5, y, f"{left:.0f} s", va="center", fontweight="bold")
    axes.set_yticks(range(len(rows)), list(rows))
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.set_xlim(0, 1.12 * max(sum(r.values()) for r in rows.values()))
    axes.set_xlabel("seconds of the whole command, two CPU cores")
    axes.set_title("Where the quickstart's time goes")
    figure.legend(*axes.get_legend_handles_labels(), loc="lower center", bbox_to_anchor=(.5, -.22), ncol=3, frameon=False, fontsize=9)
    sns.despine(left=True)
    figure.savefig(path, dpi=110, bbox_inches="tight")


def main(a) -> None:
    from cheap import BEFORE, empty_cache
    from custom_rm.core import recipe_path, versions
    from custom_rm.evaluate import write_report
    from custom_rm.trunk import device_name
    path, rows = Path(a.out), {}
    if path.exists(): rows = json.loads(path.read_text(encoding="utf-8"))["seconds"]
    with tempfile.TemporaryDirectory() as home:
        home, text = Path(home), recipe_path("quickstart").read_text(encoding="utf-8")
        (home / "before.yaml").write_text(re.sub(r"base:\n(?:  .*\n)+", BEFORE + "\n", text), encoding="utf-8")
        cache = dict(CUSTOM_RM_CACHE=empty_cache(home / "cache"))
        for name, argv in {"fourteen of eighteen layers frozen": ("quickstart", "--out", home / "new"),
                           "the same, states kept from before": ("quickstart", "--out", home / "again"),
                           "before: all thirty layers learn": ("train", home / "before.yaml", "--out", home / "before", "--cache-gib", "0")}.items():
            if name in rows or name.split(":")[0] in a.leave_out: continue
            rows[name] = measured(*argv, **cache)
            write_report(path, dict(device=device_name("cpu"), versions=versions(), date=str(date.today()), seconds=rows))
    draw(json.loads(path.read_text(encoding="utf-8"))["seconds"], path.with_suffix(".png"))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]: inside(sys.argv[3:], sys.argv[2])
    else:
        p = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        p.add_argument("--out", default=str(root / "results" / "speed" / "where.json"))
        p.add_argument("--leave-out", nargs="*", default=[], help="before, which takes twelve minutes")
        main(p.parse_args())
