import json
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from dvae_core.plugin.registry import UnknownComponent, load_registry

from .helpers import HALVING, RECIPES, forget_plugins


def the_broken():
    (broken,) = load_registry().broken
    return broken


def test_a_third_party_schedule_of_a_few_lines(install, recipe_file):
    install("dvae-halving", HALVING, plugin="halving", version="2.1")
    provider = load_registry().provider("schedule", "halving")
    assert (provider.plugin, provider.distribution, provider.version) == (
        "halving",
        "dvae-halving",
        "2.1",
    )
    from dvae_core.recipe.recipe import load_recipe

    recipe = load_recipe(recipe_file, ['kl.weight={schedule="halving", every=5}'])
    assert recipe.kl.weight.value(5) == 4.0


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("def broken(:", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        (
            HALVING.replace("return [Halving]", "raise RuntimeError('no luck')"),
            "RuntimeError: no luck",
        ),
        (
            HALVING.replace("return [Halving]", "yield Halving; raise RuntimeError('half way')"),
            "RuntimeError: half way",
        ),
        (
            HALVING.replace("register_schedules", "register_schedule"),
            'unknown hook "register_schedule", did you mean "register_schedules"?',
        ),
        (HALVING.replace("[Halving]", "[Halving()]"), "which is not a class"),
        (HALVING.replace("[Halving]", "Halving"), "TypeError"),
        (
            HALVING.replace("register_schedules", "register_metrics"),
            "register_metrics: Halving is not a subclass of dvae_core.Metric",
        ),
        (HALVING.replace("def value", "def valeu"), "Halving does not define value"),
        (HALVING.replace('name = "halving"', ""), "needs a class attribute `name`"),
        (HALVING.replace("name =", "name: str ="), "name is annotated, which makes it a key"),
        (HALVING.replace("start: float", "schedule: str"), "the core owns the key schedule"),
        (HALVING.replace("hookimpl\ndef", "hookimpl\nasync def"), "TypeError"),
    ],
)
def test_whatever_a_plugin_does_costs_that_plugin_alone(
    install, recipe_file, tmp_path, dvae, code, reason
):
    install("dvae-bad", code, plugin="bad", version="0.3")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a coroutine that nobody awaits
        broken = the_broken()
    assert (broken.plugin, broken.distribution, broken.version) == ("bad", "dvae-bad", "0.3")
    assert reason in broken.error
    registry = load_registry()
    assert registry.get("schedule", "sigmoid")
    with pytest.raises(UnknownComponent, match=r"broken plugin bad \(dvae-bad 0\.3\)"):
        registry.get("schedule", "halving")

    status, out, _ = dvae("list-plugins")
    assert status == 0
    assert any(reason in line and "dvae-bad 0.3" in line for line in out.splitlines())
    briefly = ["--set", "train.epochs=2", "--out", tmp_path / "runs"]
    assert dvae("run", recipe_file, *briefly)[0] == 0
    needs_it = ["--set", 'kl.weight={schedule="halving"}']
    status, _, err = dvae("run", recipe_file, *briefly, *needs_it)
    assert status == 2
    assert reason in err
    assert len(list((tmp_path / "runs").iterdir())) == 1


def test_a_plugin_for_a_newer_core_is_broken(install):
    install("dvae-halving", HALVING, requires="dvae_core>=99")
    assert "needs dvae_core>=99, and this is dvae-core" in the_broken().error


def test_what_a_plugin_prints_stays_off_stdout(install, capsys):
    install("dvae-halving", "print('hello')" + HALVING)
    assert load_registry().get("schedule", "halving")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "hello" in captured.err


def test_a_clash_is_kept_listed_and_settled_by_the_recipe(install, recipe_file):
    from dvae_core.errors import RecipeError
    from dvae_core.recipe.recipe import load_recipe

    install("dvae-one", HALVING)
    install("dvae-two", HALVING.replace("8.0", "4.0"))
    assert load_recipe(recipe_file)
    with pytest.raises(RecipeError) as caught:
        load_recipe(recipe_file, ['kl.weight={schedule="halving"}'])
    assert (
        'schedule "halving" is provided by dvae_one (dvae-one 1.0) and dvae_two (dvae-two 1.0); '
        'write "dvae-one:halving" or "dvae-two:halving" to choose' in str(caught.value)
    )
    chosen = load_recipe(recipe_file, ['kl.weight={schedule="dvae-two:halving"}'])
    assert chosen.kl.weight.value(0) == 4.0
    assert chosen.to_table()["kl"]["weight"]["schedule"] == "dvae-two:halving"


def test_two_distributions_may_use_one_entry_point_name(install):
    install("dvae-one", HALVING, plugin="same")
    install("dvae-two", HALVING.replace('"halving"', '"quartering"'), plugin="same")
    registry = load_registry()
    assert not registry.broken
    assert registry.get("schedule", "halving")
    assert registry.get("schedule", "quartering")


def test_a_component_named_like_a_built_in_clashes(install):
    install("dvae-mine", HALVING.replace('"halving"', '"sigmoid"'))
    with pytest.raises(UnknownComponent, match="dvae-core:sigmoid"):
        load_registry().get("schedule", "sigmoid")
    assert load_registry().get("schedule", "dvae-mine:sigmoid").__name__ == "Halving"


def test_plugins_can_be_chosen(install, monkeypatch):
    install("dvae-one", HALVING)
    install("dvae-two", "raise RuntimeError")
    monkeypatch.setenv("DVAE_PLUGINS", "dvae-one")
    assert load_registry().get("schedule", "halving")
    assert not load_registry().broken
    monkeypatch.setenv("DVAE_PLUGINS", "")
    assert {p.distribution for p in load_registry().providers} == {"dvae-core"}


def test_strict_raises_what_the_plugin_raises(install, monkeypatch):
    install("dvae-bad", "raise ZeroDivisionError('oh')")
    monkeypatch.setenv("DVAE_STRICT", "1")
    with pytest.raises(ZeroDivisionError, match="oh"):
        load_registry()


def test_list_plugins_shows_what_is_broken(install, dvae):
    install("dvae-halving", HALVING, version="2.1")
    install("dvae-bad", "import no_such_module", version="0.3")
    code, out, _ = dvae("list-plugins")
    assert code == 0
    assert "halving" in out
    assert "ModuleNotFoundError: No module named 'no_such_module'" in out
    code, out, _ = dvae("list-plugins", "--json")
    rows = json.loads(out)
    assert {tuple(row) for row in rows} == {
        ("kind", "name", "summary", "plugin", "distribution", "version", "status", "error")
    }
    (bad,) = [row for row in rows if row["status"] == "broken"]
    assert (bad["distribution"], bad["version"]) == ("dvae-bad", "0.3")
    (mine,) = [row for row in rows if row["distribution"] == "dvae-halving"]
    assert mine["summary"] == "Halves the weight every so often."
    assert mine["status"] == "ok"


def test_list_plugins_of_one_kind(dvae):
    code, out, _ = dvae("list-plugins", "--kind", "kl", "--json")
    assert code == 0
    assert [row["name"] for row in json.loads(out)] == ["abs", "class_prior", "laplace", "square"]
    code, _, err = dvae("list-plugins", "--kind", "schedul")
    assert code == 2
    assert 'unknown kind "schedul", did you mean "schedule"?' in err


def test_every_built_in_has_a_help_line():
    for provider in load_registry().providers:
        assert provider.component.summary().endswith("."), provider


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["run", "--help"],
        ["list-plugins", "--json"],
        ["validate", str(RECIPES / "mnist_abs.toml")],
        ["show", str(RECIPES / "mnist_abs.toml")],
        ["schema"],
    ],
)
def test_light_verbs_load_no_heavy_library(arguments):
    code = f"""
import sys
from dvae_core.cli import main
sys.argv = ["dvae", *{arguments!r}]
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
heavy = {{"torch", "torchvision", "wandb", "matplotlib", "numpy", "scipy", "sklearn"}}
print(sorted(heavy & set(sys.modules)), file=sys.stderr)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stderr.splitlines()[-1] == "[]"


def test_resuming_with_another_version_warns_and_without_the_plugin_says_what_to_install(
    install, recipe_file, tmp_path, dvae
):
    install("dvae-halving", HALVING, version="2.1")
    halved = ["--set", 'guidance.weight={schedule="halving"}', "--out", tmp_path / "runs"]
    code, out, err = dvae("run", recipe_file, *halved)
    assert code == 0, err
    run = out.strip()
    info = json.loads(Path(run, "run.json").read_text())
    assert {
        "kind": "schedule",
        "name": "halving",
        "plugin": "dvae_halving",
        "distribution": "dvae-halving",
        "version": "2.1",
    } in info["components"]

    info_folder = tmp_path / "site-packages" / "dvae_halving-2.1.dist-info"
    metadata = (info_folder / "METADATA").read_text()
    (info_folder / "METADATA").write_text(metadata.replace("2.1", "3.0"))
    info_folder = info_folder.rename(info_folder.with_name("dvae_halving-3.0.dist-info"))
    forget_plugins()
    code, _, err = dvae("run", "--resume", run, "--set", "train.epochs=5")
    assert code == 0
    assert "the run used dvae-halving 2.1, and 3.0 is installed" in err

    points = info_folder / "entry_points.txt"
    points.rename(points.with_name("hidden"))
    forget_plugins()
    code, _, err = dvae("run", "--resume", run, "--set", "train.epochs=6")
    assert code == 2
    assert 'uses schedule "halving" of dvae-halving 2.1, which dvae-halving 3.0 does not' in err
    shutil.rmtree(info_folder)
    forget_plugins()
    code, _, err = dvae("run", "--resume", run, "--set", "train.epochs=6")
    assert code == 2
    assert "which is not installed: pip install dvae-halving==2.1" in err


def renamed(tmp_path, install, field):
    for info in (tmp_path / "site-packages").glob("*.dist-info"):
        shutil.rmtree(info)
    sys.modules.pop("dvae_halving", None)
    code = HALVING.replace("every: float = 10.0", f"period: float = {field}")
    install("dvae-halving", code.replace("self.every", "self.period"), version="2.0")


def test_a_renamed_key_is_said_to_be_another_version_s(install, recipe_file, tmp_path, dvae):
    install("dvae-halving", HALVING, version="1.0")
    weight = ["--set", 'kl.weight={schedule="halving", every=5}', "--set", "train.epochs=3"]
    assert dvae("run", recipe_file, *weight, "--out", tmp_path / "runs")[0] == 0
    (run,) = (tmp_path / "runs").iterdir()
    more = ["--set", "train.epochs=4"]
    renamed(tmp_path, install, "10.0")
    code, _, err = dvae("run", "--resume", run, *more)
    assert code == 2
    assert 'unknown key "every"' in err
    assert "the run used dvae-halving 1.0, and 2.0 is installed" in err
    alias = "__import__('pydantic').Field(10.0, validation_alias=__import__('pydantic')"
    renamed(tmp_path, install, f'{alias}.AliasChoices("period", "every"))')
    code, _, err = dvae("run", "--resume", run, *more)
    assert code == 0, err
    assert "period = 5.0" in (run / "recipe.toml").read_text()
    info = json.loads((run / "run.json").read_text())
    first, last = info["plugins"]["dvae-halving"], info["resumed"][0]["plugins"]["dvae-halving"]
    assert (first["version"], last["version"]) == ("1.0", "2.0")
    assert first["source"] != last["source"]


def test_another_source_of_the_same_version_is_warned_of(install, recipe_file, tmp_path, dvae):
    install("dvae-halving", HALVING, version="1.0")
    weight = ["--set", 'kl.weight={schedule="halving", every=5}', "--set", "train.epochs=3"]
    assert dvae("run", recipe_file, *weight, "--out", tmp_path / "runs")[0] == 0
    (run,) = (tmp_path / "runs").iterdir()
    file = tmp_path / "site-packages" / "dvae_halving.py"
    assert "another source" not in dvae("run", "--resume", run, "--set", "train.epochs=4")[2]
    file.write_text(file.read_text() + "# edited\n")
    err = dvae("run", "--resume", run, "--set", "train.epochs=4")[2]
    assert "another source of dvae-halving 1.0" in err


@pytest.mark.slow
def test_a_slow_plugin_is_announced_and_shown(install, dvae):
    install("dvae-slow", "import time; time.sleep(2.2)" + HALVING)
    code, out, err = dvae("list-plugins", "--json")
    assert code == 0
    assert "still loading plugin dvae_slow (dvae-slow 1.0)" in err
    (row,) = [row for row in json.loads(out) if row["distribution"] == "dvae-slow"]
    assert row["status"] == "slow"
    assert row["error"].startswith("took 2.")


def test_a_recipe_that_needs_a_broken_plugin_fails_with_the_reason(install, recipe_file, dvae):
    install("dvae-bad", "raise RuntimeError('nothing works')")
    assert dvae("validate", recipe_file)[0] == 0
    code, _, err = dvae("validate", recipe_file, "--set", 'kl.weight={schedule="halving"}')
    assert code == 2
    assert "broken plugin dvae_bad (dvae-bad 1.0): RuntimeError: nothing works" in err


OFFERS = (
    HALVING
    + """
from pathlib import Path
import typer

app = typer.Typer(name="judge")

@app.command()
def fairly(times: int = 1):
    print("guilty " * times)

@app.command()
def harshly():
    raise RuntimeError("no mercy")

@hookimpl
def register_recipes():
    return [Path(__file__).with_name("hasty.toml")]

@hookimpl
def register_commands():
    return [app]
"""
)


@pytest.fixture
def install_offers(install, tmp_path):
    def install_offers(code=OFFERS, distribution="dvae-judge"):
        (tmp_path / "site-packages" / "hasty.toml").write_text(
            f'extends = "{RECIPES / "quick.toml"}"\nkl.weight = {{ schedule = "halving" }}\n'
        )
        install(distribution, code)

    return install_offers


def test_a_package_brings_recipes_by_name(install_offers, tmp_path, dvae):
    install_offers()
    file = tmp_path / "site-packages" / "hasty.toml"
    registry = load_registry()
    assert registry.recipe("hasty") == registry.recipe("dvae-judge:hasty") == file
    with pytest.raises(UnknownComponent, match='unknown recipe "hasy", did you mean "hasty"'):
        registry.recipe("hasy")
    rows = json.loads(dvae("list-plugins", "--json")[1])
    assert {"recipe": str(file), "command": None} == {
        row["kind"]: row["summary"]
        for row in rows
        if row["kind"] in ("recipe", "command") and row["distribution"] == "dvae-judge"
    }

    install_offers(distribution="dvae-jury")
    with pytest.raises(UnknownComponent, match='write "dvae-judge:hasty" or "dvae-jury:hasty"'):
        load_registry().recipe("hasty")


def test_check_plugin_reads_a_package_s_recipes(install_offers, tmp_path, dvae):
    install_offers()
    assert "recipe hasty: can be read" in dvae("check-plugin", "dvae-judge")[1]
    sweep = 'recipe = "dvae-core:quick"\nseeds = 2\n'
    (tmp_path / "site-packages" / "hasty.toml").write_text(sweep)
    assert "recipe hasty: can be read" in dvae("check-plugin", "dvae-judge")[1]
    (tmp_path / "site-packages" / "hasty.toml").write_text("kl.weigth = 1\n")
    code, out, _ = dvae("check-plugin", "dvae-judge")
    assert (code, "missing table [dataset]" in out) == (1, True)


def test_a_package_brings_commands(install_offers, dvae):
    install_offers()
    assert dvae("judge", "fairly", "--times", "2")[:2] == (0, "guilty guilty \n")
    code, _, err = dvae("judge", "harshly")
    assert (code, "RuntimeError: no mercy" in err) == (1, True)
    assert " judge  " in dvae("--help")[1]
    for arguments in (["--no-plugins", "--help"], ["--help", "--no-plugins"]):
        assert " judge  " not in dvae(*arguments)[1]


def test_two_commands_of_a_name_are_told_apart(install_offers, dvae):
    install_offers()
    install_offers(distribution="dvae-jury")
    assert dvae("dvae-jury:judge", "fairly")[:2] == (0, "guilty \n")
    assert dvae("judge", "fairly")[0] == 2


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ('name="judge"', "", "an app needs a name"),
        ("return [app]", "return [fairly]", "which is no typer.Typer"),
        ("return [app]", "return [app, app]", 'gave two commands with the name "judge"'),
        ("return [app]", 'return [typer.Typer(name="empty")]', "RuntimeError"),
        ("hasty.toml", "slow.toml", "slow.toml is not a recipe's file"),
        ("return [Path(__file__)", "return ['hasty'] or [Path(__file__)", "which is no Path"),
    ],
)
def test_a_broken_offer_costs_its_plugin_alone(install_offers, dvae, before, after, reason):
    assert before in OFFERS
    install_offers(OFFERS.replace(before, after))
    assert reason in the_broken().error
    assert {offer.distribution for offer in load_registry().offers} == {"dvae-core"}
    assert dvae("--help")[0] == 0
    assert dvae("validate", RECIPES / "quick.toml")[0] == 0


def test_a_plugin_s_command_never_hides_one_of_ours(install_offers, dvae):
    install_offers(OFFERS.replace('name="judge"', 'name="validate"'))
    assert dvae("validate", RECIPES / "quick.toml")[0] == 0
