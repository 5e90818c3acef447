# ViTKD between the small ViTs of configs/fashion_mnist. The paper's sums run over 196
# tokens of 384 channels, here over 49 of 128: its weights times 196 * 384 / (49 * 128)
# = 12 pull as hard.
_base_ = './vitkd_vit.py'

vitkd_terms = dict(
    mimic0=dict(loss=dict(loss_weight=3.6e-4)),
    mimic1=dict(loss=dict(loss_weight=3.6e-4)),
    gen=dict(loss=dict(loss_weight=3.6e-5)),
)
