import pytest

from collm_nas.config.run import build
from collm_nas.data.check import check_classes
from collm_nas.data.digits import Digits
from tests.conftest import load, options


def test_a_data_set_with_other_classes_is_refused_with_what_to_set():
    spaces = {
        n: build(load("search", f"searchspace={n}").searchspace)
        for n in ("mobilenet_tiny", "shufflenet")
    }
    check_classes(spaces["mobilenet_tiny"], Digits())
    with pytest.raises(ValueError, match=r"1000 classes apart.*has 10\..*num_classes=10"):
        check_classes(spaces["shufflenet"], Digits())


@pytest.mark.parametrize("name", options("searchspace"))
def test_every_space_comes_with_a_data_set_of_its_classes(name):
    config = load("search", f"searchspace={name}")
    classes = {"Digits": 10, "CIFAR": 10, "ImageNet": 1000}
    kind = config.data._target_.rpartition(".")[2]
    assert build(config.searchspace).num_classes == classes[kind]


def test_the_command_line_chooses_other_data_than_the_space():
    config = load("search", "searchspace=shufflenet", "data=imagefolder", "data.root=photos")
    assert config.data._target_.endswith("ImageFolder")
