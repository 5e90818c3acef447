# ViTKD between the small ViTs of configs/fashion_mnist. The paper's sums run over 196
# tokens of 384 channels, here over 16 of 64: its weights times 196 * 384 / (16 * 64) =
# 74 pull as hard, rounded.
_base_ = './vitkd_vit.py'

vitkd_terms = dict(
    mimic0=dict(loss=dict(loss_weight=2e-3)),
    mimic1=dict(loss=dict(loss_weight=2e-3)),
    gen=dict(loss=dict(loss_weight=2e-4)),
)
