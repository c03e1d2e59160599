"Stored outputs are fit to be seen: nothing on stderr, no path of a machine, no other people's sentences, not too much."
import json
import os
import re
from pathlib import Path

import pytest

root = Path(__file__).parent.parent
notebooks = sorted((root / "nbs").rglob("*.ipynb"))


def outputs(path): return [o for c in json.loads(path.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "code" for o in c["outputs"]]


@pytest.mark.parametrize("path", notebooks, ids=lambda p: p.stem)
def test_outputs(path):
    found = outputs(path)
    assert not [o for o in found if o.get("name") == "stderr" or o["output_type"] == "error"], "something on stderr, or an error"
    text = json.dumps(found)
    assert len(text) <= 400_000, f"{len(text):,} characters of output"
    assert not (m := re.search(r"(/home/|/root/|/work/|/tmp/|/Users/|[A-Z]:\\\\\\\\)[\w./-]*", text)), m


def test_they_stay_small(): assert sum(p.stat().st_size for p in notebooks) / len(notebooks) < 90_000, "bytes of a page, on average"


def test_stored_outputs():
    code = lambda p: any(c["cell_type"] == "code" for c in json.loads(p.read_text(encoding="utf-8"))["cells"])
    assert [p.stem for p in notebooks if code(p) and not outputs(p)] == []


@pytest.mark.skipif("CUSTOM_RM_DATA" not in os.environ, reason="the published sets are not here")
def test_no_published_sentence():
    "No twelve words in a row of the published sets stand in a notebook, a page, a test or the small data set."
    words = lambda t: re.findall(r"[a-z0-9']+", t.lower())
    ours = {}
    for pattern in ("nbs/**/*.ipynb", "*.md", "data/**/*", "tests/*.py", "bench/**/*.md", "bench/**/*.py", "custom_rm/*.py"):
        for p in root.glob(pattern):
            if p.is_file():
                w = words(p.read_text(encoding="utf-8"))
                for i in range(len(w) - 11):
                    if not {"charset", "viewport"} & set(w[i:i + 12]): ours.setdefault(hash(tuple(w[i:i + 12])), p)  # how every HTML page begins is nobody's sentence
    assert len(ours) > 10_000
    for file in Path(os.environ["CUSTOM_RM_DATA"]).glob("*.json"):
        for row in json.loads(file.read_text(encoding="utf-8")):
            texts = row["text"] if "text" in row else [row["query"], *row["responses"].values()]
            for t in texts:
                w = words(t)
                for i in range(len(w) - 11): assert hash(tuple(w[i:i + 12])) not in ours, (ours[hash(tuple(w[i:i + 12]))], " ".join(w[i:i + 12]))
