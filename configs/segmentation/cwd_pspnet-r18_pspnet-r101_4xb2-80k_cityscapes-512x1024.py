# PSPNet on ResNet-18 under PSPNet on ResNet-101, CWD on the logits
#   bash tools/dist_train.sh configs/segmentation/\
#       cwd_pspnet-r18_pspnet-r101_4xb2-80k_cityscapes-512x1024.py 4
# CWD's own pair; not yet run.
# by path: for 'mmseg::' MMEngine wants the official package, even beside the fork
_base_ = (
    __import__('mmseg').__path__[0]
    + '/.mim/configs/pspnet/pspnet_r18-d8_4xb2-80k_cityscapes-512x1024.py'
)

model = dict(
    _delete_=True,
    type='mmvitkd.ViTKDDistiller',
    student=_base_.model,
    teacher=dict(
        cfg=__import__('mmseg').__path__[0]
        + '/.mim/configs/pspnet/pspnet_r101-d8_4xb2-80k_cityscapes-512x1024.py',
        checkpoint='https://mmassets.onedl.ai/mmsegmentation/v0.5/pspnet/'
        'pspnet_r101-d8_512x1024_80k_cityscapes/'
        'pspnet_r101-d8_512x1024_80k_cityscapes_20200606_112211-e1e1100f.pth',
    ),
    terms=dict(
        cwd=dict(
            student='decode_head.conv_seg',
            teacher='decode_head.conv_seg',
            loss=dict(type='mmvitkd.CWDLoss', temperature=1.0, loss_weight=5.0),
        )
    ),
)
