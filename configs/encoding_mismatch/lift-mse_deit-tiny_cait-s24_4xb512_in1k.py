# CaiT-S24 teaches DeiT-Tiny with lifted tokens by the squared error of its tokens:
# Lift without soft labels, arXiv:2511.15572
#   bash tools/dist_train.sh \
#     configs/encoding_mismatch/lift-mse_deit-tiny_cait-s24_4xb512_in1k.py 4
# The paper has no figure that is known to be of this mix; not yet run here.
_base_ = './_base_/released.py'

model = dict(
    student=_base_.lift_student,
    task_weight=1.0,
    terms=dict(
        _delete_=True,
        mse=dict(
            student='head.lift',
            teacher='model.blocks.23',
            loss=_base_.mse_loss,
        ),
    ),
)
