from dataclasses import replace

import pytest
from PIL import Image

from collm_nas.config.run import UserError, build
from collm_nas.data.pixels import pixel_format
from collm_nas.spaces.mobilenet.space import MobileNet
from collm_nas.spaces.mobilenet.supernet import SortChannels
from collm_nas.spaces.nasbench201.space import NASBench201
from collm_nas.spaces.shufflenet.space import ShuffleNet
from collm_nas.training.fit import check
from collm_nas.training.recipe import Phase, Recipe
from collm_nas.training.sampling import CostBins, Fixed, StrictFairness, Uniform
from tests.conftest import CONF, load, options
from tests.training.recipes import recipe, searchspace

RETRAINING = ("spos_retrain", "ofa_finetune", "autoformer_finetune", "autoformer_retrain")
RETRAINING += ("nb201_retrain",)


def problems(*phases, **changes) -> list[str]:
    """Return the problems of the light recipe with these phases."""
    phases = phases or recipe("light").phases
    with pytest.raises(ValueError, match=r"(?i)recipe") as error:
        replace(recipe("light"), phases=phases, **changes)
    return str(error.value).splitlines()


@pytest.mark.parametrize("name", options("recipe"))
def test_every_recipe_is_built_and_names_its_source(name):
    assert isinstance(recipe(name), Recipe)
    header = (CONF / "recipe" / f"{name}.yaml").read_text()
    assert header.startswith("# ")


@pytest.mark.parametrize("name", options("searchspace"))
def test_the_usual_recipe_of_every_space_fits_it(name):
    cfg = load("search", f"searchspace={name}", "strategy=random")
    check(build(cfg.recipe), build(cfg.searchspace))


def test_a_recipe_that_is_asked_for_replaces_the_usual_one():
    cfg = load("search", "searchspace=shufflenet", "recipe=light", "strategy=random")
    assert cfg.recipe.phases[0].name == "all"


def test_once_for_all_shrinks_in_the_published_phases():
    ofa = recipe("ofa")
    rows = [
        (p.name, p.epochs, p.warmup_epochs, p.lr, p.sampling.subnets, dict(p.sampling.choices))
        for p in ofa.phases
    ]
    assert rows == [
        ("full", 180, 0, 0.08125, 1, {"ks": [7], "d": [4], "e": [6]}),
        ("kernel", 125, 5, 0.03, 1, {"d": [4], "e": [6]}),
        ("depth1", 25, 0, 0.0025, 2, {"d": [3, 4], "e": [6]}),
        ("depth2", 125, 5, 0.0075, 2, {"e": [6]}),
        ("width1", 25, 0, 0.0025, 4, {"e": [4, 6]}),
        ("width2", 125, 5, 0.0075, 4, {}),
    ]
    assert [p.teacher for p in ofa.phases] == [None] + 5 * ["full"]
    assert [p.prepare for p in ofa.phases[:4]] == 4 * [None]
    sorting = [p.prepare for p in ofa.phases[4:]]
    assert sorting == [SortChannels([4, 6]), SortChannels([3, 4, 6])]
    assert [p.zero_unused_gradients for p in ofa.phases] == [False] + 5 * [True]
    assert ofa.teacher_mode == "train"
    assert list(ofa.resolutions or ()) == list(range(128, 225, 4))


def test_phases_are_overridden_by_their_number():
    short = recipe("ofa", "recipe.phases.1.epochs=7", "recipe.phases.1.sampling.subnets=2")
    assert short.phases[1].epochs == 7
    assert short.phases[1].sampling == Uniform(2, {"d": [4], "e": [6]})
    assert short.phases[0] == recipe("ofa").phases[0]


def test_epochs_become_steps():
    phase = Phase("all", lr=0.1, epochs=2.5, sampling=Uniform())
    assert phase.length(100) == 250
    assert replace(phase, epochs=None, steps=30).length(100) == 30
    assert replace(phase, epochs=0.001).length(10) == 1


def test_images_have_the_sizes_of_the_recipe_or_of_the_space():
    space = MobileNet(width=1.0)
    ofa = recipe("ofa")
    phase = ofa.phases[0]
    drawn = {ofa.image_size(phase, space, 0, step) for step in range(500)}
    assert drawn == set(range(128, 225, 4))
    own = replace(ofa, resolutions=None)
    drawn = {own.image_size(phase, space, 0, step) for step in range(100)}
    assert drawn == {160, 176, 192, 208, 224}
    assert recipe("light").image_size(phase, NASBench201(), 0, 0) == 32


def test_one_network_is_trained_at_its_own_size_in_all_phases():
    space = MobileNet(width=1.0)
    (arch,) = Uniform(choices={"r": [176]}).draw(space, 0, 0)
    finetune = recipe("ofa_finetune").fixed(arch)
    assert [p.sampling for p in finetune.phases] == [Fixed(arch)]
    assert {finetune.image_size(finetune.phases[0], space, 0, s) for s in range(20)} == {176}
    check(finetune, space)


@pytest.mark.parametrize("name", RETRAINING)
def test_recipes_of_one_network_do_not_train_a_supernet(name):
    with pytest.raises(ValueError, match=r"recipe\.phases\[0\]\.sampling is not set"):
        check(recipe(name), searchspace("nasbench201"))


# -- what is wrong with a recipe by itself --------------------------------------------------------


def test_all_problems_of_a_recipe_are_told_at_once():
    phase = Phase("a", lr=0, epochs=3, steps=5, warmup_epochs=4)
    other = replace(phase, lr=1, warmup_epochs=0, steps=None)
    wrong = {"pixels": "rgb", "batch_size": 0, "clip_norm": -1, "teacher_mode": "off"}
    assert [line.split()[1] for line in problems(phase, other, **wrong)] == [*wrong]
    found = problems(phase, other, batch_size=100, micro_batch=64)
    expected = [
        "recipe.batch_size must be a multiple of recipe.micro_batch",
        "recipe.phases[0].epochs or steps must be set, not both",
        "recipe.phases[0].lr must be positive",
        "recipe.phases[0].warmup_epochs must be a part of the phase",
        "recipe.phases: two are named a",
    ]
    assert len(found) == len(expected)
    assert all(words in line for line, words in zip(found, expected, strict=True))


def test_a_phase_has_a_length():
    (found,) = problems(Phase("a", lr=1))
    assert found.startswith("recipe.phases[0].epochs")
    for length in ({"epochs": 0}, {"steps": 0}, {"epochs": -1.0}):
        with pytest.raises(ValueError, match=r"Phase: (epochs|steps) must be"):
            Phase("a", lr=1, **length)


@pytest.mark.parametrize("name", ["", "..", "a/b", "a b", 5])
def test_the_name_of_a_phase_is_that_of_a_folder(name):
    with pytest.raises(ValueError, match="Phase: name must be"):
        Phase(name, lr=1, epochs=1)


def test_a_teacher_comes_from_an_earlier_phase():
    first = Phase("first", lr=1, epochs=1, sampling=Uniform(), teacher="second")
    second = replace(first, name="second")
    found = problems(first, second)
    assert len(found) == 2, "neither a later phase nor itself"
    assert "recipe.phases[0].teacher must be official, a weights file that exists" in found[0]
    assert "or one of largest, first, got 'second'" in found[1]


def test_weights_of_another_training_must_exist(tmp_path):
    weights = tmp_path / "supernet.safetensors"
    phase = Phase("a", lr=1, epochs=1, init_from=str(weights), teacher=str(weights))
    found = problems(phase)
    assert [line.split()[0] for line in found] == [
        "recipe.phases[0].teacher",
        "recipe.phases[0].init_from",
    ]
    weights.touch()
    replace(recipe("light"), phases=[phase])


def test_channels_are_sorted_after_they_were_trained():
    phase = Phase("width", lr=1, epochs=1, sampling=Uniform(), prepare=SortChannels([4, 6]))
    (found,) = problems(phase)
    assert "recipe.phases[0].init_from" in found
    replace(recipe("light"), phases=[replace(phase, init_from="official")])


def test_no_phases_are_no_recipe():
    light = recipe("light")
    with pytest.raises(ValueError, match="Recipe: phases must be a list of at least 1, got \\[\\]"):
        replace(light, phases=[])


def test_a_phase_without_its_class_is_told():
    with pytest.raises(ValueError, match=r"phases\[0\] must be a node with a `_target_`"):
        replace(recipe("light"), phases=[{"name": "all"}])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("override", "place"),
    [
        ("+recipe.phases.0.epoch=3", "recipe.phases"),
        ("+recipe.colour=red", "recipe"),
        ("+recipe.optimizer.lr=0.1", "recipe.optimizer"),
    ],
)
def test_unknown_keys_are_refused_with_their_place(override, place):
    with pytest.raises(UserError, match=place):
        recipe("light", override)


def test_wrong_values_of_parts_are_refused_with_their_place():
    with pytest.raises(UserError, match=r"recipe\.augmentation\.scale must be at most 1, got 7"):
        recipe("light", "recipe.augmentation.scale=7")


# -- what keeps a recipe from a space -------------------------------------------------------------


def test_all_that_keeps_a_recipe_from_a_space_is_told_at_once():
    phases = [
        Phase("a", lr=1, epochs=1, sampling=Uniform(1, {"k": [3]})),
        Phase("b", lr=1, epochs=1, sampling=StrictFairness(), prepare=SortChannels([4, 6])),
        Phase("c", lr=1, epochs=1, sampling=CostBins(1e9, 2e9, 1), teacher="largest"),
    ]
    wrong = replace(recipe("light"), phases=phases, resolutions=[64])
    with pytest.raises(ValueError, match="recipe") as error:
        check(wrong, ShuffleNet())
    found = str(error.value).splitlines()
    expected = [
        "recipe.phases[0].sampling.choices.k is no variable of shufflenet",
        "recipe.phases[1].prepare must be null",
        "recipe.phases[2].sampling: bin 0 of 1 is empty",
        "recipe.phases[2].teacher: largest needs a rule that draws the largest subnet first",
        "recipe.resolutions: networks of shufflenet take images of 224 pixels",
    ]
    assert len(found) == len(expected)
    assert all(words in line for line, words in zip(found, expected, strict=True))


@pytest.mark.parametrize("expansions", [[6], [3, 4], [5, 6], []])
def test_channels_are_sorted_by_expansions_of_the_space(expansions):
    ofa = recipe("ofa")
    last = replace(ofa.phases[-1], prepare=SortChannels(expansions))
    with pytest.raises(ValueError, match=r"\[1\]\.prepare\.expansions must be two or more"):
        check(replace(ofa, phases=[ofa.phases[0], last]), MobileNet(width=1.0))


def test_images_are_not_too_small():
    with pytest.raises(ValueError, match=r"recipe\.resolutions must be 8 pixels or more"):
        check(replace(recipe("ofa"), resolutions=[4]), MobileNet(width=1.0))
    with pytest.raises(ValueError, match="resolutions must be a list of at least 1"):
        replace(recipe("ofa"), resolutions=[])


@pytest.mark.parametrize(
    ("name", "space"),
    [
        ("ofa_w12", "mobilenet"),
        ("ofa_tiny", "mobilenet_tiny"),
        ("spos_uniform", "shufflenet"),
        ("fairnas", "shufflenet_tiny"),
        ("fairnas", "nasbench201"),
        ("sandwich", "mobilenet_tiny"),
        ("sandwich", "autoformer_tiny32"),
    ],
)
def test_recipes_fit_the_spaces_that_they_are_for(name, space):
    check(recipe(name), searchspace(space))


# -- what a recipe takes from its source -----------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "batch", "micro_batch", "precision", "keep", "norms"),
    [
        ("ofa", 2048, 64, "32-true", "best", "calibrated"),  # 32 GPUs
        ("ofa_w12", 2048, 64, "32-true", "best", "calibrated"),
        ("ofa_finetune", 2048, 64, "32-true", "best", "own"),
        ("spos", 1024, 128, "32-true", "last", "calibrated"),  # 8 GPUs
        ("spos_uniform", 1024, 128, "32-true", "last", "calibrated"),
        ("spos_retrain", 1024, 128, "32-true", "last", "own"),
        ("autoformer", 1024, 128, "16-mixed", "last", "calibrated"),  # 8 GPUs
        ("cell", 64, 64, "32-true", "best", "calibrated"),
        ("nb201_retrain", 256, 256, "32-true", "best", "own"),
        ("light", 64, None, None, "best", "calibrated"),
    ],
)
def test_gpus_precision_and_what_is_kept(name, batch, micro_batch, precision, keep, norms):
    made = recipe(name)
    assert (made.batch_size, made.micro_batch) == (batch, micro_batch)
    assert (made.precision, made.keep, made.norms) == (precision, keep, norms)


@pytest.mark.parametrize("trainer", ["gpu", "ddp"])
def test_a_gpu_computes_in_the_precision_of_the_recipe_unless_told(trainer):
    def precision(*overrides: str) -> str:
        return str(load("train_supernet", f"trainer={trainer}", *overrides).trainer.precision)

    assert precision("searchspace=mobilenet") == "32-true"
    assert precision("searchspace=shufflenet") == "32-true"
    assert precision("searchspace=autoformer") == "16-mixed"
    assert precision("searchspace=shufflenet_tiny") == "bf16-mixed"
    assert precision("searchspace=autoformer", "trainer.precision=bf16-mixed") == "bf16-mixed"


def test_what_a_phase_keeps_is_said_by_the_recipe_unless_told():
    assert load("train_supernet", "searchspace=shufflenet").keep == "last"
    assert load("train_supernet", "searchspace=mobilenet").keep == "best"
    assert load("train_supernet", "searchspace=shufflenet_tiny").keep == "best"
    assert load("train_supernet", "searchspace=shufflenet", "keep=best").keep == "best"


def test_one_network_of_spos_ends_with_statistics_over_an_epoch():
    train, statistics = recipe("spos_retrain").phases
    assert (train.steps, train.lr, train.statistics_only) == (300_000, 0.5, False)
    assert (statistics.steps, statistics.statistics_only) == (1250, True)


# -- a recipe follows the space or is refused ------------------------------------------------------


def refusal(*overrides: str) -> str:
    """Return why the recipe of a composed config does not fit its space."""
    cfg = load("train_supernet", *overrides)
    with pytest.raises(ValueError, match="recipe") as error:
        check(build(cfg.recipe), build(cfg.searchspace))
    return str(error.value)


def test_each_width_has_a_recipe_of_its_own():
    wrong = "made for mobilenet-w1.2, the space is mobilenet-w1.0-c1000"
    assert wrong in refusal("searchspace=mobilenet", "searchspace.width=1.0")
    assert "made for mobilenet-w1.0" in refusal("searchspace=mobilenet", "recipe=ofa")
    assert "made for mobilenet-w1.2" in refusal("searchspace=mobilenet", "searchspace.width=0.75")
    for settings in (
        ["recipe=ofa", "searchspace.width=1.0"],
        ["searchspace.width=0.75", "recipe.made_for=null"],
        ["searchspace.num_classes=10"],
    ):
        cfg = load("train_supernet", "searchspace=mobilenet", *settings)
        check(build(cfg.recipe), build(cfg.searchspace))


def test_a_space_is_trained_at_the_sizes_that_it_searches():
    found = refusal("searchspace=mobilenet", "searchspace.resolutions=[128,224]")
    assert "recipe.resolutions are 160 to 224 pixels, but the space searches at 128, too" in found


@pytest.mark.parametrize(
    "choices", ["e=[3,4,6,8]", "d=[2,3,4,5]", "ks=[3,5,7,9]"], ids=lambda c: c[:2]
)
def test_a_teacher_is_the_largest_subnet_and_has_been_trained(choices):
    space = ["searchspace=mobilenet", f"+searchspace.choices={{{choices.replace('=', ': ')}}}"]
    full = {"d": "[2,3,4]", "ks": "[3,5,7]", "e": "[3,4,6]"}
    rest = [f"+searchspace.choices.{n}={v}" for n, v in full.items() if not choices.startswith(n)]
    found = refusal(*space, *rest)
    assert "recipe.phases[1].teacher: the teacher is the largest subnet of mobilenet" in found
    assert "phase full does not train" in found


@pytest.mark.parametrize(
    ("dataset", "side", "padding", "mean"),
    [
        ("cifar10", 32, 4, (125.3, 123.0, 113.9)),
        ("cifar100", 32, 4, (129.3, 124.1, 112.4)),
        ("imagenet16-120", 16, 2, (122.68, 116.66, 104.01)),
    ],
)
@pytest.mark.parametrize("name", ["cell", "nb201_retrain"])
def test_pixels_are_those_of_the_data_set_of_the_space(name, dataset, side, padding, mean):
    """The numbers of https://github.com/D-X-Y/NAS-Bench-201."""
    space = ["searchspace=nasbench201", f"searchspace.dataset={dataset}"]
    made = build(load("evaluate", *space, f"recipe={name}").recipe)
    assert pixel_format(made.pixels).mean == mean
    white = Image.new("RGB", (side, side), "white")
    views = [made.augmentation.image(white, side, seed) for seed in range(200)]
    black = max(int((view[:, side // 2] == 0).all(axis=1).sum()) for view in views)
    assert black == padding


def test_a_statistics_phase_belongs_to_one_network():
    phase = Phase("s", steps=1, sampling=Uniform(), statistics_only=True)
    with pytest.raises(ValueError, match=r"recipe\.phases\[0\]\.statistics_only: a supernet"):
        check(replace(recipe("light"), phases=[phase]), ShuffleNet())


def test_a_batch_is_made_of_whole_micro_batches():
    (found,) = problems(batch_size=100, micro_batch=64)
    assert found.startswith("recipe.batch_size must be a multiple of recipe.micro_batch")
