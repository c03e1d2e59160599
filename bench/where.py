"""Where the quickstart's time goes: `python bench/cheap.py --rows quickstart` measures it and writes results/speed/where.json and where.png; this draws again.

The quickstart as it is, with no state of any text kept and with all of them, and its recipe of before (all thirty layers learn), each in a process of its
own. A clock stands at each of the doors below; it stops while another one runs, so that the parts add up to the whole.
"""
import functools
import importlib
import json
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


def with_clocks(command, *argv, **env) -> tuple[float, list, dict[str, float]]:
    "What `cheap.command` gives for a command of the package, and the seconds of each of its parts; those before Python runs anything of ours with the start"
    with tempfile.TemporaryDirectory() as home:
        out = Path(home) / "spent.json"
        whole, lines = command(__file__, "--inside", out, *argv, **env)
        spent = json.loads(out.read_text())
    spent["starting Python and its libraries"] += whole - sum(spent.values())
    return whole, lines, {part: round(s, 1) for part, s in spent.items()}


def draw(rows: dict[str, dict], path: Path) -> None:
    "One bar for each recipe, its parts in the order of the doors"
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import seaborn as sns
    parts = sorted({p for row in rows.values() for p in row}, key=lambda p: -max(row.get(p, 0) for row in rows.values()))
    sns.set_theme(style="whitegrid")
    figure, axes = plt.subplots(figsize=(9.5, 4.2), layout="constrained")
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
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncol=3, frameon=False, fontsize=9)
    sns.despine(left=True)
    figure.savefig(path, dpi=80)


def keep(rows: dict[str, dict], path: Path) -> None:
    "Write the seconds of each recipe's parts, and draw them"
    from custom_rm.core import versions
    from custom_rm.evaluate import write_report
    from custom_rm.trunk import device_name
    write_report(path, dict(device=device_name("cpu"), versions=versions(), date=str(date.today()), seconds=rows))
    draw(rows, path.with_suffix(".png"))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]: inside(sys.argv[3:], sys.argv[2])
    else: draw(json.loads((root / "results" / "speed" / "where.json").read_text(encoding="utf-8"))["seconds"], root / "results" / "speed" / "where.png")
