"""The look of figures."""

from itertools import combinations

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from mmvitkd.inspection.style import name_points, save, saved_as, style


def test_names_hide_neither_points_nor_each_other():
    points = [(1.0, 1.0), (1.3, 1.0), (1.1, 1.1), (5.0, 2.0), (1.2, 0.95)]
    names = ['first of all', 'second', 'third', 'at the right edge', None]
    with style():
        figure, ax = plt.subplots(figsize=(6, 4))
        for point in points:
            ax.plot(*point, 'o')
        name_points(figure, ax, points, names)
        figure.canvas.draw()
        texts = {text.get_text(): text.get_window_extent() for text in ax.texts}
        places = ax.transData.transform(points)
        plt.close(figure)
    assert [*texts] == names[:-1]
    boxes = [*texts.values()]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    assert not any(box.contains(*place) for box in boxes for place in places)
    assert all(ax.bbox.contains(box.x1, box.y1) for box in boxes)


def test_figures_are_saved_in_both_kinds_or_in_those_asked_for(tmp_path):
    with saved_as('svg'):
        save(Figure(), tmp_path / 'one')
    save(Figure(), tmp_path / 'both')
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        'both.png',
        'both.svg',
        'one.svg',
    ]
