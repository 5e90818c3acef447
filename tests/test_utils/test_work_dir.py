import pytest
import torch
from mmengine.config import Config

from mmvitkd.utils.work_dir import changed_settings, claim_work_dir

SETTINGS = {
    'model': {
        'type': 'ViTKDDistiller',
        'student': {'type': 'ImageClassifier'},
        'teacher': {'cfg': 'teacher.py', 'checkpoint': 'teacher.pth'},
    },
    'train_cfg': {'max_epochs': 3, 'by_epoch': True},
    'odd': {'a.b': (1, [2.5]), 'none': None},
    'resume': False,
    'load_from': None,
}


def settings(folder, **changes):
    cfg = Config({**SETTINGS, 'work_dir': str(folder)})
    cfg.merge_from_dict(changes)
    return cfg


def save(folder, *names, cfg=None):
    meta = {'cfg': (cfg or settings('elsewhere')).pretty_text}
    for name in names:
        torch.save({'meta': meta, 'message_hub': {}, 'state_dict': {}}, folder / name)


def refusal(cfg):
    with pytest.raises(ValueError) as error:
        claim_work_dir(cfg)
    return str(error.value)


def test_folder_without_checkpoints_is_free(tmp_path):
    (tmp_path / 'config.py').write_text('a = 1')
    (tmp_path / 'epoch_1.pth.part').write_bytes(b'half')
    assert claim_work_dir(settings(tmp_path)) == []
    assert claim_work_dir(settings(tmp_path / 'new')) == []


def test_new_run_over_itself_is_refused(tmp_path):
    save(tmp_path, 'epoch_9.pth', 'epoch_10.pth')
    text = refusal(settings(tmp_path))
    assert 'epoch_10.pth, epoch_9.pth of this run. Continue it with --resume' in text
    text = refusal(settings(tmp_path, **{'train_cfg.max_epochs': 5}))
    assert 'of this run, with other settings: train_cfg.max_epochs: 3 -> 5' in text


@pytest.mark.parametrize('resume', [False, True])
def test_another_run_is_refused(tmp_path, resume):
    save(tmp_path, 'epoch_1.pth')
    other = {'model.student.type': 'TimmClassifier', 'resume': resume}
    text = refusal(settings(tmp_path, **other))
    assert 'holds another run, epoch_1.pth' in text
    assert 'model.student.type: ImageClassifier -> TimmClassifier' in text
    assert '--work-dir' in text


def test_files_that_are_no_run_are_not_written_over_either(tmp_path):
    torch.save({'state_dict': {}}, tmp_path / 'student.pth')
    assert 'student.pth' in refusal(settings(tmp_path))
    text = refusal(settings(tmp_path, resume=True))
    assert 'nothing to resume' in text
    assert 'no training state' in text
    given = {'resume': True, 'load_from': str(tmp_path / 'student.pth')}
    assert 'no training state' in refusal(settings(tmp_path / 'new', **given))


def test_resume_takes_the_newest(tmp_path):
    save(tmp_path, 'epoch_2.pth', 'epoch_10.pth', 'best_accuracy_epoch_11.pth')
    cfg = settings(tmp_path, resume=True)
    assert claim_work_dir(cfg) == [f"resuming from '{tmp_path / 'epoch_10.pth'}'"]
    assert cfg.resume
    assert cfg.load_from == str(tmp_path / 'epoch_10.pth')


def test_moved_teacher_and_longer_schedule_are_told_not_refused(tmp_path):
    save(tmp_path, 'epoch_2.pth')
    moved = {
        'resume': True,
        'model.teacher.checkpoint': 'moved.pth',
        'model.teacher.cfg': 'moved.py',
        'train_cfg.max_epochs': 5,
    }
    told = claim_work_dir(settings(tmp_path, **moved))[-1]
    for change in (
        'model.teacher.cfg: teacher.py -> moved.py',
        'model.teacher.checkpoint: teacher.pth -> moved.pth',
        'train_cfg.max_epochs: 3 -> 5',
    ):
        assert change in told


def test_damaged_checkpoints_are_passed_over(tmp_path):
    save(tmp_path, 'epoch_1.pth')
    (tmp_path / 'epoch_2.pth').write_bytes((tmp_path / 'epoch_1.pth').read_bytes()[:99])
    cfg = settings(tmp_path, resume=True)
    lines = claim_work_dir(cfg)
    assert 'passed over' in lines[0]
    assert 'epoch_2.pth' in lines[0]
    assert cfg.load_from == str(tmp_path / 'epoch_1.pth')
    (tmp_path / 'epoch_1.pth').unlink()
    assert 'but nothing to resume' in refusal(settings(tmp_path, resume=True))
    assert "can't be read" in refusal(settings(tmp_path))


def test_checkpoints_outside_are_found_by_the_pointer(tmp_path):
    save(tmp_path, 'epoch_4.pth')
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run' / 'last_checkpoint').write_text(str(tmp_path / 'epoch_4.pth'))
    assert 'epoch_4.pth' in refusal(settings(tmp_path / 'run'))
    cfg = settings(tmp_path / 'run', resume=True)
    claim_work_dir(cfg)
    assert cfg.load_from == str(tmp_path / 'epoch_4.pth')
    (tmp_path / 'epoch_4.pth').unlink()
    cfg = settings(tmp_path / 'run', resume=True)
    assert 'nothing to resume' in claim_work_dir(cfg)[0]
    assert not cfg.resume


def test_resuming_a_file_does_not_write_over_later_ones(tmp_path):
    save(tmp_path, 'epoch_1.pth', 'epoch_2.pth')
    first, last = (str(tmp_path / f'epoch_{i}.pth') for i in (1, 2))
    text = refusal(settings(tmp_path, resume=True, load_from=first))
    assert 'epoch_2.pth, which resuming' in text
    assert 'epoch_1.pth, ' not in text
    claim_work_dir(settings(tmp_path, resume=True, load_from=last))
    claim_work_dir(settings(tmp_path / 'new', resume=True, load_from=first))
    (tmp_path / 'other').mkdir()
    save(tmp_path / 'other', 'epoch_1.pth')
    text = refusal(settings(tmp_path / 'other', resume=True, load_from=first))
    assert 'would write over' in text


def test_resuming_a_file_by_another_config_is_told(tmp_path):
    save(tmp_path, 'epoch_1.pth')
    file = str(tmp_path / 'epoch_1.pth')
    other = {'resume': True, 'load_from': file, 'model.student.type': 'X'}
    told = claim_work_dir(settings(tmp_path, **other))
    assert told[-1].endswith('model.student.type: ImageClassifier -> X')


def test_settings_are_compared_without_running_them(tmp_path):
    cfg = settings(tmp_path)
    evil = f'{cfg.pretty_text}\nopen({str(tmp_path / "ran")!r}, "w")\nx = exit()\n'
    changes = changed_settings({'meta': {'cfg': evil}}, cfg)
    assert changes == {'x': ('exit()', 'absent')}
    assert not (tmp_path / 'ran').exists()
