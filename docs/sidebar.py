"""The site's sidebar and the list of rooms follow the notebooks' numbers: `python docs/sidebar.py` writes both.

A tutorial's or a room's tens say its section in `nbs/_quarto.yml`; its title and the `>` line below it are its entry on the house's page. A new notebook needs
no other entry.
"""
import json
import re
from pathlib import Path

root = Path(__file__).parent.parent
config, house = root / "nbs" / "_quarto.yml", root / "nbs" / "explanations" / "house.ipynb"
FLOORS = {
    "tutorials": {1: "Use it", 2: "Understand it", 3: "The evidence"},
    "api": {0: "Data", 1: "The model", 2: "Training", 3: "Study", 4: "Use", 9: "Test models"},
}
FIRST = "house.ipynb"  # The plan of the house comes before the other explanations


def section(title: str, pages: list[str]) -> list[str]: return [f"      - section: {title}", "        contents:", *(f"          - {p}" for p in pages)]


def floors(folder: str, nbs: Path) -> list[str]:
    "One section for each ten that has notebooks"
    lines = []
    pages = sorted(p.name for p in (nbs / folder).glob("[0-9][0-9]_*.ipynb"))
    for ten, title in FLOORS[folder].items():
        here = [f"{folder}/{p}" for p in pages if int(p[0]) == ten]
        if here: lines += section(f'"API {ten}x: {title.lower()}"' if folder == "api" else title, here)
    return lines


def contents(nbs: Path = root / "nbs") -> str:
    "The sidebar's sections as YAML"
    explained = sorted((p.name for p in (nbs / "explanations").glob("*.ipynb")), key=lambda n: (n != FIRST, n))
    return "\n".join([*section("Start", ["index.ipynb"]), *floors("tutorials", nbs), *section("Explanations", [f"explanations/{n}" for n in explained]), *floors("api", nbs)]) + "\n"


def renewed(text: str) -> str:
    "A configuration with the sidebar of the notebooks that are there"
    return re.sub(r"(# by docs/sidebar\.py\n).*?(?=^\S|\Z)", lambda m: m[1] + contents() + "\n", text, flags=re.S | re.M)


def title(path: Path) -> tuple[str, str]:
    "A page's title and the line below it"
    first = next("".join(c["source"]) for c in json.loads(path.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "markdown")
    return re.search(r"^# (.*)", first, re.M)[1], re.search(r"^> (.*)", first, re.M)[1]


def rooms(nbs: Path = root / "nbs") -> str:
    "Every room with its number and its line, as a Markdown table"
    lines = ["| | room | |", "| --- | --- | --- |"]
    for path in sorted((nbs / "api").glob("[0-9][0-9]_*.ipynb")):
        name, said = title(path)
        lines.append(f"| {path.name[:2]} | [{name}](../api/{path.name}) | {said} |")
    return "\n".join(lines)


def with_rooms(text: str) -> str:
    "The house's notebook with the rooms that are there"
    nb = json.loads(text)
    for c in nb["cells"]:
        told = re.sub(r"(<!-- rooms -->\n).*?(<!-- end -->)", lambda m: f"{m[1]}\n{rooms()}\n\n{m[2]}", "".join(c["source"]), flags=re.S)
        c["source"] = told.splitlines(keepends=True)
    return json.dumps(nb, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    config.write_text(renewed(config.read_text(encoding="utf-8")), encoding="utf-8")
    house.write_text(with_rooms(house.read_text(encoding="utf-8")), encoding="utf-8")
