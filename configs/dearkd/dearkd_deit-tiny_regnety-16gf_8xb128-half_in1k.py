# As its base, on half of each class's training images, arXiv:2204.12997
#   CONFIG=configs/dearkd/dearkd_deit-tiny_regnety-16gf_8xb128-half_in1k.py
#   bash tools/dist_train.sh $CONFIG 8
# Its figures in the paper are in metafile.yml; not reproducible from public facts.
_base_ = './dearkd_deit-tiny_regnety-16gf_8xb128_in1k.py'

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='mmvitkd.BalancedSubset',
        dataset=_base_.train_dataloader.dataset,
        fraction=0.5,
        seed=0,
    )
)
