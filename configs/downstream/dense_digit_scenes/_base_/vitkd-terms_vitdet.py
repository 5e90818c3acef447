# As its base, for a detector, whose ViT has no norm after the last block; by the same
# tries a sixteenth of the paper's weights for as many tokens and channels.
_base_ = './vitkd-terms.py'

vitkd_terms = dict(
    mimic0=dict(loss=dict(loss_weight=7.5e-6)),
    mimic1=dict(loss=dict(loss_weight=7.5e-6)),
    gen=dict(
        student='backbone.layers.5',
        teacher='backbone.layers.5',
        loss=dict(loss_weight=7.5e-7),
    ),
)
