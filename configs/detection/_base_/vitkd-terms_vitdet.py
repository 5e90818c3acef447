# ViTKD between the plain ViTs of two detectors, which have no norm after the last
# block. The paper's sums run over the 196 tokens of an image of 224x224, here over the
# 4096 of one of 1024x1024: its weights (3e-5, 3e-6) times 196 / 4096 pull as hard.
_base_ = '../../_base_/terms/vitkd_vit.py'

vitkd_terms = dict(
    mimic0=dict(loss=dict(loss_weight=1.4e-6)),
    mimic1=dict(loss=dict(loss_weight=1.4e-6)),
    gen=dict(
        student='backbone.layers.11',
        teacher='backbone.layers.11',
        loss=dict(loss_weight=1.4e-7),
    ),
)
