"The notebooks of this project pass the six lints, and each lint finds what it is there for."
import json
from pathlib import Path

import pytest
from lints import LINTS

root = Path(__file__).parent.parent


@pytest.mark.parametrize("lint", LINTS, ids=lambda f: f.__name__)
def test_project(lint): assert list(lint(root / "nbs", root / "custom_rm")) == []


def _write(path, *sources, ids=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = [dict(cell_type="code", id=i, metadata={}, outputs=[], execution_count=None, source=s) for i, s in zip(ids or "abcdefg", sources)]
    path.write_text(json.dumps(dict(cells=cells, metadata={}, nbformat=4, nbformat_minor=5)))


@pytest.mark.parametrize("lint,sources,ids", [
    ("module_without_notebook", ["#| default_exp gone"], None),
    ("shared_default_exp", ["#| default_exp one"], None),
    ("export_without_default", ["#| export\ndef f(): pass"], None),
    ("late_directive", ["x = 1\n#| hide"], None),
    ("mixed_imports", ["import os\nx = os.sep"], None),
    ("unstable_ids", ["x = 1", "y = 1"], ["a", "a"]),
])
def test_finds_its_fault(tmp_path, lint, sources, ids):
    nbs, lib = tmp_path / "nbs", tmp_path / "lib"
    lib.mkdir()
    (lib / "one.py").write_text("")
    _write(nbs / "00_one.ipynb", "#| default_exp one", "import os")
    check = next(f for f in LINTS if f.__name__ == lint)
    assert list(check(nbs, lib)) == []
    if lint == "module_without_notebook": (lib / "two.py").write_text("")
    _write(nbs / "01_new.ipynb", *sources, ids=ids)
    assert len(list(check(nbs, lib))) == 1


def test_exported_cells_are_short():
    "No exported cell is over forty lines"
    from lints import notebooks
    for path, _, sources in notebooks(root / "nbs"):
        for s in sources:
            if s.startswith("#| export"): assert len([l for l in s.splitlines() if l.strip()]) <= 41, f"{path}: {s.splitlines()[1]}"


def test_stored_outputs():
    "Outputs are from a clean run: no error, nothing on stderr, no path of a machine"
    for path in (root / "nbs").rglob("*.ipynb"):
        text = path.read_text(encoding="utf-8")
        nb = json.loads(text)
        outputs = [o for c in nb["cells"] if c["cell_type"] == "code" for o in c["outputs"]]
        assert not any(o["output_type"] == "error" or o.get("name") == "stderr" for o in outputs), path
        assert not any(p in json.dumps(outputs) for p in ("/tmp/", "/root/", "/home/", "site-packages")), path
        assert len(text) < 400_000, path
