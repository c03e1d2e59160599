"""The site's sidebar follows the notebooks' numbers: `python docs/sidebar.py` writes it into `nbs/_quarto.yml`.

A tutorial's or a room's tens say its section; a new notebook needs no other entry.
"""
import re
from pathlib import Path

root = Path(__file__).parent.parent
config = root / "nbs" / "_quarto.yml"
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


if __name__ == "__main__": config.write_text(renewed(config.read_text(encoding="utf-8")), encoding="utf-8")
