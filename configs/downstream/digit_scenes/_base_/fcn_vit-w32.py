# An FCN head on the student of configs/digits, whose map of 12x12 tokens has stride 8.
default_scope = 'mmseg'

model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        # of the digits' training images, on which the student was trained
        mean=[77.66] * 3,
        std=[95.79] * 3,
        pad_val=0,
        seg_pad_val=255,
        size=(96, 96),
    ),
    backbone=dict(
        type='mmpretrain.VisionTransformer',
        arch=dict(embed_dims=32, num_layers=6, num_heads=2, feedforward_channels=128),
        img_size=96,
        patch_size=8,
        out_type='featmap',
        init_cfg=dict(type='mmvitkd.StrictPretrained', checkpoint=''),
    ),
    decode_head=dict(
        type='FCNHead',
        in_channels=32,
        in_index=0,
        channels=256,
        num_convs=1,
        # a digit spreads over 2x2 to 6x6 tokens
        kernel_size=7,
        concat_input=False,
        dropout_ratio=0.0,
        num_classes=11,
        norm_cfg=dict(type='BN'),
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
visualizer = dict(
    type='SegLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')]
)
default_hooks = dict(visualization=dict(type='SegVisualizationHook'))
log_processor = dict(by_epoch=True)
log_level = 'INFO'
load_from = None
resume = False
