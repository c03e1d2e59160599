"""One reward model, every way to ask it: `python bench/parity.py ARTEFACT [FILE]` writes results/use/parity.json.

Scores the same texts by the artefact in memory, reloaded, one at a time, as an adapter in plain PEFT, merged in 32 and 16 bits, through transformers' pipeline,
batched with padding on either side, by sentence-transformers where it is installed, as TRL's trainers ask a reward model by path, and through each of the
server's endpoints. For each way: the largest difference to the first in rewards, and how many pairs of texts change order, near-ties (closer than twice
that difference) aside.
"""
import argparse
import gc
import json
import sys
import tempfile
from datetime import date
from pathlib import Path

import numpy as np
import torch


def real_texts(path: str | None, n: int) -> list[str]:
    "Different texts of a file of records; of the small data set's if none is named"
    from custom_rm.records import read_records
    from custom_rm.core import mini_dir
    from custom_rm.recipes import find
    from custom_rm.stages import domain_records
    if path: rows = read_records(find(path))
    else:
        with tempfile.TemporaryDirectory() as work: rows = list(domain_records(str(mini_dir() / "domains.test.json"), "business", Path(work)))
    return list(dict.fromkeys(t for r in rows for t in r["text"]))[:n]


def compare(first: np.ndarray, other: np.ndarray) -> dict:
    difference = float(np.abs(first - other).max())
    gap = first[:, None] - first[None]
    # texts closer than a fiftieth of the spread are near ties: which of them is first means nothing
    flips = (np.sign(gap) != np.sign(other[:, None] - other[None])) & (np.abs(gap) > .02 * first.std())
    return dict(max_diff=difference, of_spread=difference / float(first.std()), flips=int(flips.sum() // 2), pairs=int((np.abs(gap) > .02 * first.std()).sum() // 2))


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("artefact", type=Path)
    p.add_argument("file", nargs="?", help="records, such as $CUSTOM_RM_DATA/helpful.test.json; the small data set if not given")
    p.add_argument("--texts", type=int, default=200)
    p.add_argument("--only", nargs="+", default=None, help="only ways whose name contains one of these words; others are kept as they stand in OUT")
    p.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "results" / "use" / "parity.json")
    a = p.parse_args()
    from custom_rm.evaluate import write_report
    from custom_rm.export import merge, plain_rewards
    from custom_rm.fetch import fetch_model
    from custom_rm.artefact import load, read_card
    from custom_rm.core import versions
    from custom_rm.trunk import device_name
    from custom_rm.records import to_template
    from custom_rm.scorer import score_texts
    from custom_rm.core import quietly
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, BitsAndBytesConfig, pipeline
    card = read_card(a.artefact)
    n = card["max_length"]
    rm = load(a.artefact)
    # other tools cut nothing or cut on the right: texts that fit are the ones all can agree on
    texts = [t for t in (to_template(t, card["template"]) for t in real_texts(a.file, 10 * a.texts)) if len(rm.tokenizer(t)["input_ids"]) <= n][:a.texts]
    first = score_texts(rm, texts)
    ways = json.loads(a.out.read_text(encoding="utf-8")) if a.only and a.out.exists() else {}
    def tell(name, rewards):  # rewards are computed when they are wanted
        if a.only and not any(w in name for w in a.only): return
        ways[name] = compare(first, np.asarray(rewards(), dtype=float)); print(f"{name:34}", ways[name], flush=True)
    tell("artefact, one text at a time", lambda: [score_texts(rm, [t])[0] for t in texts])
    gc.collect()
    tell("artefact, reloaded", lambda: score_texts(load(a.artefact), texts))

    def batches(model, tokenizer, side):
        tokenizer.padding_side = side
        out = []
        with torch.no_grad():
            for i in range(0, len(texts), 8):
                out += model(**tokenizer(texts[i:i + 8], padding=True, return_tensors="pt").to(model.device)).logits[:, 0].float().tolist()
        return out

    tokenizer = quietly(AutoTokenizer.from_pretrained, a.artefact)
    from peft import PeftModel
    base = fetch_model(card["base"]["name"])
    four = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=getattr(torch, card["base"]["dtype"])) if card["base"]["quantize"] else None
    model = quietly(AutoModelForSequenceClassification.from_pretrained, base.path, num_labels=1, dtype=getattr(torch, card["base"]["dtype"]), quantization_config=four)
    def in_peft(model):
        model.config.pad_token_id = tokenizer.pad_token_id
        return batches(quietly(PeftModel.from_pretrained, model, str(a.artefact)).eval(), tokenizer, "right")
    if four:  # on the CPU bitsandbytes' own kernel rounds to 16 bits in between, and is named so
        tell("adapter in plain PEFT, 4-bit kernel", lambda: in_peft(model))
        model = quietly(AutoModelForSequenceClassification.from_pretrained, base.path, num_labels=1, dtype=getattr(torch, card["base"]["dtype"]), quantization_config=four).dequantize()
    tell("adapter in plain PEFT", lambda: in_peft(model))
    del model; gc.collect()

    with tempfile.TemporaryDirectory() as folder:
        for dtype in ("float32", "float16", "bfloat16"):
            merge(a.artefact, Path(folder) / dtype, dtype, texts=texts[:4], force=True)
            tell(f"merged, {dtype}", lambda: plain_rewards(Path(folder) / dtype, texts, n))
            if dtype != "float32": tell(f"merged, {dtype} weights, float32 arithmetic", lambda: plain_rewards(Path(folder) / dtype, texts, n, dtype="float32"))
        plain = str(Path(folder) / "float32")
        judge = quietly(pipeline, "text-classification", model=plain)
        tell("merged, pipeline", lambda: [x["score"] for x in judge(texts, batch_size=8)])
        model = quietly(AutoModelForSequenceClassification.from_pretrained, plain).eval()
        for side in ("left", "right"): tell(f"merged, padded on the {side}", lambda: batches(model, quietly(AutoTokenizer.from_pretrained, plain), side))
        try:
            from sentence_transformers import CrossEncoder
            from custom_rm.templates import split_text, TEMPLATES
            before, between = TEMPLATES[card["template"]].split("{prompt}")[0], TEMPLATES[card["template"]].split("{prompt}")[1].split("{response}")[0]
            bare = lambda t: (split_text(t)[0].removeprefix(before).removesuffix(between), split_text(t)[1])  # the export's chat template puts the template around them again
            tell("merged, CrossEncoder", lambda: quietly(CrossEncoder, plain, num_labels=1).predict([bare(t) for t in texts], activation_fn=torch.nn.Identity(), show_progress_bar=False, batch_size=8))
        except ImportError: print("sentence-transformers is not installed: skipped")
        # TRL's trainers load a reward model by path, pad on the right, and read logits[:, 0]
        tell("merged, as TRL asks by path", lambda: batches(quietly(AutoModelForSequenceClassification.from_pretrained, plain, num_labels=1).eval(), quietly(AutoTokenizer.from_pretrained, plain), "right"))

    from fastapi.testclient import TestClient
    from custom_rm.serve import create_app
    with TestClient(create_app([a.artefact])) as client:
        ask = lambda path, **body: client.post(path, json=body).json()
        tell("server, /get_reward", lambda: ask("/get_reward", query=texts)["rewards"])
        tell("server, /v1/score/evaluation", lambda: ask("/v1/score/evaluation", messages=texts)["scores"])
        tell("server, /classify", lambda: [d["probs"][0] for d in ask("/classify", input=texts)["data"]])
        tell("server, /pooling", lambda: [d["data"][0] for d in ask("/pooling", input=texts)["data"]])
    a.out.parent.mkdir(parents=True, exist_ok=True)
    write_report(a.out, ways)
    write_report(a.out.with_name("parity.about.json"), dict(texts=len(texts), spread=float(first.std()), artefact=card["name"], weights_sha256=card["weights_sha256"], device=device_name(torch.device("cpu")), versions=versions(), date=str(date.today())))


if __name__ == "__main__": sys.exit(main())
