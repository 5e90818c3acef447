# AdamW as in ViTDet; the further from its output, the slower the backbone learns.
# As in detectron2, only the ViT's own norms and the absolute positions do not decay:
# biases, relative positions, and the norms of neck and heads do.
adamw = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.1),
    constructor='mmvitkd.BackboneLayerDecayConstructor',
    paramwise_cfg=dict(
        layer_decay_rate=0.7,
        custom_keys={
            '.pos_embed': dict(decay_mult=0.0),
            '.ln1.': dict(decay_mult=0.0),
            '.ln2.': dict(decay_mult=0.0),
        },
    ),
)
