# ViTPose on DeiT-Small under ViTPose-Base, on the heat maps, arXiv:2204.12484
#   bash tools/dist_train.sh \
#       configs/pose/kd_vitpose-deit-small_vitpose-base_8xb64-210e_coco-256x192.py 8
# The paper's pair is another; not yet run.
_base_ = (
    '../downstream/mmpose/td-hm_vitpose-deit-small-vitkd_8xb64-210e_coco-256x192.py'
)

model = dict(
    _delete_=True,
    type='mmvitkd.ViTKDDistiller',
    student=_base_.model,
    teacher=dict(
        cfg='mmpose::body_2d_keypoint/topdown_heatmap/coco/'
        'td-hm_ViTPose-base_8xb64-210e_coco-256x192.py',
        checkpoint='https://download.openmmlab.com/mmpose/v1/body_2d_keypoint/'
        'topdown_heatmap/coco/'
        'td-hm_ViTPose-base_8xb64-210e_coco-256x192-216eae50_20230314.pth',
    ),
    terms=dict(
        # the mean of the squared error, as of the labels' maps
        heatmap=dict(
            student='head.final_layer',
            teacher='head.final_layer',
            loss=dict(type='mmvitkd.ViTKDMimicLoss', loss_weight=1.0, reduction='mean'),
        )
    ),
)

# mmpose's own constructor passes over a backbone that is the student's; the same rates
optim_wrapper = dict(
    constructor='mmvitkd.BackboneLayerDecayConstructor',
    paramwise_cfg=dict(
        _delete_=True,
        layer_decay_rate=0.8,
        flat_decay_mult=0.0,
        custom_keys={'pos_embed': dict(decay_mult=0.0)},
    ),
)
