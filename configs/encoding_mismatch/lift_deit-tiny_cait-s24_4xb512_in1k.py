# CaiT-S24 teaches DeiT-Tiny with lifted tokens by KD and SpectralKD: Lift,
# arXiv:2511.15572
#   bash tools/dist_train.sh \
#     configs/encoding_mismatch/lift_deit-tiny_cait-s24_4xb512_in1k.py 4
# Its figures in the paper are in metafile.yml; not yet reproduced.
_base_ = './_base_/released.py'

model = dict(
    student=_base_.lift_student,
    terms=dict(
        _delete_=True,
        kd=_base_.model.terms.kd,
        spectral=dict(
            student='head.lift',
            teacher='model.blocks.23',
            loss=_base_.spectral_loss,
        ),
    ),
)
