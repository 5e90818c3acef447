"""What a run needs is looked for first, and an export needs no network."""

import pytest
import torch
from mmengine.config import Config

from mmvitkd.utils.download import _places
from mmvitkd.utils.errors import ConfigError
from mmvitkd.utils.export import plain_config
from mmvitkd.utils.needs import check_needs
from tests.helpers import build
from tests.test_tools.runs import config

DEAD = 'https://nothing.invalid/student-weights.pth'
PRETRAINED = {'type': 'Pretrained', 'checkpoint': DEAD}


def test_all_that_is_missing_is_named_at_once(tmp_path):
    changes = {
        'model.student.backbone.init_cfg': PRETRAINED,
        'model.teacher.checkpoint': 'gone.pth',
        'load_from': 'begin.pth',
        'train_dataloader.dataset': {
            '_delete_': True, 'type': 'mmvitkd.ImageFolder', 'data_root': 'nowhere',
        },
    }  # fmt: skip
    cfg = Config.fromfile(config(tmp_path, **changes))
    with pytest.raises(ConfigError) as error:
        check_needs(cfg)
    told = str(error.value)
    for place in (
        f"model.student.backbone.init_cfg.checkpoint: checkpoint '{DEAD}' can't be",
        "model.teacher.checkpoint: checkpoint 'gone.pth' does not exist",
        "load_from: checkpoint 'begin.pth' does not exist",
        "train_dataloader.dataset.data_root: there is no folder 'nowhere'",
    ):
        assert place in told


def test_what_was_downloaded_before_needs_no_network(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    cfg = Config.fromfile(
        config(tmp_path, **{'model.student.backbone.init_cfg': PRETRAINED})
    )
    with pytest.raises(ConfigError):
        check_needs(cfg)
    file = _places(DEAD)[0]
    file.parent.mkdir(parents=True)
    file.touch()
    check_needs(cfg)


def test_teachers_that_no_term_asks_need_not_be_there(tmp_path):
    cfg = Config.fromfile(config(tmp_path))
    cfg.model.teacher.checkpoint = 'gone.pth'
    cfg.model.terms = dict.fromkeys(cfg.model.terms)
    check_needs(cfg)
    cfg.model.terms = None
    check_needs(cfg)


def test_an_export_keeps_no_address(tmp_path):
    cfg = Config.fromfile(
        config(tmp_path, **{'model.student.backbone.init_cfg': PRETRAINED})
    )
    plain = plain_config(cfg)
    assert DEAD not in plain.pretty_text
    assert plain.model.head.init_cfg.type == 'TruncNormal'
    build(plain.model.to_dict()).init_weights()


HUBS = {
    'timm': {'type': 'TimmClassifier', 'model_name': 'vit_tiny_patch16_224'},
    'Hugging Face': {'type': 'HuggingFaceClassifier', 'model_name': 'nobody/a-model'},
}


@pytest.mark.parametrize('library', HUBS)
def test_published_weights_are_asked_for_by_name(library, tmp_path, monkeypatch):
    monkeypatch.setattr('huggingface_hub.constants.ENDPOINT', 'https://nothing.invalid')
    template = 'https://nothing.invalid/{repo_id}/resolve/{revision}/{filename}'
    monkeypatch.setattr(
        'huggingface_hub.file_download.HUGGINGFACE_CO_URL_TEMPLATE', template
    )
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_CACHE', str(tmp_path))
    cfg = Config.fromfile(config(tmp_path))
    cfg.model.teacher = {'cfg': {**HUBS[library], 'pretrained': True}}
    with pytest.raises(ConfigError) as error:
        check_needs(cfg)
    told = str(error.value)
    assert told.startswith(f'model.teacher.cfg.model_name: {library}')
    assert f"'{HUBS[library]['model_name']}' can't be reached" in told
    file = tmp_path / 'teacher.py'
    Config({'model': cfg.model.teacher.cfg}).dump(file)
    cfg.model.teacher = {'cfg': str(file)}
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', True)
    with pytest.raises(ConfigError, match='HF_HUB_OFFLINE') as error:
        check_needs(cfg)
    assert f'{file}: model.model_name' in str(error.value)


def test_published_weights_of_the_cache_need_no_network(tmp_path, monkeypatch):
    snapshot = tmp_path / 'models--nobody--a-model' / 'snapshots' / 'abc'
    snapshot.mkdir(parents=True)
    (snapshot / 'model.safetensors').touch()
    refs = tmp_path / 'models--nobody--a-model' / 'refs'
    refs.mkdir()
    (refs / 'main').write_text('abc')
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_CACHE', str(tmp_path))
    cfg = Config.fromfile(config(tmp_path))
    cfg.model.teacher = {'cfg': {**HUBS['Hugging Face'], 'pretrained': True}}
    check_needs(cfg)
