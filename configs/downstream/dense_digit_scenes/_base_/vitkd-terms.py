# ViTKD between the ViTs of the scenes' models. The paper's sums run over 196 tokens of
# 384 channels, here over 144 of 128: its weights times 196 * 384 / (144 * 128) = 4.1.
_base_ = '../../../_base_/terms/vitkd_vit.py'

vitkd_terms = dict(
    mimic0=dict(loss=dict(loss_weight=1.2e-4)),
    mimic1=dict(loss=dict(loss_weight=1.2e-4)),
    gen=dict(loss=dict(loss_weight=1.2e-5)),
)
