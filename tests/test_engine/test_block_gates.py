import pytest
import torch

from mmvitkd.engine.block_gates import BlockGates

SETTINGS = {
    'budget': 0.5,
    'temperature': 0.5,
    'lr': 0.1,
    'price_lr': 1.0,
    'resource_weight': 5e-4,
    'clip': 0.5,
    'interval': 4,
    'weigh_positions': True,
}
SHARES = [0.3, 0.3, 0.2]


def gates(shares=SHARES, **settings):
    return BlockGates(torch.tensor(shares), **{**SETTINGS, **settings})


def test_gates_of_a_block_add_up():
    torch.manual_seed(0)
    made = gates()
    assert made.values.tolist() == [[0.5, 0.5]] * 3
    made.draw()
    torch.testing.assert_close(made.values.sum(1), torch.ones(3))
    assert len(made.values[:, 1].unique()) == 3


def test_resource_by_hand():
    """0.2 is outside the blocks."""
    made = gates()
    run = torch.tensor([1.0, 0.5, 0.0])
    assert float(made.resource(run)) == pytest.approx(0.2 + 0.3 + 0.15)
    assert made.kept_resource() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ('error', 'expected'), [(0.25, 1.001 + 0.25), (-0.25, 1.001 - 0.25), (-7.0, 0.0)]
)
def test_price_follows_the_error(error, expected):
    """Up while over the budget, down while under it, never below 0."""
    made = gates()
    nothing = torch.zeros(3, 2)
    made.step(nothing, nothing, 1.0)
    assert made.price == pytest.approx(1.001)
    made.step(nothing, nothing, error)
    assert made.price == pytest.approx(expected)


@pytest.mark.parametrize(
    ('weigh', 'mean'), [(True, (0 + 2 + 6 + 12) / 4), (False, (1 + 2 + 3 + 4) / 4)]
)
def test_update_by_hand(weigh, mean):
    """Every fourth step goes down the mean of four, each times its number."""
    made = gates(weigh_positions=weigh)
    before = made.logits.detach().clone()
    for i in range(1, 5):
        assert torch.equal(made.logits.detach(), before)
        made.step(torch.full((3, 2), float(i)), torch.zeros(3, 2), 0.0)
    torch.testing.assert_close(
        made.logits.detach(), before - 0.1 * (mean + 1e-4 * before)
    )
    assert not made.collected.any()


def test_price_pulls_at_costly_blocks():
    """Without a loss, the gradient is the price times the resource's."""
    made = gates(interval=2, weigh_positions=False, resource_weight=0.5)
    made.price = 10.0
    of_resource = torch.tensor([[-0.3, 0.3], [-0.3, 0.3], [-0.2, 0.2]])
    for _ in range(2):
        made.step(torch.zeros(3, 2), of_resource, 0.0)
    start = torch.tensor([-1.0, 1.0])
    expected = start - 0.1 * (10 * 0.5 * of_resource + 1e-4 * start)
    torch.testing.assert_close(made.logits.detach(), expected)


def test_gradients_reach_the_logits():
    """Of the loss by whatever used the gates, of the resource by the shares."""
    torch.manual_seed(0)
    made = gates()
    made.draw()
    # a loss that is the resource itself
    (made.values[:, 1] * torch.tensor(SHARES)).sum().backward()
    of_loss, of_resource, error = made.pull_back()
    torch.testing.assert_close(of_loss, of_resource)
    skip, run = made.values.detach().unbind(1)
    slope = torch.tensor(SHARES) * skip * run / 0.5
    torch.testing.assert_close(of_resource, torch.stack([-slope, slope], 1))
    assert float(error) == pytest.approx(float(made.resource(run)) - 0.5)


@pytest.mark.parametrize(('clip', 'pulled'), [(0.1, False), (None, True)])
def test_far_from_the_budget_the_resource_has_no_gradient(clip, pulled):
    torch.manual_seed(0)
    made = gates(budget=0.21, clip=clip)
    made.draw()
    _, of_resource, error = made.pull_back()
    assert float(error) > 0.1  # which the price sees whole
    assert bool(of_resource.any()) is pulled


def test_block_is_skipped_by_the_greater_logit():
    made = gates(interval=2, weigh_positions=False)
    of_loss = torch.zeros(3, 2)
    of_loss[1] = torch.tensor([-15.0, 15.0])
    for _ in range(2):
        made.step(of_loss, torch.zeros(3, 2), 0.0)
    assert made.kept == [True, False, True]
    assert made.kept_resource() == pytest.approx(0.7)


def test_state_goes_on():
    """Halfway between two updates, and with the momentum of the last one."""
    first, second = gates(), gates()
    random = torch.Generator().manual_seed(0)
    steps = [torch.randn(3, 2, generator=random) for _ in range(13)]
    for step in steps[:6]:
        first.step(step, step, 0.3)
    second.load_state_dict(first.state_dict())
    for step in steps[6:]:
        first.step(step, step, 0.3)
        second.step(step, step, 0.3)
    assert torch.equal(first.logits, second.logits)
    assert (first.price, first.kept) == (second.price, second.kept)
