"""Six faults of notebooks that nbdev passes over in silence, found before they do harm.

Each lint takes a folder of notebooks and a module folder and yields one line a fault.
"""
import ast
import hashlib
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


RAN = "custom_rm"  # the key of a notebook's metadata where docs/run.py says what code made the outputs
MACHINE = re.compile(r"(?:(?<![\w.:/-])/(?:home|root|work|tmp|Users|mnt|opt|usr|var|content)/[\w./-]*"
                     r"|\b[A-Z]:\\{1,4}\w[\w.\\-]*|[\w./-]*site-packages[\w./-]*| at 0x[0-9a-f]{6,})")


def source_of(cell) -> str: return "".join(cell["source"])


def code_hash(cells) -> str:
    "A hash of the code of a notebook's cells, in their order"
    sources = [source_of(c).rstrip() for c in cells if c["cell_type"] == "code"]
    return hashlib.sha1("\n\0".join(sources).encode()).hexdigest()


def not_run(source: str) -> bool:
    "Is this code cell passed over by nbdev_test and docs/run.py?"
    return any(name == "eval:" and value.strip().lower() == "false" for name, value in _directives(source))


def machine_words(outputs) -> str:
    "The first path of a machine or address of an object in outputs; '' if there is none"
    for output in outputs:
        texts = [output.get("text", ""), *(v for k, v in output.get("data", {}).items() if k.startswith("text"))]
        for text in texts:
            if found := MACHINE.search("".join(text)): return found[0].strip()
    return ""


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
