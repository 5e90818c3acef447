# CaiT-S24 teaches DeiT-Tiny by ProjectorKD on the last layer, arXiv:2511.06848
#   bash tools/dist_train.sh \
#     configs/projector_kd/projector-kd_deit-tiny_cait-s24_2xb256_in1k.py 2
# The paper's figure is of a projector that never learned (README.md); not yet run here.
_base_ = '../spectral_kd/spectral-kd_deit-tiny_cait-s24_2xb256-400e_in1k.py'

model = dict(
    terms=dict(
        _delete_=True,
        kd=_base_.model.terms.kd,
        projector11=dict(
            student='backbone.layers.11',
            teacher='model.blocks.23',
            neck=dict(type='LinearProjector'),
            loss=dict(type='ProjectorLoss', loss_weight=0.2),
        ),
    )
)

train_cfg = dict(max_epochs=300)
