# ViTKD between the plain ViTs of two segmentors, which have no norm after the last
# block. The paper's sums run over the 196 tokens of an image of 224x224, here over the
# 1024 of a crop of 512x512: its weights (3e-5 and 3e-6) times 196 / 1024 pull as hard.
_base_ = '../../_base_/terms/vitkd_vit.py'

vitkd_terms = dict(
    mimic0=dict(loss=dict(loss_weight=5.7e-6)),
    mimic1=dict(loss=dict(loss_weight=5.7e-6)),
    gen=dict(
        student='backbone.layers.11',
        teacher='backbone.layers.11',
        loss=dict(loss_weight=5.7e-7),
    ),
)
