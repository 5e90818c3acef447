# TinyViT's three sizes, for the classes of a teacher
size = dict(
    type='TinyViT',
    img_size=(224, 224),
    window_size=[7, 7, 14, 7],
    out_indices=(3,),
    drop_path_rate=0.0,
    gap_before_final_norm=True,
    init_cfg=[
        dict(type='TruncNormal', layer=['Conv2d', 'Linear'], std=0.02, bias=0.0),
        dict(type='Constant', layer=['LayerNorm'], val=1.0, bias=0.0),
    ],
)
students = {
    arch: dict(
        type='ImageClassifier',
        backbone=dict(size, arch=arch),
        head=dict(
            type='LinearClsHead',
            in_channels=width,
            loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
        ),
    )
    for arch, width in {'5m': 320, '11m': 448, '21m': 576}.items()
}
