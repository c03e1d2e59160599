"""Run notebooks and store what they say: `python docs/run.py nbs/api/40_export.ipynb …`, `--small` for less data.

Each notebook runs in a process of its own, in its folder. Its outputs are stored only if every cell ran, and none said
anything on stderr, a path of this machine or an object's address; otherwise the file stays as it was and the exit code
is 1. Cells marked `#| eval: false` do not run and keep the outputs they have. Beside the outputs stand a hash of the
code that made them (`tests/lints.py` compares it with the page's code of today), the date and the device.
"""
import argparse
import base64
import io
import json
import os
import re
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

root = Path(__file__).resolve().parent.parent
sys.path[0] = str(root / "tests")
from lints import RAN, code_hash, machine_words, not_run  # noqa: E402

sys.path[0] = str(root)  # notebooks import this copy of the package, and none of the tests or of the scripts here


class Refused(Exception):
    "A cell's failure, or an output that is not fit to be stored"


def refuse(cell, what: str):
    raise Refused(f"cell {cell['id']} ({first_line(cell)}): {what}")


def first_line(cell) -> str:
    lines = [line for line in cell["source"].splitlines() if line.strip() and not line.startswith("#|")]
    return lines[0][:60] if lines else ""


def check_outputs(cell) -> None:
    "Refuse an error, anything on stderr, and the words of one machine"
    for output in cell["outputs"]:
        if output["output_type"] == "error":
            trace = re.sub(r"\x1b\[[\d;]*m", "", "".join(output["traceback"]))
            refuse(cell, f"{output['ename']}: {output['evalue']}\n{trace[-2000:]}")
        if output.get("name") == "stderr": refuse(cell, "says on stderr: " + "".join(output["text"])[-1000:])
    if found := machine_words(cell["outputs"]): refuse(cell, f"shows {found}, which is another thing elsewhere")


def shrink(png: str) -> str:
    "A picture in at most 128 colours, a third of the size; drawn figures hardly have more"
    from PIL import Image
    picture, packed = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGBA"), io.BytesIO()
    picture.quantize(128, method=Image.Quantize.FASTOCTREE).save(packed, "PNG", optimize=True)
    return min(png.strip(), base64.b64encode(packed.getvalue()).decode(), key=len)


def shrink_pictures(outputs: list) -> None:
    for output in outputs:
        data = output.get("data", {})
        if "image/png" in data: data["image/png"] = shrink("".join(data["image/png"]))


def run_cells(nb, shell) -> None:
    "Run the code cells in order and put their outputs in; the first that fails ends it"
    for cell in nb.cells:
        if cell.cell_type != "code" or not_run(cell.source): continue
        cell.outputs = shell.run(cell.source)
        check_outputs(cell)
        shrink_pictures(cell.outputs)


def device() -> str:
    "The graphics card, if the notebook used torch and torch sees one"
    torch = sys.modules.get("torch")
    return torch.cuda.get_device_name() if torch and torch.cuda.is_available() else "CPU"


def run(path: Path) -> None:
    "Run one notebook in this process and store its outputs. Raises `Refused`."
    from execnb.nbio import read_nb, write_nb
    from execnb.shell import CaptureShell
    from nbdev.clean import clean_nb
    from nbdev.config import get_config
    import custom_rm.core  # noqa: F401 a page may import a library first that says something misleading on some machines
    path, settings = path.resolve(), get_config(path=root)
    nb = read_nb(path)
    os.chdir(path.parent)
    run_cells(nb, CaptureShell(path.parent))
    ran = dict(code=code_hash(nb.cells), date=date.today().isoformat(), device=device())
    if os.environ.get("CUSTOM_RM_SMALL") == "1": ran["small"] = True
    nb.metadata[RAN] = ran
    clean_nb(nb, allowed_metadata_keys=settings.allowed_metadata_keys.split(), clean_ids=settings.clean_ids)
    write_nb(nb, path)


def run_apart(path: Path, small: bool) -> bool:
    "Run one notebook in a process of its own and say how it went"
    start = time.time()
    here = os.pathsep.join(p for p in (str(root), os.environ.get("PYTHONPATH")) if p)
    env = os.environ | {"PYTHONPATH": here} | ({"CUSTOM_RM_SMALL": "1"} if small else {})
    done = subprocess.run([sys.executable, __file__, "--here", str(path)], env=env)
    print(f"{path}: {'not stored' if done.returncode else 'stored'}, {time.time() - start:.0f} s", flush=True)
    return done.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--small", action="store_true", help="a part of the data, as continuous integration runs it")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)  # what a process of its own is told
    args = parser.parse_args()
    if not args.here: return not all([run_apart(path, args.small) for path in args.notebooks])
    try: run(args.notebooks[0])
    except (Refused, OSError, json.JSONDecodeError) as e: print(f"{args.notebooks[0]}: {e}", file=sys.stderr); return 1
    return 0


if __name__ == "__main__": sys.exit(main())
