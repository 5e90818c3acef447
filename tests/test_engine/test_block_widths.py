import pytest
import torch

from mmvitkd.engine.block_gates import BlockGates
from mmvitkd.engine.block_widths import BlockWidths, least_sum, smallest_groups
from tests.test_engine.test_block_gates import SETTINGS

# squared norms of two heads of two dimensions, 1 + 4 and 9 + 16, and of three units
ATTENTION = [[1.0, 2.0, 3.0, 4.0]]
MLP = [[3.0, 1.0, 2.0]]
# outside the widths, queries and keys, values, units
PARTS = [[0.02, 0.12, 0.2, 0.3]]


def widths(blocks=1, **settings):
    """Blocks of two heads of two dimensions and three units."""
    made = {'lr': 1.0, 'price_lr': 1.0, 'heads': True, 'dims': True, 'units': True}
    return BlockWidths(
        [torch.tensor(ATTENTION) for _ in range(blocks)],
        [torch.tensor(MLP) for _ in range(blocks)],
        2,
        torch.tensor(PARTS * blocks) / blocks,
        **{**made, **settings},
    )


def remove(made, removed):
    """Let a block of heads, units, dimensions of two heads be without these."""
    with torch.no_grad():
        made.removed.copy_(torch.tensor([removed]))
    made.lr, lr = 0.0, made.lr
    made.step(0.0, torch.zeros(1, 4))  # only decides what is kept
    made.prices.fill_(1e-3)
    made.lr = lr


def test_sum_of_the_smallest_and_its_slope():
    norms = torch.tensor([[5.0, 1.0, 3.0, 2.0], [4.0, 4.0, 1.0, 2.0]])
    total, slope = least_sum(norms, torch.tensor([2.0, 0.0]))
    assert total.tolist() == [1 + 2, 0]
    assert slope.tolist() == [3, 1]  # the third smallest, the smallest


@pytest.mark.parametrize('count', [0, 1, 2, 3])
def test_slope_is_the_next_norm(count):
    """One group more adds what the slope says."""
    norms = torch.rand(5, 4, generator=torch.Generator().manual_seed(0))
    count = torch.full((5,), float(count))
    total, slope = least_sum(norms, count)
    torch.testing.assert_close(slope, norms.sort(1).values[:, int(count[0])])
    if count[0] < 3:
        torch.testing.assert_close(least_sum(norms, count + 1)[0], total + slope)


def test_of_equal_groups_the_first_goes():
    assert smallest_groups(torch.ones(4), torch.tensor(1.0)).tolist() == [
        True,
        False,
        False,
        False,
    ]


def test_shares_by_hand():
    """One head, and of the other one dimension; a third of the units."""
    made = widths()
    torch.testing.assert_close(made.block_shares(), torch.tensor([0.64]))
    remove(made, [0.1, 0.9, 1.0, 0.5])  # rounded up; head 0 goes, as a whole
    expected = 0.02 + 0.12 / 2 + 0.2 * (4 - 2 - 1) / 4 + 0.3 * 2 / 3
    torch.testing.assert_close(made.block_shares(), torch.tensor([expected]))
    assert made.kept_dims.tolist() == [[[False, False], [False, True]]]
    assert made.kept_units.tolist() == [[True, False, True]]
    assert made.describe() == 'heads 1/2, dimensions 1/4, hidden units 2/3'


def test_slopes_of_the_shares_by_hand():
    """As if rounding up were none; dimensions of a head that is gone count nothing."""
    made = widths()
    remove(made, [0.5, 0.0, 0.0, 0.0])
    (slopes,) = torch.autograd.grad(made.block_shares().sum(), made.removed)
    expected = [-0.12 / 2 - 0.2 / 2, -0.3 / 3, 0.0, -0.2 / 4]
    torch.testing.assert_close(slopes, torch.tensor([expected]))


def test_proximal_step_by_hand():
    """The smallest columns are divided by 1 + 2 lr y, in both levels of attention."""
    made = widths()
    remove(made, [1.0, 2.0, 1.0, 1.0])
    made.prices = torch.tensor([[0.5, 2.0, 1.0, 3.0]])
    before = made.attention[0].clone(), made.mlp[0].clone()
    made.shrink(torch.tensor([[0.1, 0.25]]))
    by_head, first, second = 1 + 0.2 * 0.5, 1 + 0.2 * 1.0, 1 + 0.2 * 3.0
    divisors = torch.tensor([by_head * first, by_head, second, 1.0])
    torch.testing.assert_close(made.attention[0], before[0] / divisors)
    divisors = torch.tensor([1.0, 1 + 0.5 * 2.0, 1 + 0.5 * 2.0])
    torch.testing.assert_close(made.mlp[0], before[1] / divisors)


def test_nothing_removed_shrinks_nothing():
    made = widths()
    made.shrink(torch.ones(1, 2))
    assert made.attention[0].tolist() == ATTENTION
    assert made.mlp[0].tolist() == MLP


def test_step_by_hand():
    """Down the price times the next norm, and that of multiply-adds times theirs."""
    made = widths(lr=0.1, price_lr=0.5)
    with torch.no_grad():
        made.removed.copy_(torch.tensor([[0.5, 1.5, 0.5, 0.5]]))
    made.prices = torch.tensor([[0.01, 0.02, 0.03, 0.04]])
    of_resource = torch.tensor([[-0.1, -0.2, -0.3, -0.4]])
    made.step(2.0, of_resource)
    # heads 5 and 25, units 1, 4, 9, dimensions 1, 4 and 9, 16
    slopes = torch.tensor([[25.0, 9.0, 4.0, 16.0]])
    gradient = torch.tensor([[0.01, 0.02, 0.03, 0.04]]) * slopes + 2 * of_resource
    assert gradient.abs().max() <= 1
    expected = torch.tensor([[0.5, 1.5, 0.5, 0.5]]) - 0.1 * gradient
    torch.testing.assert_close(made.removed.detach(), expected)
    sums = torch.tensor([[5.0, 1 + 4, 1.0, 9.0]])
    prices = torch.tensor([[0.01, 0.02, 0.03, 0.04]]) + 0.5 * sums
    torch.testing.assert_close(made.prices, prices)


def test_gradients_are_clipped_by_their_largest():
    """Of heads and units together, of dimensions by themselves."""
    made = widths(lr=0.1)
    made.prices.zero_()
    made.step(1.0, torch.tensor([[-4.0, -1.0, -0.5, -0.25]]))
    expected = torch.tensor([[0.1, 0.025, 0.05, 0.025]])
    torch.testing.assert_close(made.removed.detach(), expected)


def test_one_of_each_is_left():
    """However high the price; and what is at its bound leaves the others their step."""
    made = widths(lr=5.0)
    made.prices.zero_()
    of_resource = torch.tensor([[-9.0, -1.0, -1.0, -1.0]])
    made.step(1.0, of_resource)
    made.prices.zero_()
    made.step(1.0, of_resource)
    assert made.removed.tolist() == [[1, 2, 1, 1]]
    assert made.kept_dims.sum() == made.kept_units.sum() == 1
    left = float(made.block_shares())
    assert left == pytest.approx(made.least_share())
    assert left == pytest.approx(0.02 + 0.12 / 2 + 0.2 / 4 + 0.3 / 3)


def test_costly_norms_bring_groups_back():
    made = widths(lr=1.0)
    remove(made, [0.05, 0.05, 0.05, 0.05])
    made.prices.fill_(10.0)
    made.step(0.0, torch.zeros(1, 4))
    assert not made.removed.any()
    assert made.kept_dims.all()
    assert made.kept_units.all()


@pytest.mark.parametrize('kind', ['heads', 'dims', 'units'])
def test_a_kind_may_be_left_alone(kind):
    made = widths(lr=1.0, **{kind: False})
    made.prices.zero_()
    made.step(1.0, -torch.ones(1, 4))
    columns = {'heads': [0], 'units': [1], 'dims': [2, 3]}
    for other, places in columns.items():
        assert made.removed[0, places].bool().tolist() == [other != kind] * len(places)


def test_state_goes_on():
    """Weights included, which are the model's."""
    first, second = widths(2), widths(2)
    random = torch.Generator().manual_seed(0)
    steps = [-torch.rand(2, 4, generator=random) for _ in range(9)]

    def go_on(made, steps):
        for step in steps:
            made.shrink(torch.full((2, 2), 0.1))
            made.step(0.3, step)

    go_on(first, steps[:5])
    second.load_state_dict(first.state_dict())
    for mine, theirs in ((second.attention, first.attention), (second.mlp, first.mlp)):
        mine[:] = [weight.clone() for weight in theirs]
    go_on(first, steps[5:])
    go_on(second, steps[5:])
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name
    assert first.removed.any()


def test_gates_and_widths_share_the_budget():
    """A narrow block costs less to run, and half a block half of its widths' slope."""
    torch.manual_seed(0)
    made = widths()
    remove(made, [0.0, 1.0, 0.0, 0.0])
    gates = BlockGates(torch.tensor([0.64]), **SETTINGS, widths=made)
    assert gates.kept_resource() == pytest.approx(1 - 0.3 / 3)
    gates.draw()
    run = float(gates.values[0, 1])
    _, of_resource, error, of_widths = gates.pull_back()
    assert float(error) == pytest.approx(0.36 + run * 0.54 - 0.5)
    assert float(of_widths[0, 1]) == pytest.approx(-0.3 / 3 * run)
    slope = 0.54 * run * (1 - run) / 0.5
    assert float(of_resource[0, 1]) == pytest.approx(slope, rel=1e-4)


def test_widths_alone():
    """Every block is run, and no logit moves."""
    settings = {**SETTINGS, 'budget': 0.6}
    made = widths(price_lr=1e-4)
    gates = BlockGates(torch.tensor([0.64]), **settings, skip=False, widths=made)
    for _ in range(SETTINGS['interval']):
        gates.draw()
        assert gates.values.tolist() == [[0, 1]]
        found = gates.pull_back()
        assert not found[0].any()
        assert not found[1].any()
        gates.step(found[0], found[1], float(found[2]), found[3])
    assert gates.logits.tolist() == [[-1, 1]]
    assert made.removed.all()


def test_budget_of_all_removes_nothing():
    settings = {**SETTINGS, 'budget': 1.0}
    made = widths()
    gates = BlockGates(torch.tensor([0.64]), **settings, skip=False, widths=made)
    for _ in range(20):
        gates.draw()
        of_loss, of_resource, error, of_widths = gates.pull_back()
        made.shrink(torch.full((1, 2), 0.1))
        gates.step(of_loss, of_resource, float(error), of_widths)
    assert not made.removed.any()
    assert made.attention[0].tolist() == ATTENTION
    assert gates.kept_resource() == pytest.approx(1.0)
