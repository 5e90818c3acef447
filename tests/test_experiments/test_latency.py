"""``python -m mmvitkd latency``: real models, timed side by side."""

import csv

import onnxruntime
import pytest
import torch

from mmvitkd.commands import main
from mmvitkd.experiments.latency.models import Source, Variant, graph_of, prepare
from mmvitkd.export.export import export
from tests.helpers import vit
from tests.test_export.students import saved


def run(*args):
    main('latency', [str(arg) for arg in args])


@pytest.fixture(scope='module')
def models(tmp_path_factory):
    """A config, an ONNX file and a program of torch.export, of one student."""
    folder = tmp_path_factory.mktemp('models')
    cfg, weights = saved(vit(), folder)
    onnx, _ = export(weights, folder / 'student.onnx', 'onnx', config=cfg)
    program, _ = export(weights, folder / 'student.pt2', 'torch-export', config=cfg)
    return cfg, onnx, program


def test_every_model_is_timed_at_every_size(models, tmp_path, capsys):
    args = ['--batch-size', 1, 3, '--rounds', 4, '--warm-up', 0, '--out', tmp_path]
    run(*models, *args, '--accuracy', 80, 79.5, 80)
    assert capsys.readouterr().out.endswith(f'{tmp_path / "latency.md"}\n')
    with (tmp_path / 'latency.csv').open() as file:
        rows = list(csv.DictReader(file))
    assert [row['batch_size'] for row in rows] == 6 * ['1'] + 6 * ['3']
    graphs = ['onnxruntime', 'openvino']  # of the config, and the ONNX file
    runtimes = ['eager', *graphs, *graphs, 'eager']
    assert [row['runtime'] for row in rows[:6]] == runtimes
    for row in rows:
        assert 0 < float(row['p50_seconds']) <= float(row['p95_seconds'])
        speed = float(row['batch_size']) / float(row['p50_seconds'])
        assert float(row['images_per_second']) == pytest.approx(speed, rel=1e-2)
        assert int(row['disk_bytes']) > 0
    assert [float(row['ratio']) for row in rows[::6]] == [1, 1]
    assert {row['disk_bytes'] for row in rows[3:5]} == {str(models[1].stat().st_size)}
    page = (tmp_path / 'latency.md').read_text()
    assert '## one image, one thread' in page
    assert '## 3 images, one thread' in page
    assert 'Left out' not in page
    assert (tmp_path / 'latency.svg').is_file()


def variant(path, runtime='eager', batch_size=2, **changes):
    source = Source(str(path), 'student')
    settings = {'dtype': 'float32', 'threads': 1, 'device': 'cpu', **changes}
    return Variant(source, runtime, batch_size=batch_size, **settings)


def test_a_run_is_a_whole_forward_of_the_batch(models, monkeypatch):
    """By each runtime, of as many images; PyTorch's by as many threads."""
    seen = []
    forward = torch.nn.Linear.forward

    def watched(self, x):
        seen.append((x.shape[0], torch.get_num_threads(), torch.is_grad_enabled()))
        return forward(self, x)

    monkeypatch.setattr(torch.nn.Linear, 'forward', watched)
    threads = torch.get_num_threads()
    try:
        run_it, _ = prepare(variant(models[0], batch_size=3, threads=2))
        seen.clear()  # building a student looks at one image
        run_it()
    finally:
        torch.set_num_threads(threads)
    assert set(seen) == {(3, 2, False)}
    whole = onnxruntime.InferenceSession(graph_of(Source(str(models[0]), 'student')))
    assert whole.get_inputs()[0].shape == ['batch', 3, 32, 32]
    for runtime in ('onnxruntime', 'openvino'):
        run_it, size = prepare(variant(models[1], runtime), models[1].read_bytes())
        assert run_it()[0].shape == (2, 10)
        assert size == models[1].stat().st_size


def test_bfloat16_is_autocast(models, monkeypatch):
    seen = set()
    forward = torch.nn.functional.linear

    def watched(x, *args):
        found = forward(x, *args)
        seen.add(found.dtype)
        return found

    monkeypatch.setattr(torch.nn.functional, 'linear', watched)
    run_it, _ = prepare(variant(models[0], dtype='bfloat16'))
    seen.clear()
    run_it()
    assert seen == {torch.bfloat16}


def test_what_does_not_run_is_named_and_others_are_timed(models, tmp_path, capsys):
    """A file that is none, beside a student."""
    broken = tmp_path / 'broken.onnx'
    broken.write_bytes(b'no graph')
    args = ['--rounds', 2, '--runtime', 'eager', 'onnxruntime', '--out', tmp_path]
    run(models[0], broken, *args)
    assert 'left out: broken, onnxruntime:' in capsys.readouterr().out
    page = (tmp_path / 'latency.md').read_text()
    assert '- broken, onnxruntime:' in page
    assert '| student |' in page


@pytest.mark.parametrize(
    ('args', 'said'),
    [
        (['gone.onnx'], "there is no file 'gone.onnx'"),
        (['{onnx}', '--accuracy', '1', '2'], '--accuracy has 2 values for 1 models'),
        (['{onnx}', '--runtime', 'eager'], 'is run by'),
        (['{onnx}', '--rounds', '1'], '--rounds: at least 2'),
        (['{onnx}', '--device', 'cuda'], 'nothing could be run'),
    ],
)
def test_mistakes_are_said_in_a_line(args, said, models, tmp_path, capsys):
    args = [arg.format(onnx=models[1]) for arg in args]
    with pytest.raises(SystemExit) as end:
        run(*args, '--out', tmp_path / 'out')
    assert said in f'{end.value}{capsys.readouterr().err}'
    assert not (tmp_path / 'out').exists()
