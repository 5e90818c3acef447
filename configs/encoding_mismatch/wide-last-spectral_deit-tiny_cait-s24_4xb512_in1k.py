# CaiT-S24 teaches DeiT-Tiny with a wide last layer by SpectralKD alone: WideLast
# without soft labels, arXiv:2511.15572
#   bash tools/dist_train.sh \
#     configs/encoding_mismatch/wide-last-spectral_deit-tiny_cait-s24_4xb512_in1k.py 4
# The paper has no figure that is known to be of this mix; not yet run here.
_base_ = './_base_/released.py'

model = dict(
    student=_base_.wide_last_student,
    task_weight=1.0,
    terms=dict(
        _delete_=True,
        spectral=dict(
            student='backbone.layers.11',
            teacher='model.blocks.23',
            loss=_base_.spectral_loss,
        ),
    ),
)
