"""The report of small real runs, in a real browser."""

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from mmvitkd.reporting import groups
from mmvitkd.reporting.runs import Run, find_runs
from tests.helpers import build, vit
from tests.test_tools.browser import Browser
from tests.test_tools.report_page import (
    CONTRASTS,
    HEADINGS,
    SHOWN,
    TABS,
    choose_theme,
    column,
    keys,
    sorting,
)
from tests.test_tools.runs import PIPELINE, config, kill, loader, message, run

NEEDED = ['Summary', 'Curves', 'Attention', 'Distance', 'Examples', 'Settings']
# what the test split of these runs is, so that accuracies can be compared
VAL = loader('val', PIPELINE)
SETTINGS = {'test_dataloader': VAL, 'custom_hooks': [], 'custom_imports': None}


def train(folder: Path, name: str, work_dir: str, **changes: Any) -> Path:
    """Train a small run in ``folder/runs/<work_dir>``."""
    cfg = config(folder, name, **{**SETTINGS, **changes})
    run('train', cfg, '--work-dir', folder / 'runs' / work_dir)
    return folder / 'runs' / work_dir


@pytest.fixture(scope='module')
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher, a student alone, and two seeds of one that learned from it."""
    folder = tmp_path_factory.mktemp('report')
    # with the drop path that config() gives the student of a distiller
    big, small = (
        {'_delete_': True, **vit(width, drop_path_rate=0.3)} for width in (24, 16)
    )
    teacher = train(folder, 'teacher', 'big', model=big)
    train(folder, 'alone', 'alone', model=small)
    for seed in (0, 1):
        train(
            folder,
            f'taught{seed}',
            f'taught/seed{seed}',
            **{
                'model.teacher.checkpoint': str(teacher / 'epoch_2.pth'),
                'randomness.seed': seed,
                # which makes no other run
                'default_hooks': {
                    'logger': {'type': 'LoggerHook', 'interval': 2 + seed}
                },
            },
        )
    return folder / 'runs'


@pytest.fixture(scope='module')
def report(runs: Path) -> Path:
    """The report of all of them, with its numbers beside it."""
    page = runs.parent / 'report.html'
    run('report', runs, '--out', page, '--csv', runs.parent / 'csv')
    return page


def rows(report: Path, name: str) -> list[dict[str, str]]:
    with (report.parent / 'csv' / f'{name}.csv').open() as file:
        return list(csv.DictReader(file))


def last_accuracy(work_dir: Path) -> float:
    """What the log says of the last validation."""
    (scalars,) = work_dir.glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in scalars.read_text().splitlines()]
    return [line['accuracy/top1'] for line in lines if 'accuracy/top1' in line][-1]


# --------------------------------------------------------------- what it says


def test_numbers_are_those_of_the_logs(runs, report):
    found = {row['run']: row for row in rows(report, 'summary')}
    assert set(found) == {'alone', 'big', 'taught'}
    taught = mean(last_accuracy(runs / f'taught/seed{seed}') for seed in (0, 1))
    alone = last_accuracy(runs / 'alone')
    assert float(found['taught']['last']) == pytest.approx(taught)
    assert float(found['alone']['last']) == pytest.approx(alone)
    assert float(found['taught']['vs. baseline']) == pytest.approx(taught - alone)
    assert {name: row['method'] for name, row in found.items()} == {
        'alone': 'baseline',
        'big': 'teacher',
        'taught': 'gen + mimic0 + nkd',
    }
    assert {row['state'] for row in found.values()} == {'finished'}


def test_parameters_are_the_models_own(report):
    found = {row['run']: row for row in rows(report, 'summary')}
    for name, width in (('alone', 16), ('taught', 16), ('big', 24)):
        model = build(vit(width))
        size = sum(parameter.numel() for parameter in model.parameters())
        assert int(found[name]['parameters']) == size
    assert int(found['taught']['necks']) > 0
    assert found['alone']['necks'] == ''


def test_answers_are_those_that_the_runs_were_validated_by(runs, report):
    found = {row['student']: row for row in rows(report, 'agreement')}
    for name, folder in (('alone', 'alone'), ('taught', None)):
        folders = [folder] if folder else ['taught/seed0', 'taught/seed1']
        best = max(last_accuracy(runs / one) for one in folders)
        assert float(found[name]['right']) == pytest.approx(best, abs=1e-3)
    for row in found.values():
        parts = ('both right', 'only teacher', 'only student', 'neither')
        assert sum(float(row[part]) for part in parts) == pytest.approx(100)
        assert float(row['both right']) <= float(row['same answer'])


def test_settings_that_differ_are_named_and_no_others(report):
    found = {row['setting']: row for row in rows(report, 'settings-big')}
    assert set(found) == {
        'model.student.backbone.arch.embed_dims',
        'model.student.backbone.arch.feedforward_channels',
        'model.student.head.in_channels',
    }
    width = found['model.student.backbone.arch.embed_dims']
    assert (width['there'], width['here']) == ('16', '24')


def test_numbers_in_the_page_are_the_files_beside_it(report, browser):
    names = [file.stem for file in (report.parent / 'csv').glob('*.csv')]
    assert {'summary', 'agreement', 'val-accuracy-top1'} <= set(names)
    for name in names:
        saved = name.replace('_', '-')
        link = f'document.querySelector("a[download=\'{saved}.csv\']").href'
        text = browser.js(f'fetch({link}).then(answer => answer.text())')
        assert text == (report.parent / 'csv' / f'{name}.csv').read_text()


def test_an_unfinished_run_is_told_from_a_finished_one(runs, tmp_path):
    """Killed while it wrote its log, before its first checkpoint."""
    for name in ('cut', 'empty', 'failed'):
        shutil.copytree(runs / 'taught/seed0', tmp_path / 'runs' / name)
        (tmp_path / 'runs' / name / 'last_checkpoint').unlink()
        for file in (tmp_path / 'runs' / name).glob('*.pth'):
            file.unlink()
    for name in ('empty', 'failed'):
        (scalars,) = (tmp_path / 'runs' / name).glob('*/vis_data/scalars.json')
        scalars.write_text('')
    (scalars,) = (tmp_path / 'runs' / 'cut').glob('*/vis_data/scalars.json')
    first = scalars.read_text().splitlines()[0]
    scalars.write_text(first + '\n' + first[:20])
    (tmp_path / 'runs' / 'failed' / 'failure.txt').write_text('ValueError: no luck\n')

    page = tmp_path / 'report.html'
    run('report', tmp_path / 'runs', '--out', page, '--csv', tmp_path / 'csv')
    found = {row['run']: row['state'] for row in rows(page, 'runs')}
    assert found == {
        'cut': 'unfinished: epoch 1 of 2',
        'empty': 'unfinished: nothing was logged',
        'failed': 'failed: ValueError: no luck (nothing was logged)',
    }
    text = page.read_text()
    assert '1 lines of its log are broken and left out' in text
    assert 'No run has a checkpoint' in text


def test_a_run_killed_in_its_last_validation_is_not_finished(tmp_path):
    cfg = config(tmp_path)
    kill(8, cfg, '--work-dir', tmp_path / 'run', at='KILL_IN_VALIDATION')
    assert (tmp_path / 'run' / 'epoch_2.pth').exists()
    read = [Run(tmp_path / 'run', 'run').state]
    run('train', cfg, '--work-dir', tmp_path / 'run', '--resume')
    read += [Run(tmp_path / 'run', 'run').state]
    run('train', cfg, '--work-dir', tmp_path / 'blind', '--no-validate')
    read += [Run(tmp_path / 'blind', 'blind').state]
    assert read == [
        'unfinished: killed before its last validation (epoch 2 of 2)',
        'finished',
        'finished',
    ]


def test_a_teacher_that_is_gone_is_said_and_the_students_are_shown(runs, tmp_path):
    shutil.copytree(runs / 'taught/seed0', tmp_path / 'taught')
    (config,) = (tmp_path / 'taught').glob('*/vis_data/config.py')
    text = config.read_text()
    config.write_text(text.replace(str(runs / 'big'), '/nowhere'))
    page = tmp_path / 'report.html'
    run('report', tmp_path / 'taught', '--out', page, '--count', '8')
    text = page.read_text()
    assert 'The teacher can not be looked into: checkpoint &#39;/nowhere' in text
    assert 'id="attention"' in text
    assert 'id="distance"' not in text


def test_a_teacher_is_found_where_work_dirs_moved_together(runs, tmp_path):
    moved = tmp_path / 'moved'
    shutil.copytree(runs, moved)
    (config,) = (moved / 'taught/seed0').glob('*/vis_data/config.py')
    config.write_text(config.read_text().replace(str(runs), '/elsewhere/runs'))
    (one,) = [r for r in find_runs([moved]) if r.name == 'taught/seed0']
    checkpoint = one.cfg.model.teacher.checkpoint
    assert checkpoint == '/elsewhere/runs/big/epoch_2.pth'
    assert groups.find_weights(one, checkpoint) == moved / 'big/epoch_2.pth'


def test_a_resumed_run_is_one_curve(runs, tmp_path):
    """The steps that a second start logged again replace those of the first."""
    work_dir = tmp_path / 'run'
    shutil.copytree(runs / 'taught/seed0', work_dir)
    (first,) = work_dir.glob('2*')
    lines = (first / 'vis_data' / 'scalars.json').read_text().splitlines()
    second = work_dir / '29991231_235959'
    shutil.copytree(first, second)
    again = [json.loads(line) for line in lines[1:]]
    for record in again:
        record['loss'] = 7.0
    text = '\n'.join(json.dumps(record) for record in again)
    (second / 'vis_data' / 'scalars.json').write_text(text)
    (one,) = find_runs([work_dir])
    steps = [step for step, _ in one.series('loss', 'train')]
    assert steps == sorted(set(steps))
    assert len(one.trainings) == 2
    assert one.series('loss', 'train')[-1][1] == 7.0
    assert one.series('loss', 'train')[0][1] != 7.0


# --------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ('args', 'told'),
    [
        (['nowhere'], "error: work dir 'nowhere' does not exist"),
        (['csv'], "error: 'csv' has no run: "),
        (['runs', '--out', 'mine.html'], "error: --out 'mine.html' exists and is no"),
        (['runs', '--out', 'csv'], "error: --out 'csv' is a folder: name a file"),
        (['runs', '--data', 'no.py'], "error: config 'no.py' does not exist"),
    ],
)
def test_a_mistake_is_one_line(report, monkeypatch, args, told):
    monkeypatch.chdir(report.parent)
    Path('mine.html').write_text('mine')
    said = message('report', *args)
    assert said.startswith(told)
    assert '\n' not in said
    assert Path('mine.html').read_text() == 'mine'


def test_a_report_is_written_over(report, runs, tmp_path):
    page = tmp_path / 'report.html'
    for work_dir in ('alone', 'taught'):
        run('report', runs / work_dir, '--out', page, '--no-analysis')
    assert 'report: taught</title>' in page.read_text()
    assert [file.name for file in tmp_path.iterdir()] == ['report.html']


def test_without_analysis_no_model_is_asked(runs, tmp_path):
    page = tmp_path / 'report.html'
    run('report', runs, '--out', page, '--no-analysis', '--figures', tmp_path / 'fig')
    assert 'id="attention"' not in page.read_text()
    figures = {file.name for file in (tmp_path / 'fig').iterdir()}
    assert {'train-loss-gen.svg', 'train-loss-gen.png'} <= figures


# --------------------------------------------------------------- in a browser


@pytest.fixture(scope='module')
def chromium() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


@pytest.fixture
def browser(chromium: Browser, report: Path) -> Browser:
    """The page as it opens on a wide, light screen."""
    chromium.resize(1200, 800)
    chromium.prefer('light')
    chromium.open(report)
    if chromium.js('localStorage.length'):  # the theme that a test has chosen
        chromium.js('localStorage.clear()')
        chromium.open(report)
    return chromium


def test_opens_without_an_error_or_a_request(report, browser):
    assert not browser.seen('Runtime.exceptionThrown', 'Log.entryAdded')
    assert not browser.seen('Runtime.consoleAPICalled')
    loaded = {e['request']['url'] for e in browser.seen('Network.requestWillBeSent')}
    loaded = {url for url in loaded if not url.startswith('data:')}
    assert loaded == {report.as_uri()}
    assert (
        browser.js(f'{TABS}.map(tab => tab.textContent)')[: len(NEEDED) - 2]
        == (NEEDED[: len(NEEDED) - 2])
    )


def test_every_picture_loads_and_is_described(browser):
    pictures = 0
    for key in keys(browser):
        browser.click(f'#tab-{key}')
        found = browser.js(
            f'Promise.all([...document.querySelectorAll("#{key} img")].map(image =>'
            ' image.decode().then(() => [image.naturalWidth, image.clientWidth,'
            ' image.clientHeight, image.alt.length])))'
        )
        pictures += len(found)
        assert all(min(numbers) > 0 for numbers in found), key
    assert pictures >= 12


def test_tabs_by_mouse(browser):
    for key in keys(browser):
        browser.click(f'#tab-{key}')
        assert browser.js(SHOWN) == [key]
        assert browser.js(f'{TABS}.filter(t => t.ariaSelected == "true").length') == 1


def test_tabs_by_keyboard(browser):
    names = keys(browser)
    browser.js('document.getElementById("theme").focus()')
    browser.press('Tab')
    focused = 'document.activeElement.id'
    assert browser.js(focused) == f'tab-{names[0]}'
    for key, place in (
        ('ArrowRight', 1),
        ('ArrowRight', 2),
        ('ArrowLeft', 1),
        ('End', -1),
        ('ArrowRight', 0),
        ('ArrowLeft', -1),
        ('Home', 0),
    ):
        browser.press(key)
        assert browser.js(focused) == f'tab-{names[place]}'
        assert browser.js(SHOWN) == [names[place]]
    # one stop for all tabs, then the section itself
    browser.press('Tab')
    assert browser.js(focused) == names[0]


def test_a_tab_can_be_linked_to(report, browser):
    browser.click('#tab-settings')
    assert browser.js('location.hash') == '#settings'
    browser.call('Page.reload')
    browser.wait()
    assert browser.js(SHOWN) == ['settings']


def test_a_table_is_sorted_by_mouse_and_keyboard(browser):
    names = browser.js(f'{HEADINGS}.map(heading => heading.textContent)')

    def button(name: str) -> str:
        return f'#summary th:nth-child({names.index(name) + 1}) button'

    sizes = [int(text.replace(',', '')) for text in column(browser, 'parameters')]
    browser.click(button('parameters'))
    assert sorting(browser) == {'parameters': 'descending'}
    down = [int(text.replace(',', '')) for text in column(browser, 'parameters')]
    assert down == sorted(sizes, reverse=True) != sizes
    for key, order in ((' ', 'ascending'), ('Enter', 'descending')):
        browser.js(f'document.querySelector("{button("parameters")}").focus()')
        browser.press(key)
        assert sorting(browser) == {'parameters': order}
        now = [int(text.replace(',', '')) for text in column(browser, 'parameters')]
        assert now == sorted(sizes, reverse=order == 'descending')
    browser.click(button('run'))
    assert column(browser, 'run') == ['alone', 'big', 'taught']
    for _ in range(2):  # whatever the order, what is empty comes last
        browser.click(button('vs. baseline'))
        assert column(browser, 'vs. baseline')[1:] == ['', '']


def test_fits_a_phone(browser):
    browser.resize(390, 844, mobile=True)
    for key in keys(browser):
        browser.click(f'#tab-{key}')
        assert browser.js('document.documentElement.scrollWidth') == 390, key
        assert browser.js('innerWidth') == 390, key


@pytest.mark.parametrize('chosen', ['by the system', 'by the switch'])
@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_text_stands_out(browser, scheme, chosen):
    """WCAG's 4.5 to 1, of everything that is written, in every section."""
    if chosen == 'by the system':
        browser.prefer(scheme)
    else:
        browser.prefer('light' if scheme == 'dark' else 'dark')
        choose_theme(browser, scheme)
    dark = browser.js('getComputedStyle(document.body).backgroundColor') != (
        'rgb(255, 255, 255)'
    )
    assert dark == (scheme == 'dark')
    for key in keys(browser):
        browser.click(f'#tab-{key}')
        found = browser.js(CONTRASTS)
        assert len(found) > 10
        assert min(found)[0] >= 4.5, min(found)


def test_the_theme_is_kept(report, browser):
    choose_theme(browser, 'dark')
    browser.open(report)
    assert browser.js('document.documentElement.dataset.theme') == 'dark'
    choose_theme(browser, 'auto')
    assert browser.js('document.documentElement.dataset.theme ?? ""') == ''


def test_focus_is_seen(browser):
    browser.js('document.getElementById("theme").focus()')
    for _ in range(6):
        browser.press('Tab')
        outline = browser.js(
            '(s => [s.outlineStyle, parseFloat(s.outlineWidth)])'
            '(getComputedStyle(document.activeElement))'
        )
        assert outline == ['solid', 3]


def test_without_scripts_everything_is_shown(report, browser):
    browser.call('Emulation.setScriptExecutionDisabled', value=True)
    try:
        browser.open(report)
        shown = browser.js(
            '[...document.querySelectorAll("section")].every(s => s.clientHeight > 0)'
        )
        tabs = browser.js('document.querySelector("[role=tablist]").clientHeight')
    finally:
        browser.call('Emulation.setScriptExecutionDisabled', value=False)
    assert shown
    assert tabs == 0
