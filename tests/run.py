"""All checks of the project, as README and CI call them: `python tests/run.py`.

Notebooks are clean and their modules are what they export; the lints, the notebooks' own cells and pytest pass.
Ends with a line `N passed, N failed`.
"""
import hashlib
import os
import re
import subprocess
import sys
import time
from pathlib import Path

root = Path(__file__).parent.parent
bin = Path(sys.executable).parent


def tree() -> dict:
    "A hash of every notebook and module"
    files = [p for folder, kind in (("nbs", "*.ipynb"), ("custom_rm", "*.py")) for p in (root / folder).rglob(kind)]
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def call(*command, **options):
    "Run a command in the project's folder and show what it says"
    print("$", " ".join(map(str, command)), flush=True)
    start = time.time()
    both = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    done = subprocess.run([str(c) for c in command], cwd=root, **both, **options)
    print(done.stdout.rstrip(), f"\n  {time.time() - start:.0f} s", flush=True)
    return done


def unchanged(command: str) -> bool:
    "Does a command of nbdev leave every notebook and module as it is?"
    before = tree()
    done = call(bin / command)
    changed = sorted(k for k, v in tree().items() if before.get(k) != v)
    for name in changed: print(f"{command} changes {name}; run it and commit the result")
    return done.returncode == 0 and not changed


def count(word: str, said: str) -> int:
    "How many pytest's last line says there were"
    found = re.search(rf"(\d+) {word}\b", said.splitlines()[-1] if said else "")
    return int(found[1]) if found else 0


def main() -> int:
    start = time.time()
    results = [unchanged("nbdev_clean"), unchanged("nbdev_export")]
    notebooks = len(list((root / "nbs").rglob("*.ipynb")))
    small = os.environ | {"CUSTOM_RM_SMALL": "1", "OMP_NUM_THREADS": "1"}  # tutorials take a part of their data; two at a time
    done = call(bin / "nbdev_test", "--n_workers", 2, env=small)
    bad = len(re.findall(r"^\t\S+\.ipynb", done.stdout, re.M)) or (done.returncode != 0) * notebooks
    results += [False] * bad + [True] * (notebooks - bad)
    # two files at a time, each with one thread: most tests wait for a process of their own to import its libraries
    two = ("-n", 2, "--dist", "loadfile")
    done = call(sys.executable, "-m", "pytest", "-q", *two, "-x" if "-x" in sys.argv else "--durations=8", "tests", env=os.environ | {"OMP_NUM_THREADS": "1"})
    passed, failed = count("passed", done.stdout), count("failed", done.stdout) + count("errors?", done.stdout)
    results += [True] * passed + [False] * (failed or (done.returncode != 0))
    print(f"{(time.time() - start) / 60:.0f} minutes")
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    return not all(results)


if __name__ == "__main__": sys.exit(main())
