"What a person may mistype: each is one line that says what to do, exit code 2, and nothing is left behind."
import json
import os
import socket
import sys

import pytest


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    "Wrong kinds of things to give to a verb, and right ones beside them"
    import custom_rm.artefact  # noqa: F401
    from custom_rm.model import RewardModel
    from custom_rm.tiny import sum_text, tiny_base, tiny_preferences
    home = tmp_path_factory.mktemp("place")
    tiny_preferences(home, train=20, test=10)
    (home / "records.jsonl").write_text("\n".join(json.dumps(dict(text=[sum_text(i, f"It is {i+1}."), sum_text(i, "No idea.")], score=[1, 0])) for i in range(12)))
    (home / "half.jsonl").write_text('{"text": ["## Human:\\nHi \\ud83d\\n\\n## Assistant:\\nHo.", "## Human:\\nHi \\ud83d\\n\\n## Assistant:\\nNo."], "score": [1, 0]}')
    (home / "halfprompt.jsonl").write_text('{"prompt": "Hi \\ud83d", "response": "Ho."}')
    for name, words in (("tiny", ["It is 4!!! No idea..."]), ("other", ["Quite other words make another base."])):
        rm = RewardModel(tiny_base(home / name, [sum_text(3, word) for word in words]), quantize=False, max_length=64)
        rm.add_adapter("a").save(home / f"{name}-art")
    rm = RewardModel(home / "tiny", quantize=False, max_length=64)
    rm.add_adapter("b").save(home / "second-art")
    for ending in ("json", "jsonl", "csv", "xlsx", "parquet", "arrow", "yaml"):
        (home / f"empty.{ending}").write_text("")
        (home / f"binary.{ending}").write_bytes(bytes(range(256)) * 4)
    (home / "list.yaml").write_text("- 1\n- 2\n")
    (home / "word.yaml").write_text("word\n")
    (home / "recipe.yaml").write_text(f"name: r\nbase: {{name: {home}/tiny, max_length: 64}}\ngeneral: {{train: {{x: {home}/records.jsonl}}}}\n")
    (home / "folder").mkdir()
    (home / "full").mkdir()
    (home / "full" / "note.txt").write_text("mine")
    (home / "file").write_text("a file")
    return home


def listing(home): return sorted((str(p.relative_to(home)), p.is_file() and p.stat().st_size) for p in home.rglob("*"))


@pytest.fixture
def call(place, monkeypatch, capsys):
    "Run the command line in this process, in the folder of wrong things; what it said and how it ended"
    monkeypatch.chdir(place)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    def run(*words):
        from custom_rm.cli import main
        monkeypatch.setattr(sys, "argv", ["custom-rm", *map(str, words)])
        try: main()
        except SystemExit as end: code = end.code
        else: code = 0
        out, err = capsys.readouterr()
        return code, out, err
    return run


def refused(call, place, words, *parts):
    before = listing(place)
    code, out, err = call(*words)
    assert code == 2 and err.count("\n") == 1 and err.startswith("custom-rm: ") and len(err) > 30, (code, out, err)
    for part in parts: assert part in err, err
    assert listing(place) == before, set(listing(place)) ^ set(before)


WRONG_FILES = ["none.json", "folder", "empty.json", "binary.json", "empty.jsonl", "binary.jsonl", "file/in.json"]
TABLES = ["empty.csv", "binary.csv", "empty.xlsx", "binary.xlsx", "empty.parquet", "binary.parquet", "empty.arrow", "binary.arrow"]
WRONG_TARGETS = ["folder", "file/out.json"]
WRONG_YAML = ["none.yaml", "folder", "empty.yaml", "binary.yaml", "list.yaml", "word.yaml", "records.jsonl"]
WRONG_ARTEFACTS = ["none", "folder", "file", "tiny", "records.jsonl"]
DEVICES = ["cuda:9", "tpu", "cpu:3", "-"]
COMMANDS = [
    *(f"convert {x} out.json" for x in WRONG_FILES + TABLES), *(f"convert general.train.json {x}" for x in (*WRONG_TARGETS, "out.txt")), "convert", "convert general.train.json",
    *(f"convert general.train.json out.json --mapping {x}" for x in ("none.yaml", "folder", "binary.yaml", "list.yaml", "word.yaml")),
    "convert general.train.json out.json --from nonsense", "convert general.train.json out.json --to nonsense", "convert domains.train.json out.json --domain nonsense", "convert halfprompt.jsonl out.json",
    *(f"clean {x} out.json" for x in WRONG_FILES), *(f"clean records.jsonl {x}" for x in WRONG_TARGETS), "clean records.jsonl out.json --against none.json", "clean records.jsonl out.json --against folder",
    "clean records.jsonl out.json --report folder", "clean records.jsonl out.json --report file/report.json", "clean records.jsonl out.json --ties nonsense",
    *(f"split {x}" for x in WRONG_FILES), *(f"split records.jsonl --out-train {x}" for x in WRONG_TARGETS), "split records.jsonl --out-test folder", "split records.jsonl --test 2", "split records.jsonl --test nan", "split records.jsonl --test many", "split records.jsonl --by nonsense",
    "fetch nonsense", "fetch dsp --dest file --mirror folder", "fetch helpful.train --dest elsewhere --mirror none",
    *(f"{verb} {x}" for verb in ("train", "plan", "study") for x in WRONG_YAML), "train recipe.yaml --out file", "train recipe.yaml --out file/run", "train nonsense --show", *(f"train recipe.yaml --out run --device {x}" for x in DEVICES),
    "plan recipe.yaml --json folder", "plan recipe.yaml --json file/plan.json", "plan recipe.yaml --device tpu", "quickstart --out file", "quickstart --out new --device tpu",
    *(f"evaluate {x} records.jsonl" for x in WRONG_ARTEFACTS), *(f"evaluate tiny-art {x}" for x in [*WRONG_FILES, "half.jsonl"]), "evaluate tiny-art records.jsonl --train none.json", "evaluate tiny-art records.jsonl --metric nonsense", "evaluate tiny-art",
    *(f"evaluate tiny-art --benchmark {x}" for x in [*WRONG_FILES, "records.jsonl", "nobody/nothing:test"]), "evaluate tiny-art --benchmark records.jsonl --benchmark-kind nonsense", "evaluate tiny-art records.jsonl --benchmark records.jsonl", "evaluate none --benchmark records.jsonl", "evaluate tiny-art --benchmark records.jsonl --metric ece",
    *(f"evaluate tiny-art records.jsonl --json {x}" for x in WRONG_TARGETS), *(f"evaluate tiny-art records.jsonl --device {x}" for x in DEVICES),
    *(f"score {x} records.jsonl" for x in WRONG_ARTEFACTS), *(f"score tiny-art {x}" for x in [*WRONG_FILES, *TABLES, "half.jsonl", "halfprompt.jsonl"]), "score tiny-art", "score tiny-art records.jsonl --also other-art", "score tiny-art records.jsonl --also none",
    *(f"score tiny-art records.jsonl --json {x}" for x in (*WRONG_TARGETS, "out.txt")), *(f"score tiny-art records.jsonl --out {x}" for x in (*WRONG_TARGETS, "file/out.jsonl", "out.txt", "full/note.txt/out.parquet")), "score tiny-art halfprompt.jsonl --out out.jsonl", "score tiny-art halfprompt.jsonl --out out.parquet",
    "score tiny-art --prompt a\udcff --response b", "score tiny-art --prompt a --response b\udcff", "score tiny-art --prompt a", "score tiny-art records.jsonl --device tpu",
    *(f"calibrate {x} records.jsonl" for x in WRONG_ARTEFACTS), *(f"calibrate tiny-art {x}" for x in [*WRONG_FILES, "half.jsonl"]), "calibrate tiny-art records.jsonl --device cuda:9",
    *(f"blend {x} second-art out --alpha 0.5" for x in WRONG_ARTEFACTS), *(f"blend tiny-art {x} out --alpha 0.5" for x in WRONG_ARTEFACTS), "blend tiny-art other-art out --alpha 0.5", "blend tiny-art second-art file --alpha 0.5", "blend tiny-art second-art file/out --alpha 0.5", "blend tiny-art second-art out --alpha half", "blend tiny-art second-art out --alpha nan",
    "blend tiny-art second-art out --alpha 0.5 --json folder", "blend tiny-art second-art out --choose none.json --keep records.jsonl", "blend tiny-art second-art out --choose records.jsonl --keep folder", "blend tiny-art second-art out --alpha 0.5 --device tpu",
    "study dsp-cpu --out file", "study dsp-cpu --out file/out", "study dsp-cpu --out new --json folder", "study dsp-cpu --out new --device tpu", "study dsp-cpu --out new --seed many", "study dsp-cpu --out new --judge nonsense", "study dsp-cpu --out new --only nonsense",
    *(f"export {x} out" for x in WRONG_ARTEFACTS), *(f"export tiny-art {x} {how}" for x in ("file", "file/out", "full") for how in ("--merge", "--adapter")), "export tiny-art out --dtype int8", "export tiny-art out --device tpu", "export tiny-art out --limit nan",
    *(f"export tiny-art out --push {x} --yes" for x in ("a/b/c", "bad!name", "a/.b", "-", "a--b/c", "x" * 120)),
    "serve", *(f"serve {x}" for x in WRONG_ARTEFACTS), *(f"serve tiny-art --port {x}" for x in ("99999", "-1", "http")), "serve tiny-art --host nowhere.invalid --token x", "serve tiny-art --host 0.0.0.0", "serve tiny-art --device tpu", "serve tiny-art other-art/none",
    "nonsense", "score --nonsense", "train recipe.yaml extra",
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.encode(errors="backslashreplace").decode())
def test_one_line_and_nothing_left(call, place, command): refused(call, place, command.split(" "))


@pytest.mark.parametrize("terminal", [dict(PYTHONIOENCODING="cp1252"), dict(PYTHONIOENCODING="ascii"), dict(LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")], ids=str)
def test_a_terminal_that_lacks_letters(custom_rm, tmp_path, terminal):
    "A letter that it doesn't know is written as its number, and the rest as it is"
    (tmp_path / "数.yaml").write_text("# 数 ‘quoted’\nname: naïve\n", encoding="utf-8")
    done = custom_rm("train", tmp_path / "数.yaml", "--show", env=os.environ | terminal, errors="replace")
    assert done.returncode == 0 and not done.stderr and "\\u6570" in done.stdout and "name: na" in done.stdout, done.stderr


def test_an_address_that_is_taken(call, place):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        refused(call, place, ["serve", "tiny-art", "--port", str(other.getsockname()[1])], "choose another --port")


@pytest.mark.parametrize("module,words,part", [("uvicorn", "serve tiny-art", "custom_rm[serve]"), ("fastapi", "serve tiny-art", "custom_rm[serve]")])
def test_a_missing_extra_is_named(call, place, monkeypatch, module, words, part):
    monkeypatch.setitem(sys.modules, module, None)
    refused(call, place, words.split(), part)


def test_a_reward_function_is_given_nothing(place):
    "An empty completion, as text or as messages, and an empty batch"
    from custom_rm.scoring import reward_function
    judge = reward_function(place / "tiny-art", device="cpu")
    assert judge([], []) == [] and judge(["Hi"], [[]]) == [None]
    (of_words,) = judge(["Hi"], [""])
    assert isinstance(of_words, float)
