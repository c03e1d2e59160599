"""Six faults of notebooks that nbdev passes over in silence, found before they do harm.

Each lint takes a folder of notebooks and a module folder and yields one line a fault.
"""
import ast
import json
import re
from pathlib import Path


def notebooks(nbs: Path):
    "Every notebook below a folder, with its code cells"
    for path in sorted(nbs.rglob("*.ipynb")):
        if ".ipynb_checkpoints" in path.parts: continue
        nb = json.loads(path.read_text(encoding="utf-8"))
        yield path, nb["cells"], ["".join(c["source"]) for c in nb["cells"] if c["cell_type"] == "code"]


def _directives(source: str): return re.findall(r"^#\|[ \t]*([\w:]+)[ \t]*(.*)$", source, re.M)


def _default_exp(sources): return [value.strip() for s in sources for name, value in _directives(s) if name == "default_exp"]


def module_without_notebook(nbs: Path, lib: Path):
    "A notebook was deleted or renamed; its module stays and is imported for ever"
    made = {e.replace(".", "/") for _, _, sources in notebooks(nbs) for e in _default_exp(sources)} | {"__init__", "_modidx"}
    for path in sorted(lib.rglob("*.py")):
        if (name := path.relative_to(lib).with_suffix("").as_posix()) not in made: yield f"{path}: no notebook exports {name}"


def shared_default_exp(nbs: Path, lib: Path):
    "Two notebooks export one module; the last wins"
    seen = {}
    for path, _, sources in notebooks(nbs):
        for name in _default_exp(sources):
            if name in seen: yield f"{path}: exports {name}, as {seen[name]} does"
            seen[name] = path


def export_without_default(nbs: Path, lib: Path):
    "A cell says export in a notebook that exports to nowhere"
    for path, _, sources in notebooks(nbs):
        if _default_exp(sources): continue
        for s in sources:
            if any(name in ("export", "exports", "exporti") for name, _ in _directives(s)): yield f"{path}: #| export without #| default_exp"


def late_directive(nbs: Path, lib: Path):
    "A directive below code is a comment"
    for path, _, sources in notebooks(nbs):
        for s in sources:
            code = False
            for line in s.splitlines():
                if line.startswith("#|") and code: yield f"{path}: directive below code: {line}"
                code = code or bool(line.strip()) and not line.startswith("#")


def mixed_imports(nbs: Path, lib: Path):
    "Imports stand with other code in one cell; the docs build can run neither"
    for path, _, sources in notebooks(nbs):
        for s in sources:
            try: body = ast.parse(re.sub(r"^\s*[%!].*$", "", s, flags=re.M)).body
            except SyntaxError: continue
            imports = [isinstance(b, (ast.Import, ast.ImportFrom)) for b in body]
            if any(imports) and not all(imports): yield f"{path}: imports and other code in one cell: {s.splitlines()[0]}"


def unstable_ids(nbs: Path, lib: Path):
    "A cell has no id, or another's; its module changes at each export"
    for path, cells, _ in notebooks(nbs):
        ids = [c.get("id") for c in cells]
        if None in ids: yield f"{path}: a cell has no id"
        if len(set(ids)) < len(ids): yield f"{path}: two cells share an id"


LINTS = [module_without_notebook, shared_default_exp, export_without_default, late_directive, mixed_imports, unstable_ids]
