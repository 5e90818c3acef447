# UPerNet on DeiT-Small under the one on DeiT-Base, ViTKD in both halves: the backbone
# was distilled before (configs/vitkd), then the segmentor on its own tokens
#   bash tools/dist_train.sh configs/segmentation/\
#       vitkd_upernet-deit-small_upernet-deit-base_8xb2-160k_ade20k-512x512.py 8
# after its teacher, configs/downstream/mmseg's. Not yet run.
_base_ = [
    '../downstream/mmseg/upernet_deit-small-vitkd_8xb2-160k_ade20k-512x512.py',
    './_base_/vitkd-terms_upernet.py',
]

model = dict(
    _delete_=True,
    type='mmvitkd.ViTKDDistiller',
    student=_base_.model,
    teacher=dict(
        cfg='mmvitkd::downstream/mmseg/'
        'upernet_deit-base-vitkd_8xb2-160k_ade20k-512x512.py',
        checkpoint='work_dirs/upernet_deit-base-vitkd_8xb2-160k_ade20k-512x512/'
        'iter_160000.pth',
    ),
    terms=_base_.vitkd_terms,
)
