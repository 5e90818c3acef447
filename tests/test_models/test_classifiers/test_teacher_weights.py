"""A teacher's weights: refused where they can't be right, and never run."""

import pickle

import pytest
import torch

from mmvitkd.models import Teacher
from tests.helpers import build, save_weights, vit


def changed(tmp_path, change):
    """A teacher whose weights have been changed, not yet read."""
    state = torch.load(save_weights(vit(), tmp_path / 't.pth'))['state_dict']
    state = {name: change(name, value) for name, value in state.items()}
    torch.save({'state_dict': state}, tmp_path / 'changed.pth')
    return Teacher(vit(), checkpoint=tmp_path / 'changed.pth')


QKV = 'backbone.layers.0.attn.qkv.weight'


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda name, x: x * 0, 'are all zero: '),
        (lambda name, x: x * 0 + 1, 'are all one number each: '),
        (lambda name, x: x if x.ndim < 2 else x * 0, 'are all zero: '),
        (lambda name, x: x if name.startswith('head') else x * 0, 'are all zero: '),
        (lambda name, x: (x * 100).to(torch.int8), r'not floating-point.*\(int8\)'),
        (lambda name, x: x.int() if name == QKV else x,
         rf'1 weights are of a type.*: {QKV} \(int32\)'),
        (lambda name, x: x.bool() if name == QKV else x, rf'{QKV} \(bool\)'),
        (lambda name, x: x + 0j if name == QKV else x, rf'{QKV} \(complex64\)'),
        (lambda name, x: x * torch.nan if name == QKV else x,
         f'1 weights hold NaN or infinite numbers: {QKV}'),
        (lambda name, x: x / 0 if name == QKV else x, f'infinite numbers: {QKV}'),
    ],
)  # fmt: skip
def test_weights_that_can_not_have_been_trained(tmp_path, change, message):
    """They would load, as torch casts them silently."""
    made = changed(tmp_path, change)
    with pytest.raises(ValueError, match=f"(?s)changed.pth':.*{message}"):
        made.load()


@pytest.mark.parametrize(
    'change',
    [
        lambda name, x: x * 0 if name.startswith('head') else x,  # features only
        lambda name, x: x.bfloat16(),
        lambda name, x: x.double(),
        lambda name, x: x * 0 if x.ndim < 2 or 'token' in name else x,
    ],
)
def test_weights_that_are_well(tmp_path, change):
    made = changed(tmp_path, change)
    made.load()
    assert made.model.backbone.layers[0].attn.qkv.weight.dtype == torch.float32


def test_weights_that_a_model_fetches_itself_are_looked_at_too(tmp_path):
    from transformers import ViTConfig, ViTForImageClassification

    sizes = {'hidden_size': 16, 'num_hidden_layers': 2, 'num_attention_heads': 2}
    shape = {'intermediate_size': 32, 'image_size': 32, 'patch_size': 8}
    names = {'id2label': {0: 'cat', 1: 'dog'}, 'label2id': {'cat': 0, 'dog': 1}}
    model = ViTForImageClassification(ViTConfig(**sizes, **shape, **names))
    cfg = {'type': 'HuggingFaceClassifier', 'model_name': str(tmp_path)}
    model.save_pretrained(tmp_path)
    made = Teacher({**cfg, 'pretrained': True})
    made.load()
    assert made.classes == ('cat', 'dog')
    for parameter in model.parameters():
        parameter.data.zero_()
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match='are all zero'):
        Teacher({**cfg, 'pretrained': True}).load()


@pytest.mark.parametrize(
    'meta', [{'dataset_meta': {'classes': ['a', 'b']}}, {'CLASSES': ('a', 'b')}]
)
def test_classes_that_a_checkpoint_names(tmp_path, meta):
    saved = torch.load(save_weights(vit(classes=2), tmp_path / 't.pth'))
    torch.save({**saved, 'meta': meta}, tmp_path / 't.pth')
    made = Teacher(vit(classes=2), checkpoint=tmp_path / 't.pth')
    assert made.classes is None
    made.load()
    assert made.classes == ('a', 'b')


def test_no_weights_is_an_error():
    with pytest.raises(ValueError, match='without weights'):
        Teacher(vit())


def test_missing_config():
    with pytest.raises(ValueError, match=r"config 'no\.py' does not exist"):
        Teacher('no.py', checkpoint='x')
    with pytest.raises(ValueError, match='has no model'):
        Teacher({'backbone': {}}, checkpoint='x')


def test_missing_checkpoint():
    with pytest.raises(ValueError, match=r"'nowhere\.pth' does not exist"):
        Teacher(vit(), checkpoint='nowhere.pth').load()


@pytest.mark.parametrize('content', [b'', b'no checkpoint', None])
def test_corrupt_checkpoint(tmp_path, content):
    file = save_weights(vit(), tmp_path / 't.pth')
    file.write_bytes(file.read_bytes()[:5000] if content is None else content)
    with pytest.raises(ValueError, match=r"t\.pth' (can't be read|is damaged)"):
        Teacher(vit(), checkpoint=file).load()


def test_mismatching_keys_are_listed(tmp_path):
    weights = build(vit()).state_dict()
    weights['other.weight'] = weights.pop('backbone.ln1.bias')
    torch.save(weights, tmp_path / 't.pth')
    with pytest.raises(ValueError) as error:
        Teacher(vit(), checkpoint=tmp_path / 't.pth').load()
    assert '1 weights missing in the file: backbone.ln1.bias' in str(error.value)
    assert '1 weights unknown to the model: other.weight' in str(error.value)


def test_mismatching_shapes_are_listed(tmp_path):
    file = save_weights(vit(24), tmp_path / 't.pth')
    with pytest.raises(ValueError, match=r'does not fit[\s\S]*backbone\.ln1\.weight'):
        Teacher(vit(16), checkpoint=file).load()


class Evil:
    """What a hostile checkpoint may hold: code that runs when it is read."""

    def __reduce__(self):
        return (print, ('the code has run',))


def test_untrusted_pickle_is_not_read(tmp_path, capsys):
    weights = build(vit()).state_dict()
    for file, save in (('new.pth', torch.save), ('old.pth', None)):
        content = {'state_dict': weights, 'meta': Evil()}
        if save:
            save(content, tmp_path / file)
        else:
            (tmp_path / file).write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match='would run code .* builtins.print'):
        Teacher(vit(), checkpoint=tmp_path / 'new.pth').load()
    with pytest.raises(ValueError, match=r"old\.pth'"):
        Teacher(vit(), checkpoint=tmp_path / 'old.pth').load()
    assert 'the code has run' not in capsys.readouterr().out
    Teacher(vit(), checkpoint=tmp_path / 'new.pth', weights_only=False).load()
    assert 'the code has run' in capsys.readouterr().out
