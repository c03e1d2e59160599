"The notebooks of this project pass the lints, and each lint finds what it is there for, and nothing else."
import json
import subprocess
import sys
from pathlib import Path

import pytest
from lints import AT_LEAST, AT_MOST, LINTS, RAN
from lints import code_hash, count_lines, demo_share, doubled, machine_words, measure, notebooks

root = Path(__file__).parent.parent


@pytest.mark.parametrize("lint", LINTS, ids=lambda f: f.__name__)
def test_project(lint):
    faults = list(lint(root / "nbs", root / "custom_rm"))
    assert not faults, "\n".join(faults)


def says(text, name="stdout"): return dict(output_type="stream", name=name, text=[text])


def code(source, *outputs):
    return dict(cell_type="code", metadata={}, outputs=list(outputs), execution_count=None, source=source)


def prose(source): return dict(cell_type="markdown", metadata={}, source=source)


def write(path, *cells, ids=None, ran=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = [dict(code(c) if isinstance(c, str) else c, id=i) for i, c in zip(ids or map(str, range(99)), cells)]
    if ran == "now": ran = code_hash(cells)
    metadata = {RAN: dict(code=ran)} if ran else {}
    path.write_text(json.dumps(dict(cells=cells, metadata=metadata, nbformat=4, nbformat_minor=5)), encoding="utf-8")


@pytest.fixture
def project(tmp_path):
    "Folders of notebooks and of modules with no fault: one page, `one`, with the number 10"
    nbs, lib = tmp_path / "nbs", tmp_path / "lib"
    lib.mkdir()
    (lib / "one.py").write_text("")
    write(nbs / "10_one.ipynb", "#| default_exp one", title, "#| export\nimport os",
          prose("A page about one thing: a number that stays private. What it is, the cell below says in full."),
          "#| export\n_secret = 1", code("_secret", says("1")), ran="now")
    return nbs, lib


title = prose("# one\n\n> What it is")
wide = "x = " + " + ".join("1" * 40)
long = "#| export\ndef f():\n" + "".join(f"    x{i} = {i}\n" for i in range(25))
printed = code("print(f(), 'is what it gives')", says("1 is what it gives"))

FAULTS = {  # lint: cells of another notebook, each of which makes one fault
    "shared_default_exp": [["#| default_exp one"]],
    "export_without_default": [["#| export\ndef f(): pass"]],
    "late_directive": [["x = 1\n#| hide"]],
    "mixed_imports": [["import os\nx = os.sep"]],
    "more_than_a_title": [[prose("# Title\n\n> Line\n\nLost")], [prose("# Title\n> Line\n> Lost")], [prose("Text")],
                          [prose("# Title")], ["x = 1"]],
    "linked_names": [[title, prose("See [`x`](10_one.ipynb).")]],
    "stale_outputs": [[printed]],
    "unfit_outputs": [[code("x", says("w", "stderr"))], [code("x", says("in /tmp/a"))],
                      [code("x", dict(output_type="error", ename="E", evalue="v", traceback=[]))]],
    "upward_imports": [["#| default_exp low", "#| export\nfrom lib.one import x"],
                       ["#| default_exp low", "#| export\nimport lib.one"],
                       ["#| default_exp low", "#| export\ndef f():\n    from lib import one"],
                       ["#| default_exp low", "#| export\ndef f():\n    from .one import x"]],
    "foreign_privates": [["#| default_exp new", "#| export\nfrom lib.one import _x"],
                         ["#| default_exp new", "#| export\nfrom lib import one as o", "#| export\nx = o._x"],
                         ["#| default_exp new", "#| export\ndef f(): import lib.one; return lib.one._x"],
                         ["#| default_exp new", "#| export\ndef f(a): return a._secret"]],
    "wide_lines": [["#| default_exp new", f"#| export\n{wide}"], ["#| default_exp new", wide]],
    "long_cells": [["#| default_exp new", long],
                   ["#| default_exp new", "#| export\n" + ("x = '" + "1" * 100 + "'\n") * 20]],
    "crowded_cells": [["#| default_exp new", "#| export\ndef f(): pass\n\nclass G: pass"],
                      ["#| default_exp new", "#| export\n@patch\ndef f(self:A): pass\n\n@patch\ndef g(self:A): pass"]],
    "one_thing_a_unit": [[prose("There is one line a record.")], [prose("a point a\nreward model")],
                         ["#| export\ndef f(\n    x, # One value a text\n): pass"],
                         ['help = "a head a domain"'], ['f"{x}: has a response a domain"']],
}
CLEAN = {  # cells that look like a fault and are none
    "late_directive": [["#| export\n# a comment\nx = 1"]],
    "mixed_imports": [["import os\nfrom re import sub"], ["%time x = 1"]],
    "more_than_a_title": [[title, prose("Not lost")], [prose("# Title\n\n> Line\n\n- skip_exec: true")]],
    "linked_names": [[title, prose("See [this page](10_one.ipynb), `x` (a name), [1](#x).")]],
    "unfit_outputs": [[code("x", says("a/tmp/b, https://host/home/x, Q:\\nWhat, 'C: x'"))]],
    "stale_outputs": [["print(1)", prose("no output")]],
    "upward_imports": [["#| default_exp low", "from lib.one import x"],
                       ["#| default_exp low", "#| export\nimport other.one"]],
    "foreign_privates": [["#| default_exp new", "#| export\nfrom other import _x"],
                         ["#| default_exp new", "from lib.one import _x"],
                         ["#| default_exp new", "#| export\n_secret = 2", "#| export\nx = a._secret, a._theirs"]],
    "wide_lines": [[wide]],
    "long_cells": [["#| default_exp new", long.replace("    x0 = 0\n", "\n\n")]],
    "crowded_cells": [["#| default_exp new", "#| export\ndef _g(): pass\n\ndef f(): return _g()"]],
}


def run(lint, project): return list(next(f for f in LINTS if f.__name__ == lint)(*project))


@pytest.mark.parametrize("lint", LINTS, ids=lambda f: f.__name__)
def test_silent(lint, project): assert list(lint(*project)) == []


@pytest.mark.parametrize("lint,cells", [(lint, cells) for lint, cases in FAULTS.items() for cells in cases])
def test_finds_its_fault(project, lint, cells):
    write(project[0] / "05_new.ipynb", *cells)
    assert len(faults := run(lint, project)) == 1, faults


@pytest.mark.parametrize("lint,cells", [(lint, cells) for lint, cases in CLEAN.items() for cells in cases])
def test_finds_no_other(project, lint, cells):
    write(project[0] / "05_new.ipynb", *cells)
    assert run(lint, project) == []


def test_every_lint_is_tested(): assert {f.__name__ for f in LINTS} - set(FAULTS) == set(ELSEWHERE)


ELSEWHERE = {"module_without_notebook", "unstable_ids", "shared_rooms", "containers"}


def test_module_without_notebook(project):
    (project[1] / "two.py").write_text("")
    assert len(run("module_without_notebook", project)) == 1


def test_unstable_ids(project):
    write(project[0] / "05_new.ipynb", "x = 1", "y = 1", ids=["a", "a"])
    write(project[0] / "06_new.ipynb", "x = 1", ids=[None])
    assert len(run("unstable_ids", project)) == 2


def test_shared_rooms(project):
    write(project[0] / "10_two.ipynb", title)
    write(project[0] / "other" / "10_two.ipynb", title)
    write(project[0] / "other" / "named.ipynb", title)
    assert len(run("shared_rooms", project)) == 1


def test_words_of_recipes_and_readme(project):
    (project[1] / "a.yaml").write_text("# an adapter a domain\nx: 1\n")
    (project[0].parent / "README.md").write_text("One row a question.\n")
    assert len(run("one_thing_a_unit", project)) == 2


@pytest.mark.parametrize("text", [
    "one line a record", "a head a domain", "a response a domain", "a row a text and a cell a token",
    "half a byte a weight", "one forward pass a text", "in one pass a text", "two answers a question",
    "a point a reward model", "a column a domain's questions",
])
def test_words(text): assert doubled(text) and doubled(f"There is {text}, it says.")


@pytest.mark.parametrize("text", [
    "one line per record", "a head for each domain", "379 tokens a second", "an answer a person prefers",
    "every file a recipe names", "gives each text a number", "In a tree a token may look", "one at a time",
    "With four texts a set has six pairs", "a list of a step",
    "a table, a row each", "for each record a list", "a string or a list", "give a text a score", "a run is a folder",
])
def test_words_of_english(text): assert doubled(f"Here: {text}.") == doubled(text) == []


def test_machine_words():
    assert machine_words([says("saved /home/me/x.txt")]) == "/home/me/x.txt"
    shown = dict(output_type="execute_result", data={"text/plain": ["<A at 0x7f47c50ecf10>"]})
    assert machine_words([shown]) == "at 0x7f47c50ecf10"
    assert machine_words([says("C:\\Users\\me")]) and machine_words([says("x/site-packages/y")])
    assert not machine_words([dict(output_type="display_data", data={"image/png": "/tmp/"})])


def test_code_hash():
    "It is of the code, in its order; text and outputs don't count"
    a, b = code("a"), code("b")
    assert code_hash([a, b]) == code_hash([prose("x"), code(["a\n"], says("1")), b]) != code_hash([b, a])
    assert code_hash([a, b]) != code_hash([code("ab")]) != code_hash([code("a"), code("a")])


def test_stale(project):
    path = project[0] / "10_one.ipynb"
    path.write_text(path.read_text().replace('"_secret"', '"_secret + 0"'))
    assert "older than the code" in run("stale_outputs", project)[0]


# What pages are like

def page(*cells): return "#| default_exp new", title, *cells


explained = prose("Why it is there, what it does and what the result below means. " * 9)
small = "#| export\ndef f():\n    return 1"
twenty = "#| export\ndef f():\n" + "    x = 1\n" * 20


@pytest.mark.parametrize("fault,cells", [
    (None, [explained, small, printed]),
    ("median lines", [explained, "#| export\ndef f():\n" + "    x = 1\n" * 9, printed, code("f() # " + "x" * 60)]),
    ("over 20 lines", [explained, small, printed, small, printed, explained, twenty, printed, "f() # " + "x" * 99]),
    ("two or more definitions", [explained, small + "\n\ndef _g(): pass", printed, code("f()")]),
    ("shown before the next", [explained, small, code("#| hide\n1", says("1")), small, printed, "f() # shown, late"]),
    ("shown before the next", [explained, small, "f() # without a value"]),
    ("prose", [small, printed, code("f() # " + "x" * 99)]),
    ("shown cells are", [explained, small, code("1", says("1"))]),
])
def test_containers(tmp_path, fault, cells):
    write(tmp_path / "10_new.ipynb", *page(*cells))
    faults = run("containers", (tmp_path, tmp_path))
    assert len(faults) == (fault is not None) and all(fault in f for f in faults), faults


def test_measure(tmp_path):
    write(tmp_path / "10_new.ipynb", *page("#| export\nfrom x import (\n    y)", small, printed, "#| export\nA = 1"))
    found = measure(tmp_path)
    assert found["cells"] == 2 and found["median lines"] == 1.5 and found["shown before the next"] == .5
    assert set(found) == {"cells", *AT_MOST, *AT_LEAST}
    assert count_lines("#| export\n\nx = 1\n" + "y" * 121) == 3
    assert demo_share([code("#| export\nimport os")]) == 1
    assert measure(tmp_path / "nothing") == {}


# Running them

def test_run_and_store(tmp_path):
    "Outputs are stored with the hash of their code; what failed, or says what is true on one machine, leaves no trace"
    bad = dict(error="1/0", syntax="def f(:", address="object()", stderr="import sys\nprint(1, file=sys.stderr)",
               path="import sys\nprint(sys.prefix + '/site-packages')")
    for name, source in bad.items(): write(tmp_path / f"{name}.ipynb", code("1 + 1", says("old")), source, "3")
    write(tmp_path / "good.ipynb", "import os", code("#| eval: false\n1/0", says("kept")),
          "os.environ['CUSTOM_RM_SMALL']", code("x = 1", says("gone")))
    before = {p.stem: p.read_bytes() for p in tmp_path.glob("*.ipynb")}
    files = sorted(map(str, tmp_path.glob("*.ipynb")))
    done = subprocess.run([sys.executable, root / "docs" / "run.py", "--small", *files], capture_output=True, text=True)
    assert done.returncode == 1 and "ZeroDivisionError" in done.stderr
    assert done.stdout.count("not stored") == len(bad) and "good.ipynb: stored" in done.stdout
    assert {name for name, b in before.items() if (tmp_path / f"{name}.ipynb").read_bytes() != b} == {"good"}
    nb = json.loads((tmp_path / "good.ipynb").read_text())
    values = [["".join(o.get("text") or o["data"]["text/plain"]) for o in c["outputs"]] for c in nb["cells"]]
    assert values == [[], ["kept"], ["'1'"], []]
    ran = nb["metadata"][RAN]
    assert set(ran) == {"code", "date", "device", "small"} and ran["code"] == code_hash(nb["cells"])
    assert not run("stale_outputs", (tmp_path, tmp_path))[:-len(bad)]


def test_clean_keeps_the_hash():
    "nbdev_clean drops metadata that settings.ini does not name"
    from nbdev.clean import clean_nb
    from nbdev.config import get_config
    nb = dict(cells=[], metadata={RAN: dict(code="x"), "other": 1})
    clean_nb(nb, allowed_metadata_keys=get_config(path=root).allowed_metadata_keys.split())
    assert nb["metadata"] == {RAN: dict(code="x")}


def test_no_blessing_without_running():
    text = subprocess.run([sys.executable, root / "docs" / "run.py", "--help"], capture_output=True, text=True).stdout
    assert "--small" in text and "--stamp" not in text


def test_stored_outputs_are_small():
    for path, *_ in notebooks(root / "nbs"): assert path.stat().st_size < 400_000, path
