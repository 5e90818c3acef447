# ViT-Base/16 (ImageNet-21K) at 384 pixels as the teacher: 24x24 tokens.
taught_by = dict(
    teacher=dict(
        cfg='mmpretrain::vision_transformer/vit-base-p16_64xb64_in1k-384px.py',
        checkpoint='https://mmassets.onedl.ai/mmclassification/v0/'
        'vit/finetune/vit-base-p16_in21k-pre-3rdparty_ft-64xb64_in1k-384_20210928-98e8652b.pth',
    ),
    terms=dict(
        attention=dict(
            teacher='backbone.layers.11.attn.qkv',
            neck=dict(num_heads=12),
        ),
        features=dict(teacher='backbone.ln1'),
    ),
)
