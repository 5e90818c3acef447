# CaiT-S24 teaches DeiT-Tiny with a wide last layer by KD and the squared error of its
# tokens: WideLast, arXiv:2511.15572
#   bash tools/dist_train.sh \
#     configs/encoding_mismatch/wide-last_deit-tiny_cait-s24_4xb512_in1k.py 4
# Its figures in the paper are in metafile.yml; not yet reproduced.
_base_ = './_base_/released.py'

model = dict(
    student=_base_.wide_last_student,
    terms=dict(
        _delete_=True,
        kd=_base_.model.terms.kd,
        mse=dict(
            student='backbone.layers.11',
            teacher='model.blocks.23',
            loss=_base_.mse_loss,
        ),
    ),
)
