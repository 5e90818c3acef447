# RetinaNet on ResNet-50 under RetinaNet on ResNet-101, ViTKD on the pyramid's levels:
# the finest two are mimicked, the next two generated
#   bash tools/dist_train.sh \
#       configs/detection/vitkd_retinanet-r50_retinanet-r101_8xb2-1x_coco.py 8
# ViTKD's paper has no such pair, and the weights are untried; not yet run.
_base_ = './pkd_retinanet-r50_retinanet-r101_8xb2-1x_coco.py'

# alpha and beta of the paper are for sums over 196 tokens of 384 channels, here of maps
# of 800x1333 pixels, up to 100x167 places of 256 channels at stride 8
model = dict(
    terms=dict(
        _delete_=True,
        **{
            f'mimic{level}': dict(
                student=dict(path='neck', output=level),
                teacher=dict(path='neck', output=level),
                neck=dict(type='mmvitkd.LinearProjector'),
                loss=dict(type='mmvitkd.ViTKDMimicLoss', loss_weight=5e-7),
            )
            for level in (0, 1)
        },
        **{
            f'gen{level}': dict(
                student=dict(path='neck', output=level),
                teacher=dict(path='neck', output=level),
                neck=dict(type='mmvitkd.ConvGenerativeProjector', mask_ratio=0.5),
                loss=dict(type='mmvitkd.ViTKDGenLoss', loss_weight=5e-7),
            )
            for level in (2, 3)
        },
    )
)
