"""``mmvitkd::CONFIG`` wherever MMEngine and MMPretrain look for a config."""

import mmpretrain
import pytest
from mmengine.config import Config, utils
from mmengine.hub import get_config, get_model

from mmvitkd.models import ViTKDDistiller
from mmvitkd.utils.config_file import find_config
from tests.shrink import CONFIGS
from tests.test_tools.runs import message

DIGITS = 'mmvitkd::digits/vitkd_digits.py'
FILE = CONFIGS / 'digits' / 'vitkd_digits.py'


def test_as_a_base(tmp_path):
    child = tmp_path / 'mine.py'
    child.write_text(
        f'_base_ = {DIGITS!r}\n'
        'model = dict(terms=dict(gen=None, more=_base_.vitkd_terms.gen))\n'
    )
    model = Config.fromfile(child).model
    assert model.teacher == Config.fromfile(FILE).model.teacher
    assert list(model.terms) == ['mimic0', 'mimic1', 'gen', 'more']
    assert model.terms.more.loss.loss_weight == 1e-4


def test_metafiles_are_read_once():
    get_config('mmpretrain::deit/deit-tiny_4xb256_in1k.py')
    read = utils.load.cache_info().misses
    get_config('mmpretrain::swin_transformer/swin-tiny_16xb64_in1k.py')
    assert utils.load.cache_info().misses == read


def test_by_mmengines_hub():
    assert get_config(DIGITS).to_dict() == Config.fromfile(FILE).to_dict()
    assert get_config('mmvitkd::_base_/terms/nkd.py').nkd_term.student == 'head'
    assert isinstance(get_model(DIGITS), ViTKDDistiller)
    with pytest.raises(AssertionError, match='Cannot find `Weights`'):
        get_config(DIGITS, pretrained=True)


def test_by_mmpretrains_list():
    names = mmpretrain.list_models('*digits')
    assert {'vitkd_digits', 'digits_student', 'tat_digits'} <= set(names)
    assert not mmpretrain.list_models('*scenes*')  # detectors
    assert 'deit-tiny_4xb256_in1k' in mmpretrain.list_models()


def test_mmpretrain_builds_the_models_of_its_list():
    """Whatever scope it builds them in, and wherever one is."""
    needs_a_run = {'kd_intra-class_digits'}  # in whose work dir its teacher's config is
    for name in set(mmpretrain.list_models('*digits*')) - needs_a_run:
        assert mmpretrain.get_model(name) is not None


WRONG = {
    'mmvitkd::digits/vitkd_digit.py': 'digits/vitkd_digits.py',
    'mmvitkd::vitkd_digits.py': 'digits/vitkd_digits.py',
    'mmvitkd::vitkd/vitkd_digits': 'digits/vitkd_digits.py',
    'mmvitkd::_base_/term/nkd.py': '_base_/terms/nkd.py',
}


@pytest.mark.parametrize('name', WRONG)
def test_a_wrong_name_offers_the_nearest(name, tmp_path):
    told = f"'{name}': mmvitkd has no such config: did you mean '{WRONG[name]}'?"
    child = tmp_path / 'mine.py'
    child.write_text(f'_base_ = {name!r}\n')
    for read, given in (
        (get_config, name),
        (find_config, name),
        (Config.fromfile, child),
    ):
        with pytest.raises(ValueError) as error:
            read(given)
        assert str(error.value) == told
    assert message('train', child) == f"error: config '{child}': {told}"
    assert message('train', name) == f'error: {told}'


def test_nothing_outside_the_folder_is_found():
    with pytest.raises(ValueError, match='no such config'):
        get_config('mmvitkd::../setup.py')
