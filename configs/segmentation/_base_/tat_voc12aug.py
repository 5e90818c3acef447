# TaT, arXiv:2205.10793, on the last maps of two backbones, 64x64 at stride 8, as in its
# released code for Pascal VOC: alpha = 0.1, beta = 1 for the patch groups, gamma = 0.4
# for the anchor points
tat_teacher = dict(
    cfg=__import__('mmseg').__path__[0] + '/.mim/configs/deeplabv3plus/'
    'deeplabv3plus_r101-d8_4xb4-40k_voc12aug-512x512.py',
    checkpoint='https://mmassets.onedl.ai/mmsegmentation/v0.5/deeplabv3plus/'
    'deeplabv3plus_r101-d8_512x512_40k_voc12aug/'
    'deeplabv3plus_r101-d8_512x512_40k_voc12aug_20200613_205333-faf03387.pth',
)
tat_terms = dict(
    patch=dict(
        student=dict(path='backbone', output=3),
        teacher=dict(path='backbone', output=3),
        neck=dict(type='mmvitkd.PatchGroupNeck', cells=(16, 16), groups=64),
        loss=dict(type='mmvitkd.ViTKDMimicLoss', loss_weight=0.1, reduction='mean'),
    ),
    anchor=dict(
        student=dict(path='backbone', output=3),
        teacher=dict(path='backbone', output=3),
        neck=dict(type='mmvitkd.AnchorPointNeck', anchors=(32, 32)),
        loss=dict(type='mmvitkd.ViTKDMimicLoss', loss_weight=0.04, reduction='mean'),
    ),
)
