# Fashion-MNIST with results on the validation split, which everything was chosen on.
_base_ = './fashion-mnist.py'

options = {
    'test_dataloader.dataset': dict(
        _delete_=True,
        type='mmvitkd.HeldOutSplit',
        num_val=10000,
        split='val',
        dataset=dict(
            type='mmvitkd.FashionMNIST',
            data_root=None,
            split='train',
            pipeline=[dict(type='Resize', scale=32), dict(type='PackInputs')],
        ),
    )
}
# as multiples of what makes the paper's sums equal
weight_factors = dict(mimic=196 * 6 / 16, gen=196 * 6 / 16)
