"""The command that stores teacher outputs: whole, once, and what it says it stores."""

import json
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmvitkd.utils.teacher_cache import checksum_file, sha256
from tests.helpers import vit
from tests.shrink import CONFIGS, shrink
from tests.test_tools.runs import PIPELINE, begin, cache, config, end, message, run

pytestmark = pytest.mark.slow

# 64 images of 2 epochs in 8 shards, each of one batch
SHARDS = ('--shard-size', 16)


def settings(folder: Path, name: str = 'tiny', **changes) -> Path:
    """The tiny run, whose teacher can be killed."""
    crop = {'type': 'RandomCrop', 'crop_size': 32, 'padding': 4}
    pipeline = [PIPELINE[0], {'type': 'KillTransform'}, crop, PIPELINE[1]]
    changes = {'train_dataloader.dataset.pipeline': pipeline, **changes}
    return config(folder, name, **changes)


@pytest.fixture(scope='module')
def written(tmp_path_factory):
    """A folder with a config and the cache of its teacher."""
    folder = tmp_path_factory.mktemp('written')
    cache(settings(folder), folder / 'cache', *SHARDS)
    return folder


@pytest.fixture
def copy(written, tmp_path):
    """A copy of the cache, to be hurt; the config stays where it is."""
    shutil.copytree(written / 'cache', tmp_path / 'cache')
    return written / 'tiny.py', tmp_path / 'cache'


def content(out: Path) -> dict[str, bytes]:
    """Every file of a cache but the config, which names the folder."""
    files = [p for p in out.rglob('*') if p.is_file() and p.suffix != '.py']
    return {str(p.relative_to(out)): p.read_bytes() for p in files if p.name != '.lock'}


def test_layout_and_sizes(written):
    files = content(written / 'cache')
    shards = sorted(name for name in files if name.endswith('.npy'))
    assert shards == [f'epoch_000{e}/0000{s}.npy' for e in (0, 1) for s in range(4)]
    assert set(files) - set(shards) == {
        'manifest.json',
        'probe.npz',
        *(name.replace('.npy', '.sha256') for name in shards),
    }
    manifest = json.loads(files['manifest.json'])
    assert [(tap['path'], tap['top_k']) for tap in manifest['taps']] == [
        ('backbone.layers.0', None),
        ('backbone.ln1', None),
        ('head', 10),
    ]
    record = np.load(written / 'cache' / shards[0])
    assert record.shape == (16,)
    # seed, two taps of 16 tokens and 24 channels, 10 classes; float16
    assert record.itemsize == manifest['record_bytes'] == 4 + 2 * (2 * 16 * 24 + 10)


def test_killed_and_resumed_it_ends_in_the_same_bytes(written, tmp_path):
    out = tmp_path / 'cache'
    command = ['python', 'tools/cache_teacher.py', written / 'tiny.py', '--out', out]
    # 5 batches to look and to time, 4 images twice, then in the third shard
    images = 2 * (1 + 4 * 16 + 2 * 4 + 2 * 16 + 8)
    end(begin(*command, *SHARDS, KILL_AT_IMAGE=str(images)), code=-signal.SIGKILL)
    before = content(out)
    assert sorted(name for name in before if name.endswith('.npy')) == [
        'epoch_0000/00000.npy',
        'epoch_0000/00001.npy',
    ]
    inodes = {name: (out / name).stat().st_ino for name in before}
    run('cache_teacher', *command[2:], *SHARDS)
    assert content(out) == content(written / 'cache')
    shards = [name for name in before if name.endswith('.npy')]
    assert all((out / name).stat().st_ino == inodes[name] for name in shards)


def test_two_processes_write_what_one_does(written, tmp_path):
    """By torchrun; nothing is lost, and each shard is written once."""
    out = tmp_path / 'cache'
    two = begin(
        'bash', 'tools/torchrun.sh', 2, 'cache_teacher.py', written / 'tiny.py',
        '--out', out, *SHARDS,
    )  # fmt: skip
    said = end(two)
    assert content(out) == content(written / 'cache')
    # a line of one process may follow another's before that has ended
    counts = re.findall(r'(\d+) shards written', said)
    assert len(counts) == 2
    assert sum(map(int, counts)) == 8


def test_workers_write_the_same_bytes(written, tmp_path):
    cfg = written / 'tiny.py'
    options = ['--cfg-options', 'train_dataloader.num_workers=2']
    cache(cfg, tmp_path / 'cache', *SHARDS, *options)
    assert content(tmp_path / 'cache') == content(written / 'cache')


def test_more_epochs_are_added(copy):
    cfg, out = copy
    before = content(out)
    cache(cfg, out, *SHARDS, '--epochs', 3)
    after = content(out)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {'manifest.json'}
    assert len(after) == len(before) + 8


def test_another_students_config_is_written_beside_the_same_outputs(copy, tmp_path):
    _, out = copy
    before = content(out)
    trained = cache(
        settings(tmp_path, 'other', **{'model.student': vit(8)}), out, *SHARDS
    )
    assert content(out) == before
    assert Config.fromfile(trained).model.student.head.in_channels == 8


def test_other_pixels_under_the_same_config_are_told(copy):
    cfg, out = copy
    pixels = dict(np.load(out / 'probe.npz'))
    np.savez(out / 'probe.npz', **{key: 255 - p for key, p in pixels.items()})
    for more in ([], ['--verify', 1]):
        text = message('cache_teacher', cfg, '--out', out, *SHARDS, *more)
        assert 'image 0 does not come out of the transforms as the teacher saw' in text


def test_damaged_shards_alone_are_written_anew(copy, written):
    cfg, out = copy
    (out / 'epoch_0000/00001.npy').write_bytes(b'x')
    (out / 'epoch_0001/00003.npy').unlink()
    cache(cfg, out, *SHARDS)
    assert content(out) == content(written / 'cache')


@pytest.mark.parametrize(
    ('changes', 'told'),
    [
        (['--seed', 1], 'data.seed: 0 (stored) -> 1 (requested)'),
        (['--top-k', 3], 'taps.2.top_k: 10 (stored) -> 3 (requested)'),
        (['--shard-size', 32], 'shard_size: 16 (stored) -> 32 (requested)'),
        (
            ['--cfg-options', 'model.teacher.checkpoint={other}'],
            'teacher.weights: ',
        ),
        (
            ['--cfg-options', 'train_dataloader.dataset.pipeline.2.padding=2'],
            'data.dataset.pipeline.2.padding: 4 (stored) -> 2 (requested)',
        ),
        (
            ['--cfg-options', 'model.student.train_cfg.augments.alpha=0.2'],
            'data.mixing.augments.alpha: 0.8 (stored) -> 0.2 (requested)',
        ),
    ],
    ids=['seed', 'top-k', 'shards', 'weights', 'transform', 'mixing'],
)
def test_the_cache_of_something_else_is_not_written_over(copy, changes, told):
    cfg, out = copy
    before = content(out)
    other = torch.load(cfg.parent / 'teacher.pth')
    other['state_dict']['head.layers.head.bias'] += 1
    torch.save(other, out.parent / 'other.pth')
    changes = [str(c).format(other=out.parent / 'other.pth') for c in changes]
    text = message('cache_teacher', cfg, '--out', out, *SHARDS, *changes)
    assert 'belongs to another run; what differs:' in text
    assert told in text
    assert content(out) == before


def test_a_folder_of_other_things_is_left_alone(written, tmp_path):
    (tmp_path / 'thesis.tex').write_text('mine')
    text = message('cache_teacher', written / 'tiny.py', '--out', tmp_path, *SHARDS)
    assert "holds something else, ['thesis.tex']" in text
    assert not (tmp_path / 'manifest.json').exists()


def test_a_disk_too_small_is_refused_before_anything_is_written(written, tmp_path):
    out = tmp_path / 'cache'
    text = message(
        'cache_teacher', written / 'tiny.py', '--out', out, '--epochs', 10**9
    )
    assert "cache' would need 99840.0 GB more, but its disk has" in text
    assert not out.exists()


def test_dry_run_tells_size_and_time(written, tmp_path, capsys):
    out = tmp_path / 'cache'
    run('cache_teacher', written / 'tiny.py', '--out', out, '--dry-run')
    said = capsys.readouterr().out
    assert '64 images x 2 epochs x 1560 bytes: 0.2 MB' in said
    assert 'in one process with 0 workers' in said
    assert not out.exists()


def test_verify_passes_what_is_right(copy, capsys):
    cfg, out = copy
    run('cache_teacher', cfg, '--out', out, *SHARDS, '--verify', 20)
    assert '20 stored outputs and all checksums' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('tap', 'path', 'field', 'axis'),
    [(1, 'backbone.ln1', 'value', 0), (2, 'head', 'log_prob', 1)],
    ids=['of another image', 'of other classes'],
)
def test_verify_finds_what_was_tampered_with(copy, tap, path, field, axis):
    """In all records; the checksums are made to match."""
    cfg, out = copy
    for file in out.glob('epoch_*/*.npy'):
        records = np.load(file)
        part = records[str(tap)][field]
        part[:] = np.roll(part, 1, axis)
        np.save(file, records)
        checksum_file(file).write_text(f'{sha256(file)}  {file.name}\n')
    text = message('cache_teacher', cfg, '--out', out, *SHARDS, '--verify', 5)
    assert f"not the teacher's output at '{path}'" in text


def test_verify_finds_a_damaged_shard(copy):
    cfg, out = copy
    with (out / 'epoch_0001/00002.npy').open('r+b') as file:
        file.seek(-1, 2)
        file.write(b'?')
    text = message('cache_teacher', cfg, '--out', out, *SHARDS, '--verify', 1)
    assert 'epoch_0001/00002.npy is damaged (sha256' in text


def test_a_teacher_that_looks_at_the_student_is_refused(tmp_path):
    cfg = Config.fromfile(settings(tmp_path))
    cfg.model.teacher.type = 'MaskedTeacher'
    logits = {n: t for n, t in cfg.model.terms.items() if t.student == 'head'}
    cfg.model.terms = logits
    cfg.dump(tmp_path / 'masked.py')
    text = message('cache_teacher', tmp_path / 'masked.py', '--out', tmp_path / 'cache')
    assert (
        "outputs of teacher 'teacher', a MaskedTeacher, depend on the student" in text
    )


def test_outputs_for_classes_in_another_order_are_not_stored(tmp_path):
    cfg = settings(tmp_path)
    saved = torch.load(tmp_path / 'teacher.pth')
    meta = {'dataset_meta': {'classes': list('1023456789')}}
    torch.save({**saved, 'meta': meta}, tmp_path / 'teacher.pth')
    text = message('cache_teacher', cfg, '--out', tmp_path / 'cache')
    assert "class 0 is '0' in the data set and '1' to the teacher" in text
    assert not (tmp_path / 'cache').exists()


def test_a_transform_with_a_generator_of_its_own_is_refused(tmp_path):
    own = tmp_path / 'own_noise.py'
    own.write_text(
        'import numpy as np\n'
        'from mmvitkd.registry import TRANSFORMS\n'
        'RANDOM = np.random.default_rng(0)\n'
        '@TRANSFORMS.register_module(force=True)\n'
        'class OwnNoise:\n'
        '    def __call__(self, results):\n'
        "        results['img'] = results['img'] ^ RANDOM.integers(2, dtype='u1')\n"
        '        return results\n'
    )
    pipeline = [PIPELINE[0], {'type': 'OwnNoise'}, PIPELINE[1]]
    cfg = Config.fromfile(settings(tmp_path))
    cfg.train_dataloader.dataset.pipeline = pipeline
    cfg.custom_imports = {'imports': ['own_noise']}
    cfg.dump(tmp_path / 'noisy.py')
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(tmp_path))
        text = message(
            'cache_teacher', tmp_path / 'noisy.py', '--out', tmp_path / 'cache'
        )
    assert 'draws from a generator of its own' in text


def test_configs_that_cannot_be_cached(tmp_path):
    cfg = settings(tmp_path)
    out = ['--out', tmp_path / 'cache']
    options = '--cfg-options'

    def told(*changes):
        return message('cache_teacher', cfg, *out, *changes)

    assert '--top-k 11: there are 10 classes' in told('--top-k', 11)
    assert 'give --epochs' in told(options, 'train_cfg.max_epochs=None')
    repeated = ['train_dataloader.sampler.type=RepeatAugSampler']
    assert 'a RepeatAugSampler deals images out' in told(options, *repeated)
    wrapped = Config.fromfile(cfg)
    wrapped.train_dataloader.dataset = {
        'type': 'ReplayedDataset',
        'dataset': wrapped.train_dataloader.dataset,
        'mixing': {'augments': {'type': 'Mixup', 'alpha': 0.8}},
    }
    wrapped.dump(tmp_path / 'twice.py')
    del wrapped.model.student.train_cfg
    wrapped.dump(tmp_path / 'wrapped.py')
    trained = cache(tmp_path / 'wrapped.py', tmp_path / 'own', '--seed', 3)
    dataset = Config.fromfile(trained).train_dataloader.dataset
    assert (dataset.seed, dataset.mixing.augments.type) == (3, 'Mixup')
    assert dataset.dataset.type == 'Digits'
    text = message('cache_teacher', tmp_path / 'twice.py', *out)
    assert 'the images would be mixed twice' in text
    plain = Config.fromfile(cfg)
    plain.model = plain.model.student
    plain.dump(tmp_path / 'plain.py')
    text = message('cache_teacher', tmp_path / 'plain.py', *out)
    assert 'its model is a ImageClassifier without' in text
    assert not (tmp_path / 'cache').exists()


def test_outputs_of_single_windows_cannot_be_cached(tmp_path):
    name = 'minivit/minivit_swin-tiny_swin-base_8xb128_in1k.py'
    shrink(Config.fromfile(CONFIGS / name), tmp_path).dump(tmp_path / 'windows.py')
    out = tmp_path / 'cache'
    text = message('cache_teacher', tmp_path / 'windows.py', '--out', out)
    assert "0.blocks.1.attn.w_msa.qkv' yields 64 windows of an image" in text
    assert not out.exists()
