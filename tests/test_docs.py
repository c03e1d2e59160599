"Docs without code: spelling, links within the repository, and every command that a page shows."
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

root = Path(__file__).parent.parent
sys.path.insert(0, str(root / "docs"))
from address import settings  # noqa: E402

markdown = [p for pattern in ("*.md", "data/**/*.md", "bench/*.md", "docs/*.md") for p in sorted(root.glob(pattern))]
notebooks = [p for p in sorted((root / "nbs").rglob("*.ipynb")) if ".ipynb_checkpoints" not in p.parts]
pages = [*markdown, *notebooks]


def prose(path: Path) -> str:
    "What a page says, without its code cells"
    if path.suffix == ".md": return path.read_text(encoding="utf-8")
    return "\n\n".join("".join(c["source"]) for c in json.loads(path.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "markdown")


def commands(path: Path) -> list[str]:
    "Command lines of a page's shell blocks, and those that stand in its sentences"
    text = prose(path)
    blocks = [line.strip() for block in re.findall(r"```sh\n(.*?)```", text, re.S) for line in block.splitlines()]
    inline = re.findall(r"(?<!`)`(custom-rm [^`\n]+)`", text)
    return [c for line in blocks + inline for c in line.split(" && ") if c and not c.startswith(("#", "for ", "done"))]


HERE = "{user}/{repo}".format(**settings())
shown = sorted({c for p in pages for c in commands(p)})


def test_spelling(tmp_path):
    for p in pages: (tmp_path / f"{p.stem}.md").write_text(re.sub(r"```.*?```|`[^`\n]*`|https?://\S+|!\[[^\]]*\]\([^)]*\)", "", prose(p), flags=re.S), encoding="utf-8")
    done = subprocess.run([sys.executable, "-m", "codespell_lib", "--builtin", "clear,rare", "--ignore-words-list", "preceeding,nd,fo,te,hist", str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", pages, ids=lambda p: p.stem)
def test_links(path):
    "Links lead to files that are there; a page of the site is a notebook here."
    broken = []
    for url in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```|(?<!\[)`[^`\n]*`(?!\])", "", prose(path), flags=re.S)):
        url = url.split("#")[0]
        if m := re.match(rf"https://(?:github\.com/{HERE}/(?:blob|tree)|colab\.research\.google\.com/github/{HERE}/blob)/main/(.+)", url): target = root / m[1]
        elif re.match(r"[a-z]+:", url) or not url: continue
        else: target = path.parent / url
        if target.suffix == ".html": target = target.with_suffix(".ipynb")
        if not target.exists() and not list(target.parent.glob(f"[0-9][0-9]_{target.name}")): broken.append(url)
    assert not broken, broken


@pytest.mark.parametrize("command", shown)
def test_shown_commands_exist(command):
    "Verbs, options and scripts are there under these names."
    words = shlex.split(command.split(" > ")[0].replace("…", ""))
    if words[0] == "custom-rm":
        if words[1] == "VERB": return
        from typer.main import get_command
        from custom_rm.cli import app
        verbs = get_command(app).commands
        assert words[1] in verbs, f"{words[1]} is no verb"
        known = {o for p in verbs[words[1]].params for o in (*p.opts, *p.secondary_opts)} | {"--help"}
        assert {w.split("=")[0] for w in words[2:] if w.startswith("--")} <= known
    elif words[0] == "python" and words[1] != "-m":
        script = root / words[1]
        assert script.is_file(), script
        text = script.read_text(encoding="utf-8") + (root / "bench/common.py").read_text(encoding="utf-8")
        for w in words[2:]: assert not w.startswith("--") or re.search(rf"\b{w[2:].replace('-', '_')}\b", text), w
    elif words[0] == "pytest": assert all((root / w).is_file() for w in words[1:] if not w.startswith("-")), command
    elif words[0].startswith("nbdev_"): assert shutil.which(words[0], path=Path(sys.executable).parent), command
    else: assert words[0] in ("pip", "custom-rm", "jupyter", "git", "cd", ".", "python", "transformers"), command


# what a page calls FILE or mine.yaml is one of these here; verbs that fetch, serve, ask or train for minutes have tests of their own
ELSEWHERE = ("fetch", "serve", "quickstart", "collect", "vote", "VERB")
whole = [c for c in shown if c.startswith("custom-rm ") and len(c.split()) > 2 and c.split()[1] not in ELSEWHERE and "cuda" not in c and "~/.cache" not in c]


@pytest.fixture(scope="module")
def place(home, finished, tmp_path_factory):
    "A folder where the files of the pages' commands lie"
    from custom_rm.convert import convert
    place = tmp_path_factory.mktemp("place")
    for part in ("train", "test"): convert(home / f"domains.{part}.json", place / f"loud.{part}.json", domain="loud")
    (place / "records.json").write_text((home / "general.test.json").read_text(encoding="utf-8"), encoding="utf-8")
    for made in ("mine.jsonl", "mine.clean.jsonl"): convert(home / "general.test.json", place / made)
    (place / "llmbar-natural.json").write_text(json.dumps([dict(input=f"What is {i} plus one?", output_1=f"It is {i + 1}.", output_2="No.", label=1) for i in range(4)]), encoding="utf-8")
    recipe = (home / "recipe.yaml").read_text(encoding="utf-8")
    inner = "\n".join("  " + line for line in recipe.splitlines() if line and not line.startswith("name"))
    (place / "mine.yaml").write_text(f"name: mine\nrecipe:\n{inner}\nseeds: [0]\nstrategies: {{general: {{measure: general}}, plain: }}\n".replace("imitation: 0.1", "rows: 4"), encoding="utf-8")
    return place


@pytest.mark.parametrize("command", whole)
def test_shown_commands_run(command, place, home, finished, custom_rm):
    files = dict(ARTEFACT=finished[0] / "loud", GENERAL=finished[0] / "general", CUSTOM=finished[0] / "loud", OUT=place / "out", RECIPE=home / "recipe.yaml", TEST=place / "loud.test.json",
                 TRAIN=place / "loud.train.json", VALIDATION=place / "loud.test.json", GENERAL_VALIDATION=home / "general.test.json", STUDY=place / "mine.yaml", BENCHMARK=place / "llmbar-natural.json")
    words = [str(files.get(w, w)) for w in shlex.split(command.split(" > ")[0])[1:]]
    if words[0] == "train" and (root / f"custom_rm/recipes/{words[1]}.yaml").is_file() and "--show" not in words: words.append("--show") # those that come along train for an hour, on data one has fetched; that they load is shown here
    done = custom_rm(*words, cwd=place, env=None)
    assert done.returncode == 0, done.stdout + done.stderr
