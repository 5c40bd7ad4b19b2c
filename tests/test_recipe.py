import tomllib

import jsonschema
import pytest
import tomli_w

from dvae_core.errors import RecipeError
from dvae_core.plugin.registry import load_registry
from dvae_core.recipe.recipe import load_recipe
from dvae_core.recipe.same import check_same_experiment
from dvae_core.recipe.schema import recipe_schema
from dvae_core.sweep.sweep_file import load_sweep

from .helpers import RECIPES


def problems(path, *overrides):
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, overrides)
    return caught.value.problems


def test_every_error_at_once_with_file_line_and_hint(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text(
        """\
title = 3
[dataset]
name = "mnits"
[encoder]
nam = "conv"
[kl]
name = "abs"
wieght = 0.5
[reconstruction]
name = "squared_error"
weight = "much"
[guidance]
name = "mlp"
hidden = [10, -1]
weight = { schedule = "sigmoid", start = 1.0, end = "low", midpoint = 3, slope = 1 }
[trian]
epochs = 1
[train]
epochs = 2.5
batch_size = "64"
[optimizer]
name = "RMSprop"
learning_rate = 0.1
[evaluate]
metrics = ["knn", "nearest"]
"""
    )
    found = problems(path)
    expected = [
        f"{path}:1: title: input should be a valid string, not 3",
        f'{path}:3: [dataset] unknown dataset "mnits", did you mean "mnist"?',
        f'{path}:4: [encoder] missing key "name"',
        f'{path}:8: [kl] unknown key "wieght", did you mean "weight"?',
        f"{path}:11: [reconstruction] weight: must be a number or a table with a schedule",
        f"{path}:14: [guidance] hidden.1: input should be greater than 0, not -1",
        f'{path}:15: [guidance.weight] end: input should be a valid number, not "low"',
        f'{path}:16: unknown key "trian", did you mean "train"?',
        f"{path}:19: [train] epochs: input should be a valid integer, not 2.5",
        f'{path}:20: [train] batch_size: input should be a valid integer, not "64"',
        f'{path}:23: [optimizer] unknown key "learning_rate"',
        f'{path}:25: [evaluate.metrics.1] unknown metric "nearest"',
    ]
    assert len(found) == len(expected)
    for line, start in zip(found, expected, strict=True):
        assert line.startswith(start), line


def test_missing_tables_are_named(tmp_path):
    path = tmp_path / "empty.toml"
    path.write_text("")
    found = problems(path)
    assert found == [f"{path}: missing table [{t}]" for t in ("dataset", "encoder")]


def test_an_error_in_an_extended_file_names_that_file(tmp_path, recipe_file):
    child = tmp_path / "child.toml"
    recipe_file.write_text(recipe_file.read_text().replace("weight = 0.5", "wight = 0.5"))
    child.write_text(f'extends = "{recipe_file.name}"\nseed = 5\n')
    line = recipe_file.read_text().splitlines().index("wight = 0.5") + 1
    assert problems(child)[0].startswith(f'{recipe_file}:{line}: [kl] unknown key "wight"')


def test_an_error_in_an_override_names_the_override(recipe_file):
    assert problems(recipe_file, "train.epochs=ten") == [
        '--set train.epochs=ten: [train] epochs: input should be a valid integer, not "ten"'
    ]


def test_a_table_that_an_override_makes_is_the_override_s(recipe_file):
    for change in ("trian.epochs=3", "trian={epochs=3}", "trian.more.epochs=3"):
        assert problems(recipe_file, change) == [
            f'--set {change}: unknown key "trian", did you mean "train"?'
        ]


def test_a_base_is_named_by_extends(tmp_path):
    path = tmp_path / "child.toml"
    path.write_text('extend = "quick"\n')
    assert f'{path}:1: unknown key "extend", did you mean "extends"?' in problems(path)


def test_a_sweep_is_no_recipe_and_a_recipe_is_no_sweep(tmp_path):
    sweep = tmp_path / "sweep.toml"
    sweep.write_text('seeds = 2\nrecipe = "quick"\n')
    (said,) = problems(sweep)
    assert said == f"{sweep}:2: this is a sweep of a recipe; run it with dvae sweep {sweep}"
    with pytest.raises(RecipeError, match="this is a recipe and no sweep; train it with dvae run"):
        load_sweep(RECIPES / "quick.toml", load_registry())


@pytest.mark.parametrize("pair", ['["0"]', '["0", "8", "3"]', '["8", "8"]', '"08"'])
def test_a_pair_is_two_classes(recipe_file, pair):
    (said,) = problems(recipe_file, f"pairs=[{pair}]")
    assert "a pair is two classes" in said


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer.name=Adm", 'torch.optim has no "Adm", did you mean "Adam"?'),
        ("optimizer.lr=fast", "lr must be like its default 0.001, not 'fast'"),
        ("optimizer.betas=[0.9]", "betas must be like its default (0.9, 0.999)"),
        ("optimizer.name=LBFGS", "it evaluates the loss several times a step"),
        ("kl.weight=nan", "must be a finite number"),
        ("kl.weight=true", "must be a number"),
        ("train.device=gpu", "device: string should match pattern"),
        ("terms=3", "terms: must be a list"),
        ("dataset=3", "dataset: must be a table that names a dataset"),
        ("latent.dim=0", "dim: input should be greater than or equal to 1"),
        ("seed=-1", "seed: input should be greater than or equal to 0"),
    ],
)
def test_wrong_values(recipe_file, override, message):
    (found,) = problems(recipe_file, override)
    assert message in found
    assert found.startswith(f"--set {override}: ")


def test_the_decoder_follows_the_encoder(tmp_path, recipe_file):
    text = recipe_file.read_text().replace('[decoder]\nname = "mlp"\nhidden = [16]\n', "")
    recipe_file.write_text(text)
    assert load_recipe(recipe_file).decoder.name == "mlp"
    assert problems(recipe_file, "encoder.name=cnov") == [
        '--set encoder.name=cnov: [encoder] unknown encoder "cnov", did you mean "conv"?; '
        "known: conv, mlp"
    ]


def test_toml_types_are_exact_but_integers_are_numbers(recipe_file):
    assert load_recipe(recipe_file, ["kl.weight=2"]).kl.weight == 2.0
    assert "[encoder] hidden.0: " in problems(recipe_file, 'encoder.hidden=["16"]')[0]


def test_a_schedule_that_the_run_ends_before_is_refused(recipe_file):
    mnist = RECIPES / "mnist_abs.toml"
    (found,) = problems(mnist, "train.epochs=4")
    assert f"{mnist}:" in found
    assert "settles at 4045.95 steps and the run has 3,752" in found
    assert load_recipe(mnist, ["train.epochs=4", "guidance.weight.allow_unfinished=true"])
    # 90,000 steps are known only once npz data is read; nothing is refused before that.
    recipe = load_recipe(recipe_file, ["guidance.weight.length=90000"])
    with pytest.raises(RecipeError, match="settles at 90000 steps and the run has 20"):
        recipe.check_schedules(192)


def test_a_resolved_recipe_gives_itself_again(tmp_path):
    for path in RECIPES.glob("*.toml"):
        recipe = load_recipe(path)
        again = tmp_path / path.name
        again.write_text(tomli_w.dumps(recipe.to_table()))
        assert load_recipe(again).to_table() == recipe.to_table()


def test_origins(recipe_file):
    recipe = load_recipe(recipe_file, ["train.epochs=5"])
    assert recipe.origin(("seed",)) == f"{recipe_file}:2"
    assert recipe.origin(("train", "epochs")) == "--set train.epochs=5"
    assert recipe.origin(("train", "precision")) == "default"
    assert recipe.origin(("evaluate", "metrics", 0, "k")) == "default"
    assert recipe.origin(("evaluate", "metrics", 0, "name")).startswith(f"{recipe_file}:")


def test_two_terms_of_one_name_are_refused(recipe_file, install):
    install("extra-terms", TERM)
    text = recipe_file.read_text() + '[[terms]]\nname = "still"\n[[terms]]\nname = "still"\n'
    recipe_file.write_text(text)
    (found,) = problems(recipe_file)
    assert 'another term is called "still" already' in found


TERM = """
from dvae_core import Term, hookimpl

class Still(Term):
    "Adds nothing."
    name = "still"
    def build(self, model):
        return lambda outputs, labels: outputs.z.sum() * 0

@hookimpl
def register_terms():
    return [Still]
"""


def test_what_a_resumed_run_may_change(recipe_file):
    before = load_recipe(recipe_file)
    check_same_experiment(before, load_recipe(recipe_file, ["train.epochs=9", "evaluate.every=2"]))
    with pytest.raises(RecipeError) as caught:
        check_same_experiment(before, load_recipe(recipe_file, ["optimizer.lr=0.5", "kl.weight=1"]))
    assert any("optimizer.lr is 0.5 and was 0.01" in p for p in caught.value.problems)
    assert any("kl.weight is 1.0 and was 0.5" in p for p in caught.value.problems)


@pytest.fixture(scope="module")
def schema():
    schema = recipe_schema(load_registry())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_schema_accepts_every_shipped_recipe_and_its_resolved_form(schema):
    for path in RECIPES.glob("*.toml"):
        schema.validate(tomllib.loads(path.read_text()))
        schema.validate(load_recipe(path).to_table())


@pytest.mark.parametrize(
    "change",
    [
        {"kl": {"name": "abs", "wieght": 1}},
        {"kl": {"name": "abz"}},
        {"train": {"epochs": "ten"}},
        {"trian": {}},
        {"guidance": {"name": "mlp", "weight": {"schedule": "sigmoid", "start": 1}}},
        {"evaluate": {"metrics": ["nearest"]}},
    ],
)
def test_the_schema_refuses_what_the_recipe_refuses(schema, change):
    table = load_recipe(RECIPES / "mnist_abs.toml").to_table()
    assert schema.is_valid(table)
    assert not schema.is_valid(table | change)
