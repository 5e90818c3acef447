# UPerNet, arXiv:1807.10221, on DeiT-Small by mmseg's own recipe; the student alone
#   bash tools/downstream/dist_train.sh \
#       configs/downstream/mmseg/upernet_deit-small_8xb2-160k_ade20k-512x512.py 8
# Its figures in the paper are in metafile.yml; not yet reproduced.
# The backbone is MMPretrain's: mmseg's has no bias in its patch embedding, and loads
# whatever fits.
_base_ = (
    # by path: for 'mmseg::' MMEngine wants the official package, even beside the fork
    __import__('mmseg').__path__[0] + '/.mim/configs/vit/'
    'vit_deit-s16_mln_upernet_8xb2-160k_ade20k-512x512.py'
)


model = dict(
    pretrained=None,
    backbone=dict(
        _delete_=True,
        type='mmpretrain.VisionTransformer',
        arch='deit-small',
        img_size=512,
        drop_path_rate=0.1,
        out_indices=(2, 5, 8, 11),
        out_type='featmap',
        final_norm=False,
        init_cfg=dict(
            type='mmvitkd.StrictPretrained',
            checkpoint='https://mmassets.onedl.ai/mmclassification/v0/deit/'
            'deit-small_pt-4xb256_in1k_20220218-9425b9bb.pth',
            # the segmentor has no norm after the last block
            expected_unused=[r'ln1\..*'],
        ),
    ),
)


# mmseg means to spare the backbone's norms, but by a name that they do not have
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={'.ln1': dict(decay_mult=0.0), '.ln2': dict(decay_mult=0.0)}
    )
)

custom_hooks = [dict(type='mmvitkd.CheckSegMapsHook')]

# 8 GPUs x 2
auto_scale_lr = dict(enable=False, base_batch_size=16)
