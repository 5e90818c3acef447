# DeepSpeed's ZeRO-1: the optimiser's state is sharded, every process holds the whole
# student and the whole teacher. How to install it: docs/scaling.md.
runner_type = 'FlexibleRunner'
strategy = dict(
    type='mmvitkd.DeepSpeedStrategy',
    zero_optimization=dict(stage=1),
)
