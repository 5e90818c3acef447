# What the papers claim, held against the tables of Fashion-MNIST.
#   python -m mmvitkd claims configs/claims/fashion-mnist-claims.py \
#       --results results/fashion-mnist --out results/fashion-mnist/claims.md
title = 'Fashion-MNIST: what the papers claim, and what is seen'
smallest = 0.5  # points; what the protocol's seeds are to tell
figures = {
    'fashion-mnist': 'Every method against the student without distillation',
    'fashion-mnist-costs': 'Accuracy against the cost of the training',
}
vitkd, dynamics = 'ViTKD', 'Distillation Dynamics'
regime = "with the teacher's labels, at the published weights"
claims = [
    dict(
        claim='ViTKD makes a better student',
        source=f'{vitkd}, table 2',
        table='fashion-mnist',
        row='ViTKD',
        than='student alone',
        paper=1.64,
    ),
    dict(
        claim='ViTKD is better than KD',
        source=f'{vitkd}, table 2',
        table='fashion-mnist',
        row='ViTKD',
        than='KD',
        paper=0.05,
    ),
    dict(
        claim='NKD adds to ViTKD',
        source=f'{vitkd}, figure 3',
        table='fashion-mnist',
        row='ViTKD + NKD',
        than='ViTKD',
        paper=1.72,
    ),
    dict(
        claim='ViTKD + NKD is better than KD',
        source=f'{vitkd}, table 2 and figure 3',
        table='fashion-mnist',
        row='ViTKD + NKD',
        than='KD',
        paper=1.77,
    ),
    dict(
        claim='KD gains by more epochs (5/3 of them)',
        source=f'{dynamics}, logs',
        table='fashion-mnist',
        row='KD, long schedule',
        than='KD',
        paper=1.08,
    ),
    dict(
        claim='KD with more epochs is better than ViTKD + NKD',
        source=f'{dynamics}, logs',
        table='fashion-mnist',
        row='KD, long schedule',
        than='ViTKD + NKD',
    ),
    dict(
        claim='Mimicking the first two layers helps',
        source=f'{vitkd}, table 6',
        table='vitkd-claims',
        row='mimicking, shallow',
        than='baseline',
        paper=0.89,
    ),
    dict(
        claim='Generating the last layer helps',
        source=f'{vitkd}, table 6',
        table='vitkd-claims',
        row='generation, deep',
        than='baseline',
        paper=0.37,
    ),
    dict(
        claim='Generation adds to mimicking',
        source=f'{vitkd}, table 6',
        table='vitkd-claims',
        row='ViTKD',
        than='mimicking, shallow',
        paper=0.75,
    ),
    dict(
        claim='Mimicking adds to generation',
        source=f'{vitkd}, table 6',
        table='vitkd-claims',
        row='ViTKD',
        than='generation, deep',
        paper=1.27,
    ),
    dict(
        claim='The first two layers want mimicking, not generation',
        source=f'{vitkd}, table 11',
        table='vitkd-claims',
        row='mimicking, shallow',
        than='generation, shallow',
        paper=0.62,
    ),
    dict(
        claim='The last layer wants generation, not mimicking',
        source=f'{vitkd}, table 11',
        table='vitkd-claims',
        row='generation, deep',
        than='mimicking, deep',
        paper=1.07,
    ),
    dict(
        claim='Mimicking the last layer harms',
        source=f'{vitkd}, table 11; {dynamics}',
        table='vitkd-claims',
        row='baseline',
        than='mimicking, deep',
        paper=0.7,
    ),
    dict(
        claim='Of layers to mimic, the first are better than the middle',
        source=f'{vitkd}, table 5 (under DeiT-Small)',
        table='vitkd-claims',
        row='mimicking, shallow',
        than='mimicking, middle',
        paper=0.11,
    ),
    dict(
        claim="A layer's output is better to mimic than its attention",
        source=f'{vitkd}, table 9',
        table='vitkd-claims',
        row='mimicking, shallow',
        than='MHA-out, shallow',
        paper=0.29,
    ),
    dict(
        claim='The conv projector is better than self-attention',
        source=f'{vitkd}, table 7',
        table='vitkd-claims',
        row='generation, deep',
        than='generation, deep, by self-attention',
        paper=0.14,
    ),
    dict(
        claim='The conv projector is better than cross-attention',
        source=f'{vitkd}, table 7',
        table='vitkd-claims',
        row='generation, deep',
        than='generation, deep, by cross-attention',
        paper=0.81,
    ),
    dict(
        claim='Masking half of the tokens is better than none',
        source=f'{vitkd}, table 10',
        table='vitkd-claims',
        row='ViTKD',
        than='ViTKD, mask ratio 0',
        paper=0.29,
    ),
    # the regime is the first thing to look at where a claim is not seen
    *(
        dict(
            claim=f'{claim}, {regime}',
            source=f'{vitkd}, {source}',
            table='paper-regime',
            row=row,
            than=than,
            paper=paper,
        )
        for claim, source, row, than, paper in (
            ('ViTKD makes a better student', 'table 2', 'ViTKD', 'baseline', 1.64),
            (
                'The first two layers want mimicking, not generation',
                'table 11',
                'mimicking, shallow',
                'generation, shallow',
                0.62,
            ),
            (
                'The last layer wants generation, not mimicking',
                'table 11',
                'generation, deep',
                'mimicking, deep',
                1.07,
            ),
            (
                'Mimicking the last layer harms',
                f'table 11; {dynamics}',
                'baseline',
                'mimicking, deep',
                0.7,
            ),
        )
    ),
]
