# Swin-Base (ImageNet-21K) at 384 pixels as the teacher; its last stage: 12x12 tokens.
taught_by = dict(
    teacher=dict(
        cfg='mmpretrain::swin_transformer/swin-base_16xb64_in1k-384px.py',
        checkpoint='https://mmassets.onedl.ai/mmclassification/v0/'
        'swin-transformer/convert/swin_base_patch4_window12_384_22kto1k-d59b0d1d.pth',
    ),
    terms=dict(
        attention=dict(
            teacher='backbone.stages.3.blocks.1.attn.w_msa.qkv',
            neck=dict(num_heads=32),
        ),
        features=dict(teacher='backbone.norm3'),
    ),
)
