"""How a notebook becomes a page: nbdev's processors, and what they lack.

nbdev gives each exported definition its signature and turns `names` into links. Here, besides:
a name leads to the page of its own module first; a link that is there already stays; a dataclass shows
its fields with their help; a table drawn with box characters becomes an HTML table; a link that leaves `nbs`
leads to the repository.
"""
import ast
import html
import importlib
import inspect
import os
import re
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path

from fastcore.docments import MarkdownRenderer, docments
from nbdev.config import get_config
from nbdev.processors import FilterDefaults, add_links, exec_show_docs
from nbdev.process import Processor

DEFAULT_EXP = re.compile(r"^\s*#\|\s*default_exp\s+(\S+)", re.M)


def module_of(nb) -> str | None:
    "The module that a notebook exports to, with the library's name"
    found = (DEFAULT_EXP.search(c.source) for c in nb.cells if c.cell_type == "code")
    name = next((m[1] for m in found if m), None)
    return name and f"{get_config().lib_name}.{name}"


# Names in backticks

class Names:
    "Where a name leads: to its own page's definition, else to another's. The command line's verbs lead nowhere from outside."
    def __init__(self, index: dict, module: str | None):
        self.places, cli = {}, f"{get_config().lib_name}.cli"
        for home, names in index.items():
            if home == cli and module != cli: continue
            for full, (place, _) in names.items():
                short = full.removeprefix(home + ".")
                self.places.setdefault(full, place)
                if short not in self.places or home == module: self.places[short] = place

    def __getitem__(self, name: str) -> str | None: return self.places.get(name)


# What a line may hold that is not to be linked: code between two or more backticks, and a link (whose text may hold a picture)
KEPT = r"``+.*?``+|!?\[(?:[^\[\]]|!?\[[^\]]*\](?:\([^)]*\))?)*\]\([^)]*\)"
SPAN = re.compile(rf"({KEPT})|`([^`\s]+?)(\(\))?`")


def linked(text: str, names: Names, up: str) -> str:
    "Link the names in a page's Markdown, and nothing in its code blocks and headings"
    def link(m):
        place = None if m[1] or m[2].startswith("_") else names[m[2]]  # a private name has no entry on its page
        return f"[{m[0]}]({up}{place})" if place else m[0]
    lines, fence = text.splitlines(), None
    for i, line in enumerate(lines):
        mark = re.match(r"\s*(```+|~~~+)", line)
        if fence: fence = None if mark and mark[1].startswith(fence) else fence
        elif mark: fence = mark[1]
        elif not line.startswith(("    ", "\t", "#")): lines[i] = SPAN.sub(link, line)
    return "\n".join(lines)


# Links that leave nbs

OUTSIDE = re.compile(r"(\]\(|src=\"|href=\")((?:\.\./)+[^)\s\"#]+)")


def brought_home(text: str, path: Path, up: str) -> str:
    "Pictures from `results` come along to the site; other files of the repository are linked there."
    cfg = get_config()
    def target(m):
        there = Path(os.path.normpath(path.parent / m[2]))
        if there.is_relative_to(cfg.nbs_path) or not there.is_relative_to(cfg.config_path): return m[0]
        inside = there.relative_to(cfg.config_path).as_posix()
        if inside.startswith("results/") and there.suffix in (".png", ".svg"): return f"{m[1]}{up}{inside}"
        return f"{m[1]}{cfg.git_url}/{'tree' if there.is_dir() else 'blob'}/{cfg.branch}/{inside}"
    return OUTSIDE.sub(target, text)


class Links(Processor):
    "Names and files in prose become links that hold on the site."
    def begin(self):
        cfg = get_config()
        index = importlib.import_module(f"{cfg.lib_name}._modidx").d["syms"]
        self.path = Path(self.nb.path_).resolve()
        self.up = "../" * (len(self.path.relative_to(cfg.nbs_path).parts) - 1)
        self.names = Names(index, module_of(self.nb) or self.nb.get("module_"))

    def mended(self, text): return brought_home(linked(text, self.names, self.up), self.path, self.up)

    def cell(self, cell):
        if cell.cell_type == "markdown": cell.source = self.mended(cell.source)
        for o in cell.get("outputs", []):
            data = o.get("data", {})
            if "text/markdown" in data: data["text/markdown"] = self.mended("".join(data["text/markdown"]))


# Signatures

MODULES = re.compile(r"\b[a-z_]\w*(?:\.[a-z_]\w*)*\.(?=[A-Z])")


def _plain(signature: str) -> str:
    "Annotations without the modules they come from; comments stay as they are"
    split = [line.partition(" # ") for line in signature.splitlines()]
    return "\n".join(MODULES.sub("", code) + mark + comment for code, mark, comment in split)


def _kind(annotation) -> str:
    "A field's type, short"
    if isinstance(annotation, str): return annotation
    return _plain(annotation.__name__ if isinstance(annotation, type) and not getattr(annotation, "__args__", None) else str(annotation))


def _cell(text: str) -> str: return str(text).replace("|", r"\|").replace("\n", " ")


def _default(f) -> str:
    "A field's default as one would write it"
    if f.default is not MISSING: return f"`{_cell(repr(f.default))}`"
    if f.default_factory is MISSING: return ""
    made = f.default_factory()
    return f"`{type(made).__name__}()`" if is_dataclass(made) or made == set() else f"`{_cell(repr(made))}`"


def field_table(cls) -> str:
    "A dataclass's fields as a Markdown table; help is the field's metadata, or the comment behind it"
    said = {}
    for base in reversed(cls.__mro__):
        if is_dataclass(base): said |= {name: text for name, text in docments(base).items() if text}
    rows = []
    for f in fields(cls):
        if f.name.startswith("_"): continue
        help = f.metadata.get("help") or said.get(f.name)
        if f.metadata.get("choices"): help = help.replace("{choices}", ", ".join(f.metadata["choices"]))
        kind = ", default ".join(x for x in (f"`{_cell(_kind(f.type))}`", _default(f)) if x)
        rows.append(f"| `{f.name}` | {f'{_cell(help)}<br>' if help else ''}<small>{kind}</small> |")
    return "\n".join(["| field | |", "| --- | --- |", *rows])


class Signature(MarkdownRenderer):
    "What a page shows of a definition: where its source is, how it is called, what it says of itself"
    def __init__(self, sym, **options): super().__init__(sym, maxline=84, **options)

    def source(self) -> str:
        cfg = get_config()
        try: file, line = inspect.getsourcefile(self.sym), inspect.getsourcelines(self.sym)[1]
        except (TypeError, OSError): return ""
        inside = Path(file).resolve().relative_to(cfg.config_path.resolve()).as_posix()
        return f'[source]({cfg.git_url}/blob/{cfg.branch}/{inside}#L{line}){{target="_blank" style="float:right; font-size:smaller"}}'

    def call(self) -> str:
        if is_dataclass(self.sym):
            bases = ", ".join(b.__name__ for b in self.sym.__bases__ if b is not object)
            return f"@dataclass\nclass {self.nm}{f'({bases})' if bases else ''}"
        text = _plain(str(self.dm)).removesuffix(":")
        return re.sub(r"^def ", "class ", text) if inspect.isclass(self.sym) else text

    def _repr_markdown_(self) -> str:
        said = re.sub(r"^(\s*)(.+)", r"\1*\2*", self.docs, count=1) if self.docs else ""
        table = field_table(self.sym) if inspect.isclass(self.sym) and is_dataclass(self.sym) else ""
        parts = ("---", self.source(), f"### {self.nm}", f"```python\n{self.call()}\n```", said, table)
        return "\n\n".join(p for p in parts if p)


class Signatures(Processor):
    "Fill the cells that `add_show_docs` made, from the modules themselves: nothing is executed"
    def begin(self):
        name = module_of(self.nb)
        self.nb.module_ = name
        self.names = vars(importlib.import_module(name)) if name else {}

    def cell(self, cell):
        if cell.cell_type != "code" or not re.search(r"^show_doc\(", cell.source, re.M): return
        call = ast.parse(cell.source).body[0].value
        told = {k.arg: ast.literal_eval(k.value) for k in call.keywords}
        doc = Signature(eval(ast.unparse(call.args[0]), dict(self.names)), name=told.get("name"))
        cell.outputs = [dict(output_type="display_data", metadata={}, data={"text/markdown": doc._repr_markdown_()})]


# Tables drawn with characters

BORDERS = set("┏┳┓┡╇┩├┼┤└┴┘━─┌┬┐╭╮╰╯╞╪╡═╒╤╕╘╧╛╟╢╫ ")


def html_table(lines: list[str], caption: str = "") -> str:
    "A table of rich's as HTML: its header above the first rule, a row for each line below; a row with an empty first cell goes on"
    head, body, rules = [], [], 0
    for line in lines:
        if set(line) <= BORDERS:
            rules += 1
            continue
        row = [c.strip() for c in re.split("[┃│║]", line.strip())[1:-1]]
        part = head if rules < 2 else body
        if part and (not row[0] or part is head): part[-1] = [" ".join(x for x in both if x) for both in zip(part[-1], row)]
        else: part.append(row)
    numeric = [all(re.match(r"^[-+−±]?[\d.,]|^$|^[-–—]$", r[i]) for r in body) for i in range(len((head or body)[0]))]
    def rows(part, tag): return "".join("<tr>" + "".join(f"<{tag}{' class=number' if numeric[i] else ''}>{html.escape(c)}</{tag}>" for i, c in enumerate(r)) + "</tr>" for r in part)
    title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    return f'<table class="table caption-top">{title}<thead>{rows(head, "th")}</thead><tbody>{rows(body, "td")}</tbody></table>'


def split_tables(text: str) -> list[tuple[str, str]]:
    "A printed text as ('text', …) and ('table', HTML) parts"
    lines, parts, plain = text.split("\n"), [], []
    i = 0
    while i < len(lines):
        end = next((j for j in range(i, len(lines)) if lines[j].strip().startswith(("└", "╰", "╘"))), None) if lines[i].strip().startswith(("┏", "┌", "╒")) else None
        if end is None: plain.append(lines[i]); i += 1; continue
        title, width = [], len(lines[i])
        while plain and plain[-1].strip() and len(plain[-1]) == width: title.insert(0, plain.pop().strip())
        if any(x.strip() for x in plain): parts.append(("text", "\n".join(plain)))
        parts.append(("table", html_table(lines[i:end + 1], " ".join(title))))
        plain, i = [], end + 1
    if any(x.strip() for x in plain): parts.append(("text", "\n".join(plain)))
    return parts


class Tables(Processor):
    "Give each printed table its HTML"
    def cell(self, cell):
        if cell.cell_type != "code" or not cell.get("outputs"): return
        made = []
        for o in cell.outputs:
            text = "".join(o.get("text", "")) if o["output_type"] == "stream" else ""
            parts = split_tables(text)
            if not any(kind == "table" for kind, _ in parts): made.append(o); continue
            for kind, part in parts:
                if kind == "text": made.append(dict(output_type="stream", name=o["name"], text=part + "\n"))
                else: made.append(dict(output_type="display_data", metadata={}, data={"text/html": part, "text/plain": ""}))
        cell.outputs = made


class Mermaid(Processor):
    "Quarto draws ```{mermaid}; a notebook's editor and smalldocs draw ```mermaid, which is how it stands in the notebook"
    def cell(self, cell):
        if cell.cell_type == "markdown" and os.environ.get("DOCS_ENGINE") == "quarto": cell.source = re.sub(r"^```mermaid$", "```{mermaid}", cell.source, flags=re.M)


class Pages(FilterDefaults):
    "nbdev's processors with ours in their places"
    def base_procs(self):
        ours = {exec_show_docs: Signatures, add_links: Links}
        return [ours.get(p, p) for p in super().base_procs()] + [Tables, Mermaid]


def process(force: bool = True) -> Path:
    "Process all notebooks into `_proc`, one after the other, so that the library is imported once"
    import nbdev.serve
    nbdev.serve.FilterDefaults = Pages
    return Path(nbdev.serve.proc_nbs(get_config().nbs_path, force=force, n_workers=0))
