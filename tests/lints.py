"""Faults of notebooks that nbdev passes over in silence, and faults of pages that no test of their code would notice.

Each lint takes a folder of notebooks and a module folder and yields one line per fault.
A page is a notebook that exports a module.
"""
import ast
import hashlib
import io
import json
import re
import tokenize
from pathlib import Path
from statistics import median

WIDTH, LINES, CHARACTERS = 120, 25, 2000  # of a line of code, of an exported cell
RAN = "custom_rm"  # the key of a notebook's metadata where docs/run.py says what code made the outputs
MACHINE = re.compile(r"(?<![\w.:/-])/(?:home|root|work|tmp|Users|mnt|opt|usr|var|private|srv|content)/[\w./-]*"
                     r"|\b[A-Z]:\\+(?:Users|Windows|Temp|Program)[\w.\\ -]*"
                     r"|[\w./-]*site-packages[\w./-]*| at 0x[0-9a-f]{6,}")
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
IMPORTS = (ast.Import, ast.ImportFrom)


# What notebooks hold

def source_of(cell) -> str: return "".join(cell["source"])


def read_notebook(path: Path) -> dict: return json.loads(path.read_text(encoding="utf-8"))


def notebooks(nbs: Path):
    "Every notebook below a folder, its cells, and the sources of its code cells"
    for path in sorted(nbs.rglob("*.ipynb")):
        if ".ipynb_checkpoints" in path.parts: continue
        cells = read_notebook(path)["cells"]
        yield path, cells, [source_of(c) for c in cells if c["cell_type"] == "code"]


def _directives(source: str): return re.findall(r"^#\|[ \t]*([\w:]+)[ \t]*(.*)$", source, re.M)


def _default_exp(sources):
    found = [value.split() for s in sources for name, value in _directives(s) if name == "default_exp"]
    return [words[0] for words in found if words]


def pages(nbs: Path):
    "Every notebook that exports a module: its path, the module's name, its cells"
    for path, cells, sources in notebooks(nbs):
        if names := _default_exp(sources): yield path, names[0], cells


def exports(source: str) -> bool:
    return any(name in ("export", "exports", "exporti") for name, _ in _directives(source))


def hides(source: str) -> bool: return any(name == "hide" for name, _ in _directives(source))


def not_run(source: str) -> bool:
    "Is this code cell passed over by nbdev_test and docs/run.py?"
    return any(name == "eval:" and value.strip().lower() == "false" for name, value in _directives(source))


def parse(source: str) -> list:
    "The statements of a cell, without the lines for the shell; none where it is no Python"
    try: return ast.parse(re.sub(r"^\s*[%!].*$", "", source, flags=re.M)).body
    except SyntaxError: return []


def exported(cells) -> list[str]: return [s for c in cells if c["cell_type"] == "code" and exports(s := source_of(c))]


def exported_code(cells) -> list[str]:
    "The exported cells that hold more than imports"
    return [s for s in exported(cells) if any(not isinstance(b, IMPORTS) for b in parse(s))]


def first_line(source: str) -> str:
    return next((line.strip()[:70] for line in source.splitlines() if line.strip() and not line.startswith("#|")), "")


def code_hash(cells) -> str:
    "A hash of the code of a notebook's cells, in their order"
    sources = [source_of(c).rstrip() for c in cells if c["cell_type"] == "code"]
    return hashlib.sha1("\n\0".join(sources).encode()).hexdigest()


def machine_words(outputs) -> str:
    "The first path of a machine or address of an object in outputs; '' if there is none"
    for output in outputs:
        texts = [output.get("text", ""), *(v for k, v in output.get("data", {}).items() if k.startswith("text"))]
        for text in texts:
            if found := MACHINE.search("".join(text)): return found[0].strip()
    return ""


# What nbdev passes over

def module_without_notebook(nbs: Path, lib: Path):
    "A notebook was deleted or renamed; its module stays and is imported for ever"
    made = {name.replace(".", "/") for _, name, _ in pages(nbs)} | {"__init__", "_modidx"}
    for path in sorted(lib.rglob("*.py")):
        if (name := path.relative_to(lib).with_suffix("").as_posix()) not in made:
            yield f"{path}: no notebook exports {name}"


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
            if exports(s): yield f"{path}: #| export without #| default_exp"


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
            imports = [isinstance(b, IMPORTS) for b in parse(s)]
            if any(imports) and not all(imports): yield f"{path}: imports and other code in one cell: {first_line(s)}"


def unstable_ids(nbs: Path, lib: Path):
    "A cell has no id, or another's; its module changes at each export"
    for path, cells, _ in notebooks(nbs):
        ids = [c.get("id") for c in cells]
        if None in ids: yield f"{path}: a cell has no id"
        if len(set(ids)) < len(ids): yield f"{path}: two cells share an id"


def more_than_a_title(nbs: Path, lib: Path):
    "nbdev makes the title's cell the page's head and drops all of it but the title and the line below"
    for path, cells, _ in notebooks(nbs):
        source = next((source_of(c) for c in cells if c["cell_type"] == "markdown"), "")
        title, *lines = [line for line in source.splitlines() if line.strip()] or [""]
        if not title.startswith("# ") or not lines or not lines[0].startswith("> "):
            yield f"{path}: its first text is not a # title with a > line below"
        elif lost := next((line for line in lines[1:] if not re.match(r"- [\w-]+: \S", line)), None):
            yield f"{path}: lost from the site, being in the title's cell: {lost[:70]}"


def linked_names(nbs: Path, lib: Path):
    "nbdev links names in backticks itself; a link around them shows its own brackets"
    for path, cells, _ in notebooks(nbs):
        for cell in cells:
            if cell["cell_type"] != "markdown": continue
            for found in re.findall(r"\[`[^`\]]+`\]\([^)]*\)", source_of(cell)):
                yield f"{path}: write the name alone: {found}"


def stale_outputs(nbs: Path, lib: Path):
    "Outputs were not made by the code that stands above them today"
    for path in sorted({path for path, *_ in notebooks(nbs)}):
        nb = read_notebook(path)
        if not any(c.get("outputs") for c in nb["cells"]): continue
        ran = nb["metadata"].get(RAN, {}).get("code")
        if ran is None: yield f"{path}: outputs of unknown age; python docs/run.py {path.name}"
        elif ran != code_hash(nb["cells"]): yield f"{path}: outputs older than the code; python docs/run.py {path.name}"


def unfit_outputs(nbs: Path, lib: Path):
    "An output is an error, a warning, or only true on one machine"
    for path, cells, _ in notebooks(nbs):
        for output in (o for c in cells for o in c.get("outputs", [])):
            if output["output_type"] == "error": yield f"{path}: stores an error: {output['ename']}: {output['evalue']}"
            elif output.get("name") == "stderr": yield f"{path}: stores stderr: {''.join(output['text'])[:70]}"
            elif found := machine_words([output]): yield f"{path}: stores {found}, which is another thing elsewhere"


# Rooms

def room(path: Path) -> int | None:
    "The number a notebook's name begins with"
    return int(number[0]) if (number := re.match(r"\d+", path.name)) else None


def shared_rooms(nbs: Path, lib: Path):
    "Two notebooks of a folder have one number, so that their order is an accident"
    seen = {}
    for path, *_ in notebooks(nbs):
        if (number := room(path)) is None: continue
        if other := seen.get((path.parent, number)): yield f"{path}: has the number of {other.name}"
        seen[path.parent, number] = path


def imported(statements, package: str):
    "Every import of the package's modules, lazy ones too: module, names taken from it, what the module is called here"
    for node in (n for b in statements for n in ast.walk(b)):
        if isinstance(node, ast.Import):
            for a in node.names:
                if a.name.startswith(f"{package}."): yield a.name.split(".")[1], [], a.asname or a.name
        if isinstance(node, ast.ImportFrom):
            parts = ([package] if node.level else []) + (node.module.split(".") if node.module else [])
            if parts[:1] != [package]: continue
            if len(parts) > 1: yield parts[1], [a.name for a in node.names], None
            else: yield from ((a.name, [], a.asname or a.name) for a in node.names)


def upward_imports(nbs: Path, lib: Path):
    "A module imports from a room that is not below its own"
    rooms = {name: room(path) for path, name, _ in pages(nbs)}
    for path, name, cells in pages(nbs):
        for source in exported(cells):
            for other, _, _ in imported(parse(source), lib.name):
                if None not in (above := rooms.get(other), here := rooms[name]) and above >= here and other != name:
                    yield f"{path}: {name} ({here:02}) imports from {other} ({above:02})"


def _is_private(name: str) -> bool: return name.startswith("_") and not name.startswith("__")


def private_names(statements) -> set[str]:
    "Every private name that these statements define, as a function, a method, a variable or an attribute"
    found = set()
    for node in (n for b in statements for n in ast.walk(b)):
        if isinstance(node, DEFINITIONS): found.add(node.name)
        if isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Store):
            found.add(node.id if isinstance(node, ast.Name) else node.attr)
    return {name for name in found if _is_private(name)}


def foreign_privates(nbs: Path, lib: Path):
    "A module imports another's private name, or reaches for one in another's module or object"
    code = {name: (path, [b for s in exported(cells) for b in parse(s)]) for path, name, cells in pages(nbs)}
    owned = {name: private_names(body) for name, (_, body) in code.items()}
    for name, (path, body) in code.items():
        modules = {called for _, _, called in imported(body, lib.name) if called}
        for other, names, _ in imported(body, lib.name):
            for taken in filter(_is_private, names): yield f"{path}: imports {other}.{taken}"
        foreign = {private: other for other, names in owned.items() if other != name for private in names - owned[name]}
        for node in (n for b in body for n in ast.walk(b)):
            if not isinstance(node, ast.Attribute) or not _is_private(node.attr): continue
            owner = ast.unparse(node.value)
            if owner in modules: yield f"{path}: uses {owner}.{node.attr}"
            elif node.attr in foreign: yield f"{path}: uses {owner}.{node.attr}, of {foreign[node.attr]}"


# Cells

def wide_lines(nbs: Path, lib: Path):
    "A page's line of code is wider than a screen"
    for path, _, cells in pages(nbs):
        for line in (line for c in cells if c["cell_type"] == "code" for line in source_of(c).splitlines()):
            if len(line) > WIDTH: yield f"{path}: {len(line)} columns: {line.strip()[:70]}"


def count_lines(source: str) -> int:
    "Lines of code as a screen shows them: wide ones wrapped, directives and empty ones not counted"
    return sum(-(-len(line) // WIDTH) for line in source.splitlines() if line.strip() and not line.startswith("#|"))


def definitions(source: str) -> list[str]: return [b.name for b in parse(source) if isinstance(b, DEFINITIONS)]


def long_cells(nbs: Path, lib: Path):
    "An exported cell is longer than one look takes in"
    for path, _, cells in pages(nbs):
        for s in exported(cells):
            if (n := count_lines(s)) > LINES: yield f"{path}: an exported cell of {n} lines: {first_line(s)}"
            elif len(s) > CHARACTERS: yield f"{path}: an exported cell of {len(s)} characters: {first_line(s)}"


def crowded_cells(nbs: Path, lib: Path):
    "An exported cell holds several public definitions, and no text can stand between them"
    for path, _, cells in pages(nbs):
        for s in exported(cells):
            public = [name for name in definitions(s) if not name.startswith("_")]
            if len(public) > 1: yield f"{path}: one cell defines {', '.join(public)}"


# Pages

def next_shown(cells, i: int) -> bool:
    "Does a shown cell with an output follow exported cell `i` before the next exported one?"
    for cell in (c for c in cells[i + 1:] if c["cell_type"] == "code"):
        source = source_of(cell)
        if exports(source): return False
        if cell.get("outputs") and not hides(source): return True
    return False


def demo_share(cells) -> float:
    "Characters of shown cells, of those of shown and exported cells; 1 for a page that exports nothing but imports"
    code = sum(map(len, exported_code(cells)))
    others = [s for c in cells if c["cell_type"] == "code" and not exports(s := source_of(c)) and not hides(s)]
    demo = sum(len(s) for s in others if not re.fullmatch(r"(#\|.*\s*)*", s))
    return demo / (demo + code) if code else 1.


def measure(nbs: Path) -> dict[str, float]:
    "What pages are like, taken together: shares of the exported cells that hold more than imports; prose, of text"
    sizes, many, shown, prose, code = [], [], [], 0, 0
    for _, _, cells in pages(nbs):
        prose += sum(len(source_of(c)) for c in cells if c["cell_type"] == "markdown")
        code += sum(len(source_of(c)) for c in cells if c["cell_type"] == "code")
        of_page = exported_code(cells)
        sizes += [count_lines(s) for s in of_page]
        many += [len(definitions(s)) > 1 for s in of_page]
        shown += [next_shown(cells, i) for i, c in enumerate(cells) if source_of(c) in of_page]
    if not sizes: return {}
    n = len(sizes)
    return {"cells": n, "median lines": median(sizes), "over 20 lines": sum(s > 20 for s in sizes) / n,
            "two or more definitions": sum(many) / n, "shown before the next": sum(shown) / n,
            "prose": prose / (prose + code)}


AT_MOST = {"median lines": 9, "over 20 lines": .10, "two or more definitions": .10}
AT_LEAST = {"shown before the next": .70, "prose": .28}
DEMO = .25


def containers(nbs: Path, lib: Path):
    "Pages became containers: long cells, few words, functions that nobody is shown at work"
    found = measure(nbs)
    for name, limit in AT_MOST.items():
        if found.get(name, limit) > limit: yield f"{nbs}: exported cells: {name} {found[name]:.3g}, over {limit:g}"
    for name, limit in AT_LEAST.items():
        if found.get(name, limit) < limit: yield f"{nbs}: {name} {found[name]:.3g}, under {limit:g}"
    for path, _, cells in pages(nbs):
        if (share := demo_share(cells)) < DEMO: yield f"{path}: shown cells are {share:.2f} of its code, under {DEMO:g}"


# Words

THING = ("answer|adapter|bar|bit|box|byte|cell|character|column|comment|comparison|dot|entry|figure|file|folder|"
         "forward pass|head|label|line|list|logit|loss|mark|model|number|page|pair|pass|point|prompt|question|record|"
         "response|reward|row|run|score|seed|set|state|step|table|text|token|value|vector|vote|weight|word")
UNIT = ("adapter|answer|batch|branch|call|cell|class|client|column|comparison|device|domain|epoch|example|field|file|"
        "fold|grader|group|head|layer|line|list|message|model|optimizer step|page|pair|person|pixel|process|prompt|"
        "question|reader|record|request|response|reward model|row|run|seed|sentence|set|side|source|stage|step|"
        "strategy|text|token|topic|tree|turn|vote|voter|weight|word")
# "one line a record": a thing for each unit, and no verb behind it ("an answer a person likes" is English)
END = r"(?=$|['’]s |\s*[^\w\s'’\-]|\s*\n|\s(?:and|as|at|but|for|from|in|instead|or|to|until|with)\b)"
DOUBLED = re.compile(rf"(?:([\w']+)\s)?\b((one|an?|each|half a|two|three|four|five)\s(?:\w+\s)?(?:{THING})s?"
                     rf"\san?\s(?:\w+\s)?(?:{UNIT})){END}", re.I)
# behind these, the second "a" begins a thing of its own: "gives each text a list", "In a tree a token"
BEFORE = set("for give gives gave given giving in inside into call calls make makes tell tells under within".split())
OPENS = {"In", "If", "With", "For", "Inside", "Within", "Under"}


def doubled(text: str) -> list[str]:
    "What of a text says one thing a unit, where it should say one thing per unit, or a thing for each unit"
    meant = lambda m: m[1] in OPENS or m[1] in BEFORE and m[3].lower() != "one"
    return [" ".join(m[2].split()) for m in DOUBLED.finditer(text) if not meant(m)]


def code_words(source: str) -> list[str]:
    "The comments and the strings of a cell"
    try: tokens = list(tokenize.generate_tokens(io.StringIO(re.sub(r"^\s*[%!].*$", "", source, flags=re.M)).readline))
    except (tokenize.TokenError, SyntaxError): return []
    kinds = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", None)}
    return [t.string.strip("#\"' ") for t in tokens if t.type in kinds]


def one_thing_a_unit(nbs: Path, lib: Path):
    "\"One line a record\" has to be read twice; it is one line per record"
    for path, cells, _ in notebooks(nbs):
        for cell in cells:
            source = source_of(cell)
            for text in code_words(source) if cell["cell_type"] == "code" else [source]:
                for found in doubled(text): yield f"{path}: {found}"
    for path in sorted([*nbs.parent.glob("*.md"), *lib.rglob("*.yaml")]):
        for found in doubled(path.read_text(encoding="utf-8")): yield f"{path}: {found}"


LINTS = [
    module_without_notebook, shared_default_exp, export_without_default, late_directive, mixed_imports,
    unstable_ids, more_than_a_title, linked_names, stale_outputs, unfit_outputs, shared_rooms, upward_imports,
    foreign_privates, wide_lines, long_cells, crowded_cells, containers, one_thing_a_unit,
]


def main() -> None:
    "`python tests/lints.py` says every fault"
    root = Path(__file__).resolve().parent.parent
    for lint in LINTS:
        faults = [fault.replace(f"{root}/", "") for fault in lint(root / "nbs", root / "custom_rm")]
        print(f"{lint.__name__}: {len(faults)}", *faults, sep="\n  ")
    print(", ".join(f"{name} {value:.3g}" for name, value in measure(root / "nbs").items()))


if __name__ == "__main__": main()
