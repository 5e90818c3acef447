# DeiT III-Small (ImageNet-21K) teaches DeiT-Tiny by its logits, arXiv:2105.08919
#   bash tools/dist_train.sh \
#     configs/logit_mse/logit-mse_deit-tiny_deit3-small_8xb128_in1k.py 8
# No paper has a figure for this pair that we know of; not yet run here.
_base_ = '../vitkd/vitkd_deit-tiny_deit3-small_8xb128_in1k.py'

# without labels, as the paper trains; the mean over the classes is our choice
model = dict(
    task_weight=0,
    terms=dict(
        _delete_=True,
        mse=dict(
            student='head',
            teacher='head',
            loss=dict(type='LogitMSELoss', reduction='mean', loss_weight=1.0),
        ),
    ),
)
