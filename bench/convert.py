"""How fast and in how much memory tables convert, whole processes: `python bench/convert.py [--before CHECKOUT]`.

Three tables of our own words (pairs as JSON Lines, a grade for each answer as CSV, two answers and a verdict as CSV) are converted by `custom-rm convert` at each size. With
`--before`, the same commands run with the package of another checkout first; a form that it does not know is null. Peak memory is the process's, libraries included.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

here = Path(__file__).parent.parent
words = "an answer has some words and then some more until it is as long as people's answers are ".split()


def answer(i: int, n: int) -> str:
    "Words in an order that depends on the number"
    return " ".join(words[(i * 7 + j * (i % 5 + 1)) % len(words)] for j in range(n)) + f" {i}."


def tables(folder: Path, rows: int) -> dict[str, Path]:
    "Write the three tables; each row is another one"
    pairs, grades, duels = (folder / name for name in ("pairs.jsonl", "grades.csv", "duels.csv"))
    with pairs.open("w") as f:
        for i in range(rows): f.write(json.dumps(dict(prompt=f"What is question {i} about?", chosen=answer(i, 60), rejected=answer(i + 1, 40))) + "\n")
    with grades.open("w") as f:
        f.write("prompt,response,score,grader\n")
        for i in range(rows): f.write(f'What is question {i // 4} about?,"{answer(i, 60)}",{i % 4},p{i // 4 % 7}\n')
    with duels.open("w") as f:
        f.write("prompt,response_a,response_b,winner,annotator\n")
        for i in range(rows): f.write(f'What is question {i // 4} about?,"{answer(i, 60)}","{answer(i + 1, 40)}",{("A", "B", "tie")[i % 3]},p{i % 7}\n')
    return dict(pairs=pairs, grades=grades, duels=duels)


def measure(path: Path, rows: int, checkout: Path) -> dict | None:
    "One conversion in a process of its own; None where it is refused"
    run = f"import resource, sys; from custom_rm.cli import app; app(['convert', {str(path)!r}, {str(path.with_suffix('.out.jsonl'))!r}], standalone_mode=False); print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", run], env={**os.environ, "PYTHONPATH": str(checkout)}, cwd=checkout, capture_output=True, text=True)
    if done.returncode: return None
    seconds = time.perf_counter() - start
    return dict(seconds=round(seconds, 2), rows_per_second=round(rows / seconds), peak_mib=round(int(done.stdout.split()[-1]) / 1024))


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    p.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    p.add_argument("--before", type=Path, default=None, help="another checkout of this package, measured with the same commands")
    p.add_argument("--out", type=Path, default=here / "results" / "use" / "convert.json")
    a = p.parse_args()
    found = {}
    for rows in a.rows:
        with tempfile.TemporaryDirectory() as folder:
            for name, path in tables(Path(folder), rows).items():
                row = dict(mib=round(path.stat().st_size / 2**20, 1), now=measure(path, rows, here))
                if a.before: row["before"] = measure(path, rows, a.before)
                found[f"{name} {rows}"] = row
                print(name, rows, row, flush=True)
    from custom_rm.core import versions
    a.out.parent.mkdir(parents=True, exist_ok=True)
    a.out.write_text(json.dumps(dict(device=f"cpu ({os.cpu_count()} cores)", date=str(date.today()), versions=versions(), rows=found), indent=1) + "\n")
