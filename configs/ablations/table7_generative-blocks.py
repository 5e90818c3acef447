# Table 7 of the ViTKD paper: the generative block, without mimicking.
_base_ = './_base_/terms.py'

title = 'Generative blocks (table 7)'
student = 'DeiT-T'
columns = [
    dict(column='DeiT-S', teacher='DeiT-S'),
    dict(column='DeiT III-S*', teacher='DeiT III-S'),
]
rows = [
    dict(row='baseline', terms=[], paper=[74.42, 74.42]),
    dict(
        row='cross-attention',
        terms=['gen'],
        change={'gen.neck.type': 'CrossAttentionGenerativeProjector'},
        paper=[73.77, 73.98],
    ),
    dict(
        row='self-attention',
        terms=['gen'],
        change={'gen.neck.type': 'SelfAttentionGenerativeProjector'},
        paper=[74.61, 74.65],
    ),
    dict(row='conv projector', terms=['gen'], paper=[74.72, 74.79]),
]
