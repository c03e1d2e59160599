"A trunk cut to fewer layers, read from the mean, computed in another precision: the artefact says so and reloads to the same scores."
import pytest
import torch

TEXTS = [f"## Human:\nWhat is {i} plus one?\n\n## Assistant:\nIt is {i + 1}{'!' * (i % 3)}" for i in range(6)]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    from custom_rm.tiny import tiny_base
    return tiny_base(tmp_path_factory.mktemp("trunk") / "base", TEXTS)


@pytest.mark.parametrize("options", [dict(layers=1), dict(pooling="mean"), dict(dtype="bfloat16"), dict(layers=1, pooling="mean", dtype="bfloat16")], ids=lambda o: "-".join(map(str, o.values())))
def test_reloads_to_the_same_scores(base, options, tmp_path):
    from custom_rm.artefact import load, read_card
    from custom_rm.model import RewardModel
    from custom_rm.scorer import score_texts
    rm = RewardModel(base, quantize=False, max_length=64, device="cpu", **options).add_adapter("x")
    with torch.no_grad():
        for n, p in rm.named_parameters():
            if p.requires_grad: p.copy_(torch.randn(p.shape, generator=torch.Generator().manual_seed(len(n))) * .3)
    before = score_texts(rm, TEXTS)
    card = read_card(rm.save(tmp_path / "x"))
    again = load(tmp_path / "x", device="cpu")
    assert (score_texts(again, TEXTS) == before).all() and before.std() > 0
    assert again.trunk.config.num_hidden_layers == options.get("layers", rm.trunk.config.num_hidden_layers) and card["base"].get("layers") == options.get("layers")
    assert str(again.dtype) == f"torch.{options.get('dtype', 'float32')}"


def test_fewer_layers_are_the_lower_ones(base):
    from custom_rm.model import RewardModel
    whole, cut = RewardModel(base, quantize=False, device="cpu"), RewardModel(base, quantize=False, device="cpu", layers=1)
    for (name, a), (_, b) in zip(whole.trunk.model.layers[0].named_parameters(), cut.trunk.model.layers[0].named_parameters()): assert torch.equal(a, b), name
    assert len(whole.trunk.model.layers) > 1 == len(cut.trunk.model.layers)


def test_what_can_not_be_asked_of_it(base, tmp_path):
    from custom_rm.export import copy_adapter, merge
    from custom_rm.model import RewardModel
    from custom_rm.core import DataError
    with pytest.raises(DataError, match="give fewer"): RewardModel(base, quantize=False, device="cpu", layers=99)
    rm = RewardModel(base, quantize=False, device="cpu", layers=1).add_adapter("x")
    with pytest.raises(DataError, match="cut to 1 layers"): rm.lm_head()
    rm.save(tmp_path / "x")
    with pytest.raises(DataError, match="export it merged"): copy_adapter(tmp_path / "x", tmp_path / "out")
    mean = RewardModel(base, quantize=False, device="cpu", pooling="mean").add_adapter("y"); mean.save(tmp_path / "y")
    for export in (copy_adapter, merge):
        with pytest.raises(DataError, match="pooling"): export(tmp_path / "y", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("setting, message", [("layers: 0", "base.layers"), ("dtype: float8", "base.dtype")])
def test_faults_in_a_recipe(setting, message, tmp_path):
    from custom_rm.core import DataError
    from custom_rm.recipes import read_recipe
    (tmp_path / "r.yaml").write_text(f"base: {{{setting}}}\ngeneral: {{train: {{a: b.json}}}}\n")
    with pytest.raises(DataError, match=message): read_recipe(tmp_path / "r.yaml")
