# DeiT-Base at 384 pixels as the teacher: 24x24 tokens.
taught_by = dict(
    teacher=dict(
        cfg='mmpretrain::deit/deit-base_16xb32_in1k-384px.py',
        checkpoint='https://mmassets.onedl.ai/mmclassification/v0/'
        'deit/deit-base_3rdparty_ft-16xb32_in1k-384px_20211124-822d02f2.pth',
    ),
    terms=dict(
        attention=dict(
            teacher='backbone.layers.11.attn.qkv',
            neck=dict(num_heads=12),
        ),
        features=dict(teacher='backbone.ln1'),
    ),
)
